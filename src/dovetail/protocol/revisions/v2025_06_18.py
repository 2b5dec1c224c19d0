"""Revision 2025-06-18: elicitation, structured content, resource links, titles, ``_meta`` everywhere; no more
batches.
"""

from .. import names
from ..types import (
    Annotations,
    AudioContent,
    CallToolResult,
    ClientCapabilities,
    CompleteParams,
    ElicitationCapability,
    ElicitParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    Implementation,
    Prompt,
    PromptArgument,
    PromptReference,
    Resource,
    ResourceContents,
    ResourceLink,
    ResourceTemplate,
    Root,
    TextContent,
    Tool,
)
from .features import Feature
from .profile import Method
from .v2025_03_26 import V2025_03_26

V2025_06_18 = V2025_03_26.next(
    "2025-06-18",
    server_requests=[Method(names.ELICITATION_CREATE, ElicitParams, ElicitResult, capability="elicitation")],
    features={
        Feature.COMPLETION_CONTEXT,
        Feature.STRUCTURED_CONTENT,
        Feature.ELICITATION,
        Feature.VERSION_HEADER,
    },
    without={Feature.BATCHES},
    content={"resource_link"},
    present={
        Tool: {"title", "_meta", "outputSchema"},
        Resource: {"title", "_meta"},
        ResourceTemplate: {"title", "_meta"},
        ResourceLink: {"title", "_meta"},
        ResourceContents: {"_meta"},
        Prompt: {"title", "_meta"},
        PromptArgument: {"title"},
        PromptReference: {"title"},
        TextContent: {"_meta"},
        ImageContent: {"_meta"},
        AudioContent: {"_meta"},
        EmbeddedResource: {"_meta"},
        Root: {"_meta"},
        Annotations: {"lastModified"},
        Implementation: {"title"},
        ClientCapabilities: {"elicitation"},
        CallToolResult: {"structuredContent"},
        CompleteParams: {"context"},
    },
    gone={
        ElicitationCapability: {"form", "url"},
        ElicitParams: {"mode", "url", "elicitationId"},
        ElicitResult: {"resultType"},
    },
)
