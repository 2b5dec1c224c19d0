"""One entry of a file as a value, and back, by the words of its host (`hosts.Dialect`).

What we don't know of an entry is kept: it stands in ``extra``, and is written again to the same host and to no other.
Specification: none; the documentation of each host.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from .definitions import ServerDefinition, ServerTransport
from .errors import ConfigurationError
from .hosts import HOSTS, Dialect, HostFormat
from .variables import VariableSyntax, rendered

__all__ = ["entry_of", "read_entry", "translated"]


def read_entry(name: str, value: Any, host: HostFormat) -> ServerDefinition | None:
    """A server of a host's file; None for what is no server of this protocol (something built into the host). Raises
    `ConfigurationError` for an entry that means nothing.
    """
    if not isinstance(value, dict):
        raise ConfigurationError(f"{host.title} has {name!r} as {type(value).__name__}, not as an object")
    entry = cast("dict[str, Any]", value)
    dialect = host.dialect
    word = _text(entry, dialect.type_member, name)
    if word in dialect.others:
        return None
    url, of_url = _url(entry, dialect, name)
    command, args, env = _command(entry, dialect, name)
    transport = _transport(word, dialect, of_url, name)
    if transport == "stdio" and not command and not url and dialect.type_member == "source":
        return None  # settings of a server that an extension of the editor brings
    disabled = entry.get(dialect.disabled) if dialect.disabled else None
    enabled = entry.get(dialect.enabled) if dialect.enabled else None
    return ServerDefinition(
        name=name,
        transport=transport,
        command=command if transport == "stdio" else "",
        args=args if transport == "stdio" else (),
        env=env if transport == "stdio" else {},
        cwd=_text(entry, dialect.cwd, name) if transport == "stdio" else "",
        url="" if transport == "stdio" else url,
        headers={} if transport == "stdio" else _texts(entry, dialect.headers, name),
        enabled=disabled is not True and enabled is not False,
        extra={each: entry[each] for each in entry if each not in _known(dialect)},
        host=host.name,
        variables=_own_words(host),
    )


def _own_words(host: HostFormat) -> VariableSyntax | None:
    """The words of a host that is not in the table."""
    return None if HOSTS.get(host.name) == host else host.variables


def entry_of(
    definition: ServerDefinition, host: HostFormat, old: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What stands in a host's file for a server. ``old``: the entry that is there; what it has and we don't know stays.
    Raises `ConfigurationError` for what the host has no words for.
    """
    definition = translated(definition, host)
    dialect = host.dialect
    known = _known(dialect)
    kept = {name: each for name, each in (old or {}).items() if name not in known}
    if old is None:
        kept |= dialect.always
    kept |= definition.extra
    ours: dict[str, Any] = {}
    if dialect.named and old is None:
        kept.setdefault(dialect.named, definition.name)
    word = dialect.types.get(definition.transport, "")
    if word:
        ours[dialect.type_member] = word
    if definition.transport == "stdio":
        ours |= _process(definition, host)
    else:
        ours |= _remote(definition, host)
    if dialect.enabled and (host.syntax == "yaml" or not definition.enabled):
        ours[dialect.enabled] = definition.enabled
    elif not definition.enabled:
        if not dialect.disabled:
            raise ConfigurationError(
                f"{host.title} has no word for a server that is switched off; remove it there"
            )
        ours[dialect.disabled] = True
    elif old is not None and dialect.disabled in old:
        ours[dialect.disabled] = False
    return _in_order({**ours, **kept}, old or {})


def translated(definition: ServerDefinition, host: HostFormat) -> ServerDefinition:
    """A server in the words of another host: variables as it writes them, without what the first one knew alone. The
    same, for the same host. Raises `ConfigurationError` for what it has no words for.
    """
    source = definition.syntax
    if definition.host == host.name and source == host.variables:
        return definition

    def said(text: str) -> str:
        return rendered(text, source, host.variables, host.title)

    return replace(
        definition,
        command=said(definition.command),
        args=tuple(map(said, definition.args)),
        env={name: said(each) for name, each in definition.env.items()},
        cwd=said(definition.cwd),
        url=said(definition.url),
        headers={name: said(each) for name, each in definition.headers.items()},
        extra={},
        host=host.name,
        variables=_own_words(host),
    )


def _known(dialect: Dialect) -> set[str]:
    names = {dialect.command, dialect.args, dialect.env, dialect.cwd, dialect.headers, dialect.type_member}
    names |= {dialect.disabled, dialect.enabled, *(name for name, _ in dialect.urls)}
    return names - {""}


def _process(definition: ServerDefinition, host: HostFormat) -> dict[str, Any]:
    dialect = host.dialect
    entry: dict[str, Any] = {dialect.command: definition.command, dialect.args: list(definition.args)}
    if definition.env:
        entry[dialect.env] = dict(definition.env)
    if definition.cwd:
        if not dialect.cwd:
            raise ConfigurationError(
                f"{host.title} starts servers in a folder of its own choice, so cwd can't be said; write full paths"
            )
        entry[dialect.cwd] = definition.cwd
    return entry


def _remote(definition: ServerDefinition, host: HostFormat) -> dict[str, Any]:
    dialect = host.dialect
    if not dialect.urls:
        raise ConfigurationError(
            f"the file of {host.title} has no servers at a URL; add it as a connector there, or give a command that "
            "leads to it, such as `dovetail proxy URL`"
        )
    name = next((name for name, means in dialect.urls if means == definition.transport), dialect.urls[0][0])
    entry: dict[str, Any] = {name: definition.url}
    if definition.headers:
        entry[dialect.headers] = dict(definition.headers)
    return entry


def _in_order(entry: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The members in the order that they had."""
    return {name: entry[name] for name in [*(each for each in old if each in entry), *entry]}


def _transport(word: str, dialect: Dialect, of_url: str, name: str) -> ServerTransport:
    words = {each: transport for transport, each in dialect.types.items() if each} | dict(dialect.also)
    if word and word not in words:
        raise ConfigurationError(f"the server {name!r} is of the type {word!r}, which nobody knows")
    found = words.get(word, "") or of_url or "stdio"
    return "http" if found == "http" else "sse" if found == "sse" else "stdio"


def _url(entry: dict[str, Any], dialect: Dialect, name: str) -> tuple[str, str]:
    for member, means in dialect.urls:
        if url := _text(entry, member, name):
            return url, means
    return "", ""


def _command(
    entry: dict[str, Any], dialect: Dialect, name: str
) -> tuple[str, tuple[str, ...], dict[str, str]]:
    command: Any = entry.get(dialect.command)
    if isinstance(command, dict):  # as Zed wrote it once
        inner = cast("dict[str, Any]", command)
        return _text(inner, "path", name), _list(inner, "args", name), _texts(inner, "env", name)
    return (
        _text(entry, dialect.command, name),
        _list(entry, dialect.args, name),
        _texts(entry, dialect.env, name),
    )


def _text(entry: dict[str, Any], member: str, name: str) -> str:
    found: Any = entry.get(member) if member else None
    if found is None:
        return ""
    if not isinstance(found, str):
        raise ConfigurationError(f"{member!r} of the server {name!r} is no text")
    return found


def _list(entry: dict[str, Any], member: str, name: str) -> tuple[str, ...]:
    found: Any = entry.get(member)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(each, str) for each in cast("list[Any]", found)):
        raise ConfigurationError(f"{member!r} of the server {name!r} is no list of texts")
    return tuple(cast("list[str]", found))


def _texts(entry: dict[str, Any], member: str, name: str) -> dict[str, str]:
    """Names and texts; a number or a truth value is the text of itself, as hosts take it."""
    found: Any = entry.get(member)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigurationError(f"{member!r} of the server {name!r} is no object")
    texts: dict[str, str] = {}
    for key, each in cast("dict[Any, Any]", found).items():
        if not isinstance(each, (str, int, float)):
            raise ConfigurationError(f"{key!r} in {member!r} of the server {name!r} is no text")
        texts[str(key)] = str(each).lower() if isinstance(each, bool) else str(each)
    return texts
