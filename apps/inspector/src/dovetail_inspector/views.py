"""What is shown, as plain data: what the page and the terminal get, and nothing else.

Theory of operation. Each view is a value of its own with members that JSON has; names are in camel case on the wire, as
in the protocol. Whatever a server said is in them as it came: who shows it makes it safe (the page by text nodes alone,
the terminal by `dovetail.security.one_line`). ``page/src/api.ts`` says the same in TypeScript, and a test holds the two
against each other.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

__all__ = [
    "AppMessageView",
    "AppSender",
    "AppState",
    "AppView",
    "CallKind",
    "CallState",
    "CallView",
    "CardFactState",
    "CardFactView",
    "CardState",
    "CardView",
    "ConnectionSettings",
    "ErrorView",
    "FindingView",
    "HostServerView",
    "HostView",
    "InfoView",
    "ListView",
    "LoginDocumentView",
    "LoginRequestView",
    "LoginResponseView",
    "LoginStepView",
    "LoginView",
    "ProgressView",
    "QuestionKind",
    "QuestionView",
    "RecordDetail",
    "RecordKind",
    "RecordView",
    "RecordsPage",
    "RuleView",
    "ServerState",
    "ServerTarget",
    "ServerView",
    "SkillCheckState",
    "SkillCheckView",
    "SkillFileView",
    "SkillReadView",
    "SkillVerdictView",
    "SkillView",
    "SkillListView",
    "StateView",
    "TranscriptView",
]


class View(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """A value that is shown."""


class ErrorView(View, frozen=True):
    """Something failed. ``kind``: the name of the exception; ``message``: what happened and what to do; ``code`` and
    ``data``: of a protocol error.
    """

    kind: str
    message: str
    code: int | None = None
    data: Any = None


# Servers

ServerState = Literal["idle", "connecting", "ready", "renewing", "lost", "failed", "login"]


class ServerTarget(View, frozen=True):
    """Where a server is: a ``command`` with ``args``, ``env`` and ``cwd``, or a ``url`` with ``headers``. ``host``: in
    whose words variables are written in it, where it came from the file of a host; "" for none at all.
    """

    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    host: str = ""


class HostServerView(View, frozen=True):
    """A server in the file of a host. ``target``: its URL or whole command line, variables as they stand there;
    ``dangers``: what is rarely meant in it.
    """

    name: str
    target: str
    dangers: list[str] = []


class HostView(View, frozen=True):
    """The file of a host: ``name`` with its scope, ``path``, whether it ``exists``, and what could not be read of
    it."""

    name: str
    title: str
    path: str
    exists: bool
    servers: list[HostServerView]
    problem: str = ""


class ConnectionSettings(View, frozen=True):
    """How a server is spoken to. ``revision``: "auto" or one; ``timeout``: seconds of a call; ``roots``: paths or URIs;
    ``meta``: members for ``_meta`` of each request; ``log_level``: least severe log messages wanted; ``login``: log
    in by OAuth where the server asks for it; ``step_login``: each step of a login waits for the person;
    ``step_rounds``: rounds wait for the person one by one; ``sampling``,
    ``elicitation``, ``apps`` (views of tools): whether these are declared; ``ask_app_calls``: calls of views wait for
    the person; ``extensions``: identifiers with settings to declare besides tasks and skills.
    """

    revision: str = "auto"
    timeout: float = 60.0
    roots: list[str] = []
    meta: dict[str, Any] = {}
    log_level: str = ""
    login: bool = True
    step_login: bool = False
    step_rounds: bool = False
    sampling: bool = True
    elicitation: bool = True
    apps: bool = True
    ask_app_calls: bool = True
    extensions: dict[str, Any] = {}


class ServerView(View, frozen=True):
    """A server that is looked at. ``source``: where it came from (the command line, a host's file, the person);
    ``transcript``: the id of its newest conversation; ``error``: why it is not ready. ``extensions``: those that the
    server declares, by identifier, while it is connected; ``subscriptions``: the URIs that are subscribed to in this
    connection. ``secrets``: the variables or headers whose values are in the keyring of the system; they are never
    shown.
    """

    id: str
    name: str
    target: ServerTarget
    settings: ConnectionSettings
    state: ServerState
    source: str = ""
    transcript: str | None = None
    revision: str = ""
    era: str = ""
    renewals: int = 0
    error: ErrorView | None = None
    extensions: list[str] = []
    subscriptions: list[str] = []
    secrets: list[str] = []


class InfoView(View, frozen=True):
    """What a connected server says of itself: members as on the wire. ``warnings``: what it got wrong and was put up
    with. ``client_capabilities``: what the client said that it can do. ``icon``: which of its icons is drawn.
    """

    revision: str
    era: str
    server_info: dict[str, Any] | None
    capabilities: dict[str, Any] | None
    instructions: str | None
    client_capabilities: dict[str, Any] = {}
    warnings: list[str] = []
    icon: int | None = None


CardFactState = Literal["same", "differs", "missing"]
CardState = Literal["found", "absent", "failed", "local"]


class CardFactView(View, frozen=True):
    """Something that a card says, beside what the server says of it while it runs; None where one of them is silent
    (``missing``). ``note``: what to think of it.
    """

    fact: str
    state: CardFactState
    card: Any = None
    server: Any = None
    note: str = ""


class CardView(View, frozen=True):
    """The server card at ``url``. ``state``: it was ``found``; there is none (``absent``); getting it ``failed``; or
    the server is started here, and has none by nature (``local``); ``message`` says it in words. ``content``: as it
    came. ``notes``: what is wrong with it and how it is served. ``facts``: nothing while the server is not connected.
    """

    state: CardState
    message: str
    url: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    content: Any = None
    notes: list[FindingView] = []
    facts: list[CardFactView] = []


class ListView(View, frozen=True):
    """Everything of one kind that a server lists, members as on the wire. ``notes``: for each entry that has something
    wrong with it, what a model or a host could not use, by its place in ``items``. ``next_cursor``: of one page, what
    the next one is asked for with; None after the last, and of the whole list. ``icons``: by place, which of the icons
    of an entry is drawn.
    """

    items: list[dict[str, Any]]
    notes: dict[int, list[FindingView]] = {}
    next_cursor: str | None = None
    icons: dict[int, int] = {}


# Skills

SkillCheckState = Literal["passed", "failed", "unknown"]


class SkillFileView(View, frozen=True):
    """A file as the entry of its skill promises it. ``path``: inside the directory of the skill, "" for one that is
    outside. ``size``: bytes, None where none is promised.
    """

    uri: str
    path: str
    digest: str
    size: int | None = None


class SkillView(View, frozen=True):
    """The entry of a skill. ``dynamic``: its files are not listed. ``size``: bytes of all files that are. ``entry``: as
    it came; ``notes``: what is wrong with it.
    """

    uri: str
    name: str
    description: str
    dynamic: bool = False
    size: int = 0
    files: list[SkillFileView] = []
    entry: Any = None
    notes: list[FindingView] = []


class SkillListView(View, frozen=True):
    """The skills that a server lists. ``declared``: whether it has the extension at all; ``directories``: whether it
    lists directories. ``notes``: what is wrong with the list. ``more``: it has further pages that were not asked for.
    """

    declared: bool
    directories: bool = False
    skills: list[SkillView] = []
    notes: list[FindingView] = []
    more: bool = False


class SkillCheckView(View, frozen=True):
    """A rule by which a host takes a file or refuses it: "listed", "size", "digest", "frontmatter"; "read" and "uri"
    where they failed. ``unknown``: there is nothing to hold it against.
    """

    check: str
    state: SkillCheckState
    note: str = ""


class SkillReadView(View, frozen=True):
    """A file of a skill that was read, and how it fared: ``failed`` if any check did. ``text``: None where it is none.
    ``omitted``: characters that are not here. ``hidden``: characters in it that nobody sees.
    """

    uri: str
    state: SkillCheckState
    checks: list[SkillCheckView]
    mime_type: str = ""
    digest: str = ""
    size: int = 0
    text: str | None = None
    omitted: int = 0
    hidden: list[str] = []


class SkillVerdictView(View, frozen=True):
    """All files of a skill, read and checked; their texts are left out. ``unlisted`` and ``gone``: what only the
    directories of the server have, and what only the entry has. ``notes``: what else was found.
    """

    skill: SkillView
    state: SkillCheckState
    files: list[SkillReadView] = []
    unlisted: list[str] = []
    gone: list[str] = []
    notes: list[FindingView] = []


# Logins

LoginParty = Literal["client", "server", "authority", "person"]


class LoginRequestView(View, frozen=True):
    """What was sent in a step. ``sent``: the form, query or JSON, with its secrets shortened."""

    method: str
    url: str
    headers: dict[str, str] = {}
    sent: Any = None


class LoginResponseView(View, frozen=True):
    """What came back in a step. ``status``: of HTTP."""

    status: int
    headers: dict[str, str] = {}


class LoginDocumentView(View, frozen=True):
    """Something to read beside a step. ``omitted``: bytes of it that are not here, for it is too long."""

    title: str
    content: Any
    omitted: int = 0


class LoginStepView(View, frozen=True):
    """A step of a login. ``source`` and ``target``: who said something to whom, alike where the client only decided.
    ``held``: it waits for the person. ``state``: how it went. ``requirement``: the rule that decided, ``decision`` what
    it decided. ``time``: RFC 3339.
    """

    id: int
    kind: str
    title: str
    source: LoginParty
    target: LoginParty
    state: Literal["done", "missing", "refused", "failed"]
    held: bool
    time: str
    decision: str
    requirement: str = ""
    request: LoginRequestView | None = None
    response: LoginResponseView | None = None
    documents: list[LoginDocumentView] = []


class LoginView(View, frozen=True):
    """The logins of a server, oldest step first. ``waiting``: whether a step is held; ``stepping``: whether the next
    will be.
    """

    server: str
    steps: list[LoginStepView]
    waiting: bool
    stepping: bool


# Calls

CallKind = Literal[
    "tool", "read", "prompt", "complete", "request", "subscribe", "unsubscribe", "log-level", "ping"
]
CallState = Literal["running", "done", "failed", "cancelled"]


class ProgressView(View, frozen=True):
    """A step of progress. ``at``: seconds since the call began."""

    at: float
    progress: float
    total: float | None = None
    message: str = ""


class CallView(View, frozen=True):
    """Something that was asked of a server. ``params``: as sent; ``result``: as it came, where it is ``done``.
    ``checked``: whether structured content was held against the tool's schema; ``problem``: what did not fit.
    ``task``: the id of the task that it became. ``records``: numbers of the records that belong to it.
    """

    id: str
    server: str
    kind: CallKind
    method: str
    name: str
    params: dict[str, Any]
    state: CallState
    began: str
    seconds: float | None = None
    progress: list[ProgressView] = []
    result: Any = None
    error: ErrorView | None = None
    checked: bool = False
    problem: str = ""
    task: str = ""
    records: list[int] = []


QuestionKind = Literal["form", "visit", "sampling", "roots", "round", "login", "app-call", "app-link"]


class QuestionView(View, frozen=True):
    """Something that a server asks the person. ``form``: ``message`` and ``schema``. ``visit`` and ``login``:
    ``message``, ``url`` and the ``host`` as it will be resolved. ``sampling``, ``roots``, ``round``: ``params`` (of a
    round: its ``inputRequests`` and the number of the round). ``app-link``: like ``visit``, asked by a view;
    ``app-call``: ``params`` of the call that a view wants to make, which with the content "always" are not asked again.
    """

    id: str
    server: str
    kind: QuestionKind
    asked: str
    call: str | None = None
    message: str = ""
    schema: dict[str, Any] | None = None
    url: str = ""
    host: str = ""
    params: dict[str, Any] | None = None


# Views of apps

AppState = Literal["loading", "running", "closing", "closed"]
AppSender = Literal["view", "host", "browser"]


class AppView(View, frozen=True):
    """A view that a tool has, opened for a call of it. ``frame``: the address that its sandbox is loaded from;
    ``allow``: what its frames may use; ``policy``: what a browser is told to keep it to; ``refused``: what its server
    declared and is in no policy; ``blocked``: what the browser kept it from. ``width``, ``height``: as the view wants
    to be, in pixels.
    ``app``: what it says that it is; ``context``: what it would have a model know; ``notes``: what is wrong with its
    document; ``dropped``: messages of it that were not read; ``reason``: why it is closed.
    """

    id: str
    server: str
    call: str
    tool: str
    uri: str
    state: AppState
    frame: str
    allow: str
    policy: str
    declared: bool
    permissions: list[str]
    refused: list[str]
    blocked: list[str] = []
    prefers_border: bool | None = None
    mode: Literal["inline", "fullscreen"] = "inline"
    modes: list[str] = []
    width: float | None = None
    height: float | None = None
    app: dict[str, Any] = {}
    context: Any = None
    notes: list[str] = []
    dropped: int = 0
    reason: str = ""


class AppMessageView(View, frozen=True):
    """Something that went between a view and its host. ``n``: its number, from 1; ``time``: RFC 3339. ``sender``: the
    browser where it says what it kept the view from. ``message``: as JSON, None where there is none, and where it is
    ``omitted``: too long to be told, and to be asked for. ``size``: characters; ``note``: what is wrong with it.
    """

    app: str
    n: int
    time: str
    sender: AppSender
    method: str = ""
    id: Any = None
    size: int = 0
    message: Any = None
    omitted: bool = False
    note: str = ""


# What was said

RecordKind = Literal[
    "request", "notification", "response", "error", "batch", "http", "text", "omitted", "mark", "stderr"
]


class FindingView(View, frozen=True):
    """Something wrong with a message. ``where``: a JSON pointer into it, or the name of a header; ``page``: the
    address of the page that says so.
    """

    rule: str
    severity: Literal["error", "warning", "hint"]
    what: str
    where: str = ""
    requirement: str = ""
    page: str = ""
    sender: str = ""
    about: int = 0


class RuleView(View, frozen=True):
    """A rule that was broken in a conversation, with what was found the first time. ``count``: how often; ``records``:
    the numbers of the first messages that break it.
    """

    rule: str
    severity: Literal["error", "warning", "hint"]
    what: str
    requirement: str
    page: str
    count: int
    records: list[int]


class RecordView(View, frozen=True):
    """A line of a conversation, in short. ``n``: its number in the capture; ``seconds`` since that began, ``time`` as
    RFC 3339. ``pair``: the number of the request or response that belongs to it, 0 while there is none; ``latency``:
    of a response, in seconds. ``group``: the number of the request that it belongs to, as questions and rounds of a
    call do. ``summary``: a few words of what it says. ``size``: bytes. ``findings``: the worst severity, "" for none.
    """

    n: int
    seconds: float
    time: str
    link: int
    transport: str
    sender: str
    kind: RecordKind
    revision: str = ""
    method: str = ""
    id: Any = None
    name: str = ""
    pair: int = 0
    latency: float | None = None
    group: int = 0
    size: int = 0
    summary: str = ""
    exchange: int = 0
    http_method: str = ""
    target: str = ""
    status: int = 0
    event: str = ""
    end: str = ""
    findings: str = ""


class RecordDetail(View, frozen=True):
    """A line, whole. ``text``: the message as it came, ``value``: as JSON, where it is any. ``truncated``: bytes of it
    that are not here (it is longer than what is shown at once; an export has all). ``draft``: of a request or
    notification of the client, what is written to send it once more: without what the client writes by itself.
    """

    record: RecordView
    headers: dict[str, str] = {}
    text: str = ""
    value: Any = None
    truncated: int = 0
    findings: list[FindingView] = []
    draft: dict[str, Any] | None = None


class RecordsPage(View, frozen=True):
    """Lines of a conversation, in order. ``total``: how many there are that match."""

    records: list[RecordView]
    total: int


class TranscriptView(View, frozen=True):
    """A conversation. ``server``: whose it is, None for a capture that was opened. ``live``: more may come."""

    id: str
    name: str
    began: str
    count: int
    live: bool
    server: str | None = None
    place: str = ""
    redacted: bool = False
    findings: dict[str, int] = {}


class StateView(View, frozen=True):
    """All that there is when the page opens. ``logs``: the newest log messages, as events tell of them; ``seq``: the
    number of the last event that it contains.
    """

    version: str
    revisions: list[str]
    servers: list[ServerView]
    transcripts: list[TranscriptView]
    questions: list[QuestionView]
    calls: list[CallView]
    logs: list[Any]
    seq: int
