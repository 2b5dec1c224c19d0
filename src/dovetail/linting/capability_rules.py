"""Capabilities: what is used and was not declared, and what is used and deprecated.

Specification: basic/lifecycle, "Capability Negotiation"; 2026-07-28 basic/index, "Capabilities"; deprecated.
"""

from __future__ import annotations

from typing import Any, Final

from ..protocol import names
from ..protocol.meta_keys import is_extension_identifier
from ..protocol.revisions import Feature
from .heard import Heard, member, objects, shown

__all__ = ["answer", "asks_client", "call"]

_LISTS: Final = {
    names.NOTIFY_TOOLS_CHANGED: "tools",
    names.NOTIFY_PROMPTS_CHANGED: "prompts",
    names.NOTIFY_RESOURCES_CHANGED: "resources",
    names.NOTIFY_ROOTS_CHANGED: "roots",
}
_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_CONTEXTS: Final = ("thisServer", "allServers")
_DEPRECATED: Final = ("sampling", "roots", "logging")


def call(heard: Heard) -> None:
    """What a request or a notification uses."""
    if heard.profile is None:
        return
    if heard.is_request:
        if heard.sender == "client":
            _of_client(heard)
        elif heard.stateful:
            asks_client(heard, heard.method, heard.params, heard.talk.client, "/params")
    elif heard.method in _LISTS:
        _list_changed(heard)
    elif heard.method == names.NOTIFY_MESSAGE:
        _logged(heard)
    elif heard.method == names.NOTIFY_RESOURCE_UPDATED:
        _updated(heard)


def _of_client(heard: Heard) -> None:
    profile, server = heard.profile, heard.talk.server
    if profile is None:
        return
    declared = heard.params.get("capabilities") if heard.method == names.INITIALIZE else None
    if profile.stateless:
        declared = heard.meta.get(names.META_CLIENT_CAPABILITIES)
    _declared(heard, declared, "client")
    known = profile.client_requests.get(heard.method)
    if known is None:
        return
    if heard.method == names.LOGGING_SET_LEVEL and isinstance(heard.params.get("level"), str):
        heard.talk.level = heard.params["level"]
    if heard.method == names.RESOURCES_SUBSCRIBE and len(heard.talk.uris) < 1_000:
        heard.talk.uris.add(str(heard.params.get("uri"))[:1_000])
    if (
        known.capability
        and server is not None
        and not _offers(server, known.capability)
        and heard.talk.once(f"capability-not-offered {known.capability}")
    ):
        said = f"{heard.method} needs the capability {known.capability}, which the server did not declare"
        heard.say("capability-not-offered", said, "/method", heard.talk.initialize_answered)


def answer(heard: Heard) -> None:
    """Whether the server answers what it did not declare."""
    asked, profile, result = heard.asked, heard.profile, heard.result
    if asked is None or profile is None or result is None or heard.sender == "client":
        return
    if asked.method in (names.INITIALIZE, names.DISCOVER):
        _declared(heard, result.get("capabilities"), "server")
    known = profile.client_requests.get(asked.method)
    server = heard.talk.server
    if known is None or not known.capability or server is None or _offers(server, known.capability):
        return
    if heard.talk.once(f"capability-undeclared {known.capability}"):
        said = f"{asked.method} is answered, and the capability {known.capability} is not declared"
        heard.say("capability-undeclared", said, "", asked.line)


def _offers(capabilities: dict[str, Any], path: str) -> bool:
    found = member(capabilities, *path.split("."))
    return found is not None and found is not False


def _declared(heard: Heard, capabilities: Any, side: str) -> None:
    """What a declaration has that is deprecated, or is called as no extension is."""
    profile = heard.profile
    declared = objects(capabilities)
    if not declared or profile is None:
        return
    if profile.stateless:
        for name in _DEPRECATED:
            if name in declared and heard.talk.once(f"deprecated {side} {name}"):
                heard.say(
                    "deprecated", f"the {side} declares {name}, which is deprecated since {profile.revision}"
                )
    for name in objects(declared.get("extensions")):
        if not is_extension_identifier(name) and heard.talk.once(f"extension-identifier {name[:100]}"):
            heard.say(
                "extension-identifier", f"{shown(name)} can't name an extension: prefix it, as com.example/x"
            )


def asks_client(
    heard: Heard, method: str, params: dict[str, Any], client: dict[str, Any] | None, where: str
) -> None:
    """What a server asks of a client, in a request or in a result, that did not declare it."""
    profile = heard.profile
    if client is None or profile is None:
        return
    known = profile.server_requests.get(method)
    needed = "" if known is None else known.capability
    if method == names.ELICITATION_CREATE:
        needed = _elicitation(heard, params, objects(client.get("elicitation")))
    elif method == names.SAMPLING_CREATE_MESSAGE:
        sampling = objects(client.get("sampling"))
        if ("tools" in params or "toolChoice" in params) and "tools" not in sampling:
            needed = "sampling.tools"
        context = params.get("includeContext")
        if profile.has(Feature.SAMPLING_CONTEXT) and context in _CONTEXTS and "context" not in sampling:
            said = f"the context {context} is asked for, and the client did not declare sampling.context"
            heard.say("sampling-context-undeclared", said, f"{where}/includeContext")
    if needed and not _offers(client, needed):
        said = f"{method} needs the capability {needed}, which the client did not declare"
        heard.say("client-capability-missing", said, where.removesuffix("/params"))


def _elicitation(heard: Heard, params: dict[str, Any], declared: dict[str, Any]) -> str:
    if heard.profile is None or not heard.profile.has(Feature.ELICITATION_MODES):
        return "elicitation"
    if params.get("mode") == "url":
        return "elicitation.url"
    return "elicitation.form" if "url" in declared else "elicitation"


def _list_changed(heard: Heard) -> None:
    kind = _LISTS[heard.method]
    declared = heard.talk.server if heard.sender == "server" else heard.talk.client
    if declared is None or member(declared, kind, "listChanged") is True:
        return
    said = f"{heard.method} is sent by a {heard.sender} that did not declare {kind}.listChanged"
    heard.say("list-changed-undeclared", said, "/method", heard.talk.initialize_answered)


def _updated(heard: Heard) -> None:
    server = heard.talk.server
    if server is not None and not _offers(server, "resources.subscribe"):
        said = "a resource is said to have changed by a server that did not declare resources.subscribe"
        heard.say("updates-undeclared", said, "/method", heard.talk.initialize_answered)
    elif heard.stateful and heard.talk.begun:
        uri = str(heard.params.get("uri"))
        if not any(uri.startswith(each) for each in heard.talk.uris):
            heard.say("not-subscribed", f"nobody subscribed to {shown(uri)}", "/params/uri")


def _logged(heard: Heard) -> None:
    server, level = heard.talk.server, heard.params.get("level")
    if server is not None and not _offers(server, "logging") and heard.talk.once("logging-undeclared"):
        said = "the server sends log messages, and did not declare logging"
        heard.say("logging-undeclared", said, "/method", heard.talk.initialize_answered)
    wanted = heard.talk.level
    if heard.stateless:
        wanted = _wanted_level(heard)
    if wanted in _LEVELS and level in _LEVELS and _LEVELS.index(level) < _LEVELS.index(wanted):
        heard.say(
            "log-below-level",
            f"a message of level {level} comes, and {wanted} was asked for",
            "/params/level",
        )


def _wanted_level(heard: Heard) -> str:
    """The level that the requests in question ask for; says so where none does."""
    if heard.exchange is not None and heard.exchange.listen is not None:
        return ""
    place = heard.place
    levels = [level for key, level in heard.talk.logging.items() if key[: len(place)] == place]
    if not levels and not heard.memory.forgot:
        said = "a log message comes, and no request that is open asked for any"
        heard.say("log-not-requested", said, "/method")
    known = [each for each in levels if each in _LEVELS]
    return min(known, key=_LEVELS.index) if known else ""
