"""The tree of errors.

Everything Dovetail raises on purpose is a `DovetailError`. Below it, what went wrong decides the branch:

* `RPCError`: a JSON-RPC error. A handler raises one to answer with it; a client raises the one it was
  answered with.
* `LocalProtocolError`: we were asked to make a move that the revision or the peer's capabilities forbid.
  Nothing was sent.
* `RemoteProtocolError`: the peer sent something that the protocol does not allow.
* `TransportError`: the bytes did not get through.

``retry_safe`` says whether the same call may be made again without the risk of doing its work twice. An error of a
client's call knows the ``method`` and the ``server``, and names both in its text. That text is safe to show
(`dovetail.protocol.safe_text`): a peer may have written parts of it.
Specification: basic/index, "Error Codes"; the codes that exist only in some revisions are in the revision
tables.
"""

from typing import Any, ClassVar, Final, cast

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
URL_ELICITATION_REQUIRED: Final = -32042
USER_REJECTED: Final = -1


def in_seconds(amount: float) -> str:
    """A time for people: "1 second", "0.25 seconds"."""
    text = f"{amount:.4g}" if amount < 1000 else f"{amount:.0f}"
    return f"{text} second" if text == "1" else f"{text} seconds"


class DovetailError(Exception):
    """Anything that Dovetail reports. ``retry_safe``: the same call may be made again without doing its work
    twice. ``method`` and ``server``: of the client's call that failed, empty where there was none; of a question of a
    server's that its client answered with an error, ``server`` says so.
    """

    retry_safe: bool = False
    method: str = ""
    server: str = ""

    def __str__(self) -> str:
        from .safe_text import safe  # only once an error is shown

        text = super().__str__()
        where = self._where(text)
        return safe(f"{text} ({where})" if where else text)

    def of_call(self, method: str, server: str) -> None:
        """Say which call this is the error of, unless that was said: ``server`` as it may be shown."""
        self.method = self.method or method
        self.server = self.server or server

    def _where(self, text: str) -> str:
        """What the text does not name yet of method and server."""
        missing = [name for name in (self.method, self.server) if name and name not in text]
        return " to ".join(missing)


class LocalProtocolError(DovetailError):
    """We were asked for a move that is not allowed here, and nothing was sent: mend the call as the text says."""

    retry_safe = True


class FeatureUnavailable(LocalProtocolError):
    """The revision in use, or what the peer declared, does not have what was asked for: look at `Client.revision` and
    `Client.server_capabilities` first, or do without.
    """


class RemoteProtocolError(DovetailError):
    """The peer sent something that the protocol does not allow; tell those who run it. Whether it did the work is
    unknown.
    """


class TransportError(DovetailError):
    """Bytes could not be exchanged with the peer; ``retry_safe`` says whether to try again."""


class ConnectFailed(TransportError):
    """No connection could be made, and nothing was sent: see that the server runs there, and try again."""

    retry_safe = True


class ConnectionLost(TransportError):
    """The connection ended while a call was open; whether the peer did the work is unknown, so look before you make the
    call again.
    """


class ServerExited(ConnectionLost):
    """A server that we started ended. ``status`` is its exit status (negative: the signal), ``stderr`` its
    last lines, which say why.
    """

    def __init__(self, message: str, *, status: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.stderr = stderr


class HTTPStatusError(TransportError):
    """An HTTP answer that is not one of the protocol's. ``status``, and the start of the body in ``excerpt``;
    ``retry_after``: after how many seconds the server wants to be asked again, None if it did not say.
    """

    def __init__(
        self, message: str, *, status: int, excerpt: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.excerpt = excerpt
        self.retry_after = retry_after
        self.retry_safe = status in (401, 403, 429, 503)


class LoginRequired(HTTPStatusError):
    """The server answered 401, or 403 with a challenge for more scopes: authorization comes first. ``challenge``
    is its WWW-Authenticate header. Any other 403 is an `HTTPStatusError`: no login would help.
    """

    def __init__(self, message: str, *, status: int, challenge: str = "", excerpt: str = "") -> None:
        super().__init__(message, status=status, excerpt=excerpt)
        self.challenge = challenge


class SessionEnded(TransportError):
    """The server no longer knows our session (HTTP 404, or 400), and lost the next one too; open the client again. The
    request was refused before any work.
    """

    retry_safe = True


class MessageTooLarge(TransportError):
    """A message is larger than the limit in force, which the text names: send or ask for less at once."""


class RequestTimeout(DovetailError, TimeoutError):
    """No answer in time. The call was cancelled; whether the peer did the work is unknown. Give it a longer
    ``timeout``. It is a builtin TimeoutError as well, so that code which knows only that one takes it.
    """


class RequestCancelled(DovetailError):
    """The call was cancelled, by this side or by the other; make it again if it is still wanted."""


class Closed(DovetailError):
    """The client or server is closed; open it again, or make another."""

    retry_safe = True


class ToolError(DovetailError):
    """Raised by a tool: the message reaches the model as an error result. Nothing else of the exception is
    sent. So it is kept as it is: nothing is escaped, and no address is named.
    """

    def __str__(self) -> str:
        return Exception.__str__(self)


class Declined(DovetailError):
    """The person said no to a question (action "decline"): go on without the answer, or let it pass, and the call
    fails with these words.
    """


class Dismissed(DovetailError):
    """The person closed a question without answering it (action "cancel"); they may be asked another time."""


class Unanswered(Dismissed):
    """A question got no answer in the time that it had, or nobody was there to read it; it may be asked another
    time.
    """


class RPCError(DovetailError):
    """A JSON-RPC error: ``code``, ``message``, optional ``data`` (any JSON value). ``message`` is as it was sent; the
    text of the exception is one line of it, safe to show.
    """

    default_code: ClassVar[int] = INTERNAL_ERROR

    def __init__(self, message: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.code = self.default_code if code is None else code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        from .safe_text import one_line, safe  # as above

        where = self._where(self.message)
        return f"{one_line(self.message)} (code {self.code}{'; ' if where else ''}{safe(where)})"


class ParseError(RPCError):
    """The peer could not read what was sent as JSON: something between the two changes messages, or one side is
    broken.
    """

    default_code = PARSE_ERROR


class InvalidRequest(RPCError):
    """The peer took what was sent for no message of the protocol, or for one that has no place now; nothing was
    done.
    """

    default_code = INVALID_REQUEST
    retry_safe = True


class MethodNotFound(RPCError):
    """The peer does not have the method; see what it declared that it can do."""

    default_code = METHOD_NOT_FOUND
    retry_safe = True


class InvalidParams(RPCError):
    """The parameters do not fit the method, or there is no such tool or prompt: the text says which, so call it
    otherwise. A handler raises it to say so.
    """

    default_code = INVALID_PARAMS
    retry_safe = True


class InternalError(RPCError):
    """The peer failed, and its log may say why; whether the work was done is unknown."""

    default_code = INTERNAL_ERROR


class ResourceNotFound(RPCError):
    """There is no such resource: list them again. A handler raises it, with the ``uri``, to say so. Its code is -32002
    before 2026-07-28 and -32602 since: the revision's table decides what is sent.
    """

    default_code = RESOURCE_NOT_FOUND
    retry_safe = True

    def __init__(
        self, message: str, *, code: int | None = None, data: Any = None, uri: str | None = None
    ) -> None:
        super().__init__(message, code=code, data=data if uri is None else {"uri": uri})


class HeaderMismatch(RPCError):
    """HTTP headers and body of a request disagree (2026-07-28): something between the two changes one of them."""

    default_code = HEADER_MISMATCH
    retry_safe = True


class MissingCapability(RPCError):
    """The request needs something of the client that it did not declare, which `required` names: give `Client` a
    handler for it (2026-07-28; ``data.requiredCapabilities``).
    """

    default_code = MISSING_CAPABILITY

    @property
    def required(self) -> dict[str, Any]:
        """The capabilities that the client would have to declare, as it would declare them."""
        data: Any = self.data
        found = cast("dict[str, Any]", data).get("requiredCapabilities") if isinstance(data, dict) else None
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


class UnsupportedVersion(RPCError):
    """The server does not speak the revision; ``data.supported`` lists what it speaks (2026-07-28). Leave out the
    option ``revision``, or name one of those.
    """

    default_code = UNSUPPORTED_VERSION
    retry_safe = True


class URLElicitationRequired(RPCError):
    """The person has to visit addresses first, which ``data.elicitations`` lists (2025-11-25): give `Client` an
    ``approve`` handler, and the visits are made. Servers raise it by `visit_first`.
    """

    default_code = URL_ELICITATION_REQUIRED


class RateLimited(RPCError):
    """The caller asked more often than ``App(rate_limit=...)`` allows; ``data.retryAfter`` says after how many
    seconds to try again.
    """

    default_code = -31429
    retry_safe = True


class UserRejected(RPCError):
    """The person refused a sampling request (stateful era): a server goes on without the model, and a client's handler
    raises it to refuse.
    """

    default_code = USER_REJECTED


_BY_CODE: Final[dict[int, type[RPCError]]] = {
    kind.default_code: kind
    for kind in (
        ParseError,
        InvalidRequest,
        MethodNotFound,
        InvalidParams,
        InternalError,
        ResourceNotFound,
        HeaderMismatch,
        MissingCapability,
        UnsupportedVersion,
        URLElicitationRequired,
        UserRejected,
    )
}


def copy_of(error: DovetailError) -> DovetailError:
    """A copy of an error, for one more waiter: tasks that raise the same exception mix up its tracebacks."""
    kind = type(error)
    twin = kind.__new__(kind, *error.args)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin


def not_sent(error: DovetailError) -> DovetailError:
    """A copy of an error for a message that came too late to be sent: nothing was done, so it may be made again."""
    twin = copy_of(error)
    twin.retry_safe = True
    return twin


def closed_in_use(reason: str) -> Closed:
    """The error of a call that was open when we closed: it may have done its work."""
    error = Closed(reason)
    error.retry_safe = False
    return error


def rpc_error(code: int, message: str, data: Any = None) -> RPCError:
    """The error of the tree for a code that came over the wire."""
    return _BY_CODE.get(code, RPCError)(message, code=code, data=data)
