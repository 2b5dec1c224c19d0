"""``dovetail servers``: the servers in our own configuration, whose names every command takes, and those of hosts.

What is added here is approved by being added. An entry that came into the file in another way, or was changed since, is
used by no command before ``dovetail servers approve`` showed it and was told yes.
"""

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Annotated, Any, Final

try:
    from cyclopts import App as Commands
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..host.configuration import (
    HOSTS,
    Approvals,
    ConfigurationFile,
    ServerDefinition,
    ServerSecrets,
    dangers_of,
    hidden,
    host_named,
    moved_to_keyring,
    resolve,
    secrets_in_clear,
    translated,
)
from ..host.configuration.errors import ConfigurationError
from ..host.configuration.variables import Variables, parts_of
from ..protocol.safe_text import in_place
from .agreeing import agreed, show_command, write_agreed
from .entering import found_program
from .entry_options import EntryOptions, FileOptions, Project, Words, Write, WriteOptions
from .exits import FAILED, OK, UsageError
from .installing import add_to, refuse_clear
from .screen import Screen
from .terminal import interruptible

__all__ = ["servers"]

_OURS: Final = "dovetail"
Host = Annotated[str, Parameter(help="Whose configuration (default: our own).")]
AsJSON = Annotated[bool, Parameter("--json", negative="", help="As JSON, secrets hidden.")]

servers = Commands("servers", help="Name servers, and look at what hosts have configured.")


@servers.command(name="list")
def list_all(host: str = "", /, *, project: Project = "", json: AsJSON = False) -> int:
    """Show the servers of a host, or of all hosts that have a file here; our own first."""
    screen = Screen()
    found: list[dict[str, Any]] = []
    code, shown = OK, False
    for name in [host_named(host).name] if host else HOSTS:
        for scope in HOSTS[name].scopes:
            try:
                file = FileOptions(scope, project).opened(name)
                entries, wrong = file.servers, file.unreadable
            except ConfigurationError as problem:
                screen.note(str(problem), "yellow")
                code = FAILED
                continue
            if json:
                found += [
                    _plain(each) | {"file": str(file.path), "scope": scope} for each in entries.values()
                ]
            elif entries or wrong or (host and file.exists):
                _list(screen, file, entries, wrong)
                shown = True
    if json:
        screen.json({"servers": found})
    elif not shown and code == OK:
        whose = host_named(host).title if host else "no host"
        screen.note(
            f"{whose} has {'no ' if host else ''}servers here; `dovetail servers add NAME TARGET` adds one of your own"
        )
    return code


@servers.command
def show(
    name: str,
    /,
    *,
    host: Host = _OURS,
    file: FileOptions = FileOptions(),
    json: AsJSON = False,
) -> int:
    """Show one server: the whole command or the URL, what stands out in it, and whether it was approved."""
    screen = Screen()
    place = file.opened(host)
    definition = _one(place, name)
    if json:
        screen.json(_plain(definition) | {"file": str(place.path), "dangers": list(dangers_of(definition))})
        return OK
    show_command(screen, definition)
    screen.line(f"  from {place.path}")
    if place.host.name == _OURS:
        approved = Approvals().has(definition)
        screen.line("  approved" if approved else f"  NOT APPROVED: dovetail servers approve {name}")
    return OK


@servers.command
async def add(
    name: str,
    target: str,
    /,
    *,
    entry: EntryOptions = EntryOptions(),
    secret: Annotated[
        list[str],
        Parameter(
            negative="",
            help="KEY: a variable of the server whose value is asked for, or taken from the environment, and kept in "
            "the system's keyring; may be repeated. ${keyring:KEY} stands for it elsewhere.",
        ),
    ] = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    writing: WriteOptions = WriteOptions(),
    words: Words = None,
) -> int:
    """Give a server a name that every command takes: dovetail servers add weather server.py, dovetail list weather."""
    definition = entry.entry(name, target, words, secrets=secret)
    kept = {key: _asked(name, key) for key in secret}
    return await _add(Screen(), definition, kept, writing)


@servers.command
async def remove(name: str, /, *, write: Write = False) -> int:
    """Take a server out of our configuration, with its approval and its secrets."""
    screen = Screen()
    place = ConfigurationFile(_OURS)
    definition = place.servers.get(name)
    code = await write_agreed(screen, place, place.without_server(name), write=write)
    if code == OK:
        Approvals().remove(name)
        for key in _keys(definition):
            ServerSecrets().remove(name, key)
    return code


@servers.command
async def approve(
    name: str,
    /,
    *,
    yes: Annotated[
        bool, Parameter(("--yes", "-y"), negative="", help="Agree to it, without being asked.")
    ] = False,
) -> int:
    """Look at a server that was added or changed by something else, and agree to it."""
    screen = Screen()
    definition = _one(ConfigurationFile(_OURS), name)
    show_command(screen, definition)
    if not yes:
        said = await agreed(f"Agree to {in_place(name)}?")
        if not said:
            screen.note("nothing was approved" + ("" if said is False else "; --yes approves it"))
            return FAILED
    Approvals().add(definition)
    screen.note(f"{name} is approved as it stands")
    return OK


@servers.command
def secret(name: str, key: str, /) -> int:
    """Keep a secret of a server in the system's keyring: asked for, or from standard input. ${keyring:KEY} in its entry
    stands for it.
    """
    _one(ConfigurationFile(_OURS), name)
    ServerSecrets().set(name, key, _asked(name, key, environment=False))
    Screen().note(f"{key} of {name} is in the keyring")
    return OK


@servers.command(name="import")
async def import_from(
    host: str,
    /,
    *names: str,
    file: FileOptions = FileOptions(),
    writing: WriteOptions = WriteOptions(),
) -> int:
    """Take servers of a host into our configuration: those named, or all. Secrets go to the keyring."""
    screen = Screen()
    source = file.opened(host)
    if source.host.name == _OURS:
        raise UsageError("these are our own servers already")
    code = OK
    for definition in _chosen(source, names):
        ours = _inputs_to_keyring(translated(definition, HOSTS[_OURS]))
        left = sorted(definition.extra)
        if left:
            screen.note(
                f"{definition.name}: left out, since only {source.host.title} knows it: {', '.join(left)}"
            )
        kept: dict[str, str] = {}
        if not writing.in_clear:
            ours, kept = moved_to_keyring(ours)
        code = max(code, await _add(screen, ours, kept, writing))
        if wanted := sorted(_keys(ours) - kept.keys()):
            screen.note(
                f"still to be given: {'; '.join(f'dovetail servers secret {ours.name} {key}' for key in wanted)}"
            )
    return code


@servers.command(name="export")
async def export_to(
    host: str,
    /,
    *names: str,
    file: FileOptions = FileOptions(),
    writing: WriteOptions = WriteOptions(),
) -> int:
    """Write servers of our configuration into that of a host: those named, or all. A secret of the keyring becomes an
    input where the host asks for such; elsewhere it is written only with --in-clear.
    """
    screen = Screen()
    target = host_named(host)
    if target.name == _OURS:
        raise UsageError("these are our own servers already")
    code = OK
    for definition in _chosen(ConfigurationFile(_OURS), names):
        ready, inputs = definition, list[dict[str, Any]]()
        keys = sorted(_keys(definition))
        if keys and "input" in target.variables.kinds:
            ready = _with(definition, lambda text: text.replace("${keyring:", "${input:"))
            inputs = [
                {
                    "type": "promptString",
                    "id": key,
                    "description": f"{key} of {definition.name}",
                    "password": True,
                }
                for key in keys
            ]
        elif keys and writing.in_clear:
            ready = _with(definition, _filled(definition.name, keys))
        place = file.opened(host)
        code = max(code, await add_to(screen, place, ready, writing, inputs=inputs))
    return code


@servers.command
def doctor(host: str = "", /, *, project: Project = "") -> int:
    """Look over the configuration of a host, or of all that have a file here: what can't be read, is not there, stands
    in clear, or was not approved. Nothing is started. The exit code is 1 where something has to be mended.
    """
    screen = Screen()
    found = 0
    for name in [host_named(host).name] if host else HOSTS:
        for scope in HOSTS[name].scopes:
            try:
                file = FileOptions(scope, project).opened(name)
                told = [*_file_findings(file), *((each, what) for each, what in file.unreadable.items())]
                told += [(each.name, what) for each in file.servers.values() for what in _findings(each)]
            except ConfigurationError as problem:
                told = [("", str(problem))]
                screen.line(HOSTS[name].title, "bold")
            else:
                if not file.exists:
                    continue
                screen.line(f"{file.host.title}, {scope}: {file.path}, {len(file.servers)} servers", "bold")
            for server, what in told:
                screen.line(f"  {in_place(server)}{': ' if server else ''}{in_place(what)}")
            found += len(told)
    screen.note(f"{found} to look at" if found else "nothing is wrong")
    return FAILED if found else OK


def _list(
    screen: Screen, file: ConfigurationFile, entries: dict[str, ServerDefinition], wrong: dict[str, str]
) -> None:
    screen.line(f"{file.host.title}, {file.scope}: {file.path}", "bold")
    for each in entries.values():
        shown = hidden(each)
        what = " ".join(shown.command_line) or shown.url
        screen.line(f"  {in_place(each.name)}: {in_place(what)}{'' if each.enabled else ' (switched off)'}")
    for name, what in wrong.items():
        screen.line(f"  {in_place(name)}: {in_place(what)}", "yellow")


def _one(file: ConfigurationFile, name: str) -> ServerDefinition:
    found = file.servers.get(name)
    if found is None:
        wrong = file.unreadable.get(name)
        there = ", ".join(file.servers) or "none"
        raise UsageError(
            wrong or f"{file.host.title} has no server {name!r} in {file.path}; there is: {there}"
        )
    return found


def _chosen(file: ConfigurationFile, names: tuple[str, ...]) -> list[ServerDefinition]:
    found = [_one(file, name) for name in names] if names else list(file.servers.values())
    if not found:
        raise UsageError(f"{file.host.title} has no servers in {file.path}")
    return found


async def _add(
    screen: Screen,
    definition: ServerDefinition,
    secrets: dict[str, str],
    writing: WriteOptions,
) -> int:
    """Write into our own file; then it is approved, and its secrets are kept."""
    refuse_clear(definition, in_clear=writing.in_clear)
    keyring = ServerSecrets() if secrets else None
    place = ConfigurationFile(_OURS)
    code = await add_to(screen, place, definition, writing)
    if code == OK:
        for key, value in secrets.items():
            if keyring is not None:
                keyring.set(definition.name, key, value)
        Approvals().add(place.servers[definition.name])
    return code


def _asked(name: str, key: str, *, environment: bool = True) -> str:
    """A secret: from the environment, typed unseen, or a line of standard input. Raises `UsageError`."""
    value = os.environ.get(key, "") if environment else ""
    if not value and sys.stdin is not None and sys.stdin.isatty():
        with interruptible():
            value = getpass.getpass(f"{in_place(key)} of {in_place(name)}: ")
    elif not value and sys.stdin is not None and not environment:
        with interruptible():
            value = sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise UsageError(f"there is no value for {key!r}: set the variable {key}, or be at a terminal")
    return value


def _keys(definition: ServerDefinition | None) -> set[str]:
    """The secrets in the keyring that an entry names."""
    if definition is None:
        return set()
    texts = [*definition.command_line, definition.cwd, definition.url]
    texts += [*definition.env.values(), *definition.headers.values()]
    syntax = HOSTS[definition.host].variables
    parts = [part for text in texts for part in parts_of(text, syntax)]
    return {part.name for part in parts if not isinstance(part, str) and part.kind == "keyring"}


def _inputs_to_keyring(definition: ServerDefinition) -> ServerDefinition:
    return _with(definition, lambda text: text.replace("${input:", "${keyring:"))


def _filled(name: str, keys: list[str]) -> Callable[[str], str]:
    values = {key: ServerSecrets().get(name, key) for key in keys}

    def fill(text: str) -> str:
        for key, value in values.items():
            text = text.replace(f"${{keyring:{key}}}", value)
        return text

    return fill


def _with(definition: ServerDefinition, said: Callable[[str], str]) -> ServerDefinition:
    return changed(
        definition,
        command=said(definition.command),
        args=tuple(map(said, definition.args)),
        env={name: said(each) for name, each in definition.env.items()},
        cwd=said(definition.cwd),
        url=said(definition.url),
        headers={name: said(each) for name, each in definition.headers.items()},
    )


def _plain(definition: ServerDefinition) -> dict[str, Any]:
    """An entry as values, its secrets hidden, without what it has not."""
    shown = hidden(definition)
    whole = {
        "name": shown.name,
        "host": shown.host,
        "transport": shown.transport,
        "command": list(shown.command_line),
        "env": dict(shown.env),
        "cwd": shown.cwd,
        "url": shown.url,
        "headers": dict(shown.headers),
        "enabled": shown.enabled,
    }
    return {name: each for name, each in whole.items() if each not in ("", [], {})}


def _file_findings(file: ConfigurationFile) -> list[tuple[str, str]]:
    """What is wrong with the file itself."""
    clear = any(secrets_in_clear(each) for each in file.servers.values())
    if clear and file.scope != "project" and os.name == "posix" and Path(file.path).stat().st_mode & 0o077:
        return [("", "others on this machine can read the file, and there are secrets in it: chmod 600")]
    return []


def _findings(definition: ServerDefinition) -> list[str]:
    found = [f"it {each}" for each in dangers_of(definition)]
    found += [f"{each} is a secret in clear" for each in secrets_in_clear(definition)]
    if (
        definition.transport == "stdio"
        and "$" not in definition.command
        and not found_program(definition.command)
    ):
        found.append(f"there is no program {definition.command!r} here")
    if definition.host != _OURS or not definition.enabled:
        return found
    if not Approvals().has(definition):
        found.append(f"it was not approved as it stands: dovetail servers approve {definition.name}")
    try:
        secrets = ServerSecrets().reader(definition.name) if _keys(definition) else None
        resolve(definition, Variables(secrets=secrets))
    except (ConfigurationError, ImportError) as problem:
        found.append(str(problem))
    return found
