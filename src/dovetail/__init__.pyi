from .client import (
    Client as Client,
)
from .client import (
    ToolResult as ToolResult,
)
from .protocol.errors import (
    Closed as Closed,
)
from .protocol.errors import (
    ConnectFailed as ConnectFailed,
)
from .protocol.errors import (
    ConnectionLost as ConnectionLost,
)
from .protocol.errors import (
    Declined as Declined,
)
from .protocol.errors import (
    Dismissed as Dismissed,
)
from .protocol.errors import (
    DovetailError as DovetailError,
)
from .protocol.errors import (
    FeatureUnavailable as FeatureUnavailable,
)
from .protocol.errors import (
    HTTPStatusError as HTTPStatusError,
)
from .protocol.errors import (
    InternalError as InternalError,
)
from .protocol.errors import (
    InvalidParams as InvalidParams,
)
from .protocol.errors import (
    LocalProtocolError as LocalProtocolError,
)
from .protocol.errors import (
    LoginRequired as LoginRequired,
)
from .protocol.errors import (
    MethodNotFound as MethodNotFound,
)
from .protocol.errors import (
    MissingCapability as MissingCapability,
)
from .protocol.errors import (
    RemoteProtocolError as RemoteProtocolError,
)
from .protocol.errors import (
    RequestCancelled as RequestCancelled,
)
from .protocol.errors import (
    RequestTimeout as RequestTimeout,
)
from .protocol.errors import (
    ResourceNotFound as ResourceNotFound,
)
from .protocol.errors import (
    RPCError as RPCError,
)
from .protocol.errors import (
    ServerExited as ServerExited,
)
from .protocol.errors import (
    ToolError as ToolError,
)
from .protocol.errors import (
    TransportError as TransportError,
)
from .protocol.errors import (
    URLElicitationRequired as URLElicitationRequired,
)
from .protocol.types import (
    Annotations as Annotations,
)
from .protocol.types import (
    AudioContent as AudioContent,
)
from .protocol.types import (
    CallToolResult as CallToolResult,
)
from .protocol.types import (
    Completion as Completion,
)
from .protocol.types import (
    CompletionContext as CompletionContext,
)
from .protocol.types import (
    CreateMessageResult as CreateMessageResult,
)
from .protocol.types import (
    EmbeddedResource as EmbeddedResource,
)
from .protocol.types import (
    GetPromptResult as GetPromptResult,
)
from .protocol.types import (
    Icon as Icon,
)
from .protocol.types import (
    ImageContent as ImageContent,
)
from .protocol.types import (
    InputRequired as InputRequired,
)
from .protocol.types import (
    PromptMessage as PromptMessage,
)
from .protocol.types import (
    ReadResourceResult as ReadResourceResult,
)
from .protocol.types import (
    ResourceContents as ResourceContents,
)
from .protocol.types import (
    ResourceLink as ResourceLink,
)
from .protocol.types import (
    Root as Root,
)
from .protocol.types import (
    SamplingMessage as SamplingMessage,
)
from .protocol.types import (
    TextContent as TextContent,
)
from .protocol.types import (
    Tool as Tool,
)
from .protocol.types import (
    ToolAnnotations as ToolAnnotations,
)
from .runtime.ledger import (
    OutcomeUnknown as OutcomeUnknown,
)
from .runtime.service import (
    LifespanFailed as LifespanFailed,
)
from .security.principal import (
    Principal as Principal,
)
from .server.app import (
    App as App,
)
from .server.context import (
    Context as Context,
)
from .server.forms import (
    Form as Form,
)
from .server.markers import (
    Ask as Ask,
)
from .server.markers import (
    Depends as Depends,
)
from .server.markers import (
    Doc as Doc,
)
from .server.markers import (
    Header as Header,
)
from .server.markers import (
    Length as Length,
)
from .server.markers import (
    Pattern as Pattern,
)
from .server.markers import (
    Range as Range,
)
from .server.markers import (
    Secret as Secret,
)
from .server.markers import (
    Titles as Titles,
)
from .server.media import (
    Audio as Audio,
)
from .server.media import (
    File as File,
)
from .server.media import (
    Image as Image,
)
from .server.messages import (
    assistant as assistant,
)
from .server.messages import (
    user as user,
)
from .server.questions import (
    Elicit as Elicit,
)
from .server.questions import (
    ElicitURL as ElicitURL,
)
from .server.questions import (
    Roots as Roots,
)
from .server.questions import (
    Sample as Sample,
)
from .server.questions import (
    visit_first as visit_first,
)
from .server.signature import (
    RegistrationError as RegistrationError,
)
from .transports.http_server.routes import (
    Request as Request,
)
from .transports.http_server.routes import (
    Response as Response,
)

__version__: str
__all__ = [
    "Annotations",
    "App",
    "Ask",
    "Audio",
    "AudioContent",
    "CallToolResult",
    "Client",
    "Closed",
    "Completion",
    "CompletionContext",
    "ConnectFailed",
    "ConnectionLost",
    "Context",
    "CreateMessageResult",
    "Declined",
    "Depends",
    "Dismissed",
    "Doc",
    "DovetailError",
    "Elicit",
    "ElicitURL",
    "EmbeddedResource",
    "FeatureUnavailable",
    "File",
    "Form",
    "GetPromptResult",
    "HTTPStatusError",
    "Header",
    "Icon",
    "Image",
    "ImageContent",
    "InputRequired",
    "InternalError",
    "InvalidParams",
    "Length",
    "LifespanFailed",
    "LocalProtocolError",
    "LoginRequired",
    "MethodNotFound",
    "MissingCapability",
    "OutcomeUnknown",
    "Pattern",
    "Principal",
    "PromptMessage",
    "RPCError",
    "Range",
    "ReadResourceResult",
    "RegistrationError",
    "RemoteProtocolError",
    "Request",
    "RequestCancelled",
    "RequestTimeout",
    "ResourceContents",
    "ResourceLink",
    "ResourceNotFound",
    "Response",
    "Root",
    "Roots",
    "Sample",
    "SamplingMessage",
    "Secret",
    "ServerExited",
    "TextContent",
    "Titles",
    "Tool",
    "ToolAnnotations",
    "ToolError",
    "ToolResult",
    "TransportError",
    "URLElicitationRequired",
    "assistant",
    "user",
    "visit_first",
    "__version__",
]
