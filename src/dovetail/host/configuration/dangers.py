"""What a command could do that a person should know before agreeing to it.

Theory of operation. Nothing here is a wall: a program that looks harmless can do all that these can, since it runs with
the person's own rights. The marks draw the eye to what is rarely meant: shells, code on the command line, rights of an
administrator, what is fetched and run, variables that change what a program loads, characters that can't be seen. Every
word of a command is looked at, since ``env``, ``sudo`` and ``docker run`` hand the rest on.

Specification: "Security Best Practices", "Local MCP Server Compromise".
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final
from urllib.parse import urlsplit

from ...security import in_place
from .definitions import ServerDefinition

__all__ = ["dangers_of"]

_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "ksh", "fish", "cmd", "powershell", "pwsh"})
_SHELL_OPTION: Final = re.compile(
    r"-[a-z]*c|--command|/[ck]|-(?:command|encodedcommand|enc|ec|e)", re.IGNORECASE
)
_INLINE: Final = {
    "python": ("-c",),
    "node": ("-e", "--eval", "-p", "--print"),
    "deno": ("eval",),
    "bun": ("-e", "--eval"),
    "perl": ("-e", "-E"),
    "ruby": ("-e",),
    "php": ("-r",),
}
_RIGHTS: Final = frozenset({"sudo", "doas", "su", "pkexec", "runas", "gsudo"})
_DESTROYS: Final = frozenset(
    {"rm", "rmdir", "del", "erase", "dd", "mkfs", "shred", "format", "chmod", "chown", "kill"}
)
_REACHES: Final = frozenset(
    {"curl", "wget", "nc", "ncat", "netcat", "socat", "ssh", "scp", "rsync", "telnet"}
)
_FETCHERS: Final = frozenset({"npx", "bunx", "uvx", "pipx", "pnpx", "dnx"})
_FETCHES: Final = (
    ("npm", "exec"),
    ("pnpm", "dlx"),
    ("yarn", "dlx"),
    ("uv", "tool"),
    ("bun", "x"),
    ("npm", "x"),
)
_CONTAINERS: Final = frozenset({"docker", "podman", "nerdctl"})
_WIDE: Final = re.compile(
    r"--privileged|--(?:net|network|pid|ipc|userns)=host|--cap-add|docker\.sock|(?:^|source=|src=)/:",
    re.IGNORECASE,
)
_OPERATORS: Final = re.compile(r"&&|\|\||[|;`<>\n]|\$\(")
_LOADERS: Final = re.compile(
    r"LD_.+|DYLD_.+|PATH|PYTHON(?:PATH|STARTUP|HOME)|NODE_OPTIONS|NODE_PATH|BASH_ENV|ENV|PERL5(?:OPT|LIB)|RUBY(?:OPT|LIB)"
    r"|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|GIT_SSH(?:_COMMAND)?|NODE_TLS_REJECT_UNAUTHORIZED|(?:HTTPS?|ALL)_PROXY",
    re.IGNORECASE,
)
_PRIVATE: Final = re.compile(
    r"(?:^|[/\\=:~])(?:\.ssh|\.aws|\.gnupg|\.kube|\.netrc|\.docker|etc[/\\](?:passwd|shadow|sudoers)|id_[a-z0-9]+)"
    r"(?:$|[/\\:])"
)
_PASSING: Final = re.compile(
    r"(?:/tmp|/var/tmp|/dev/shm|\\temp|\\tmp|/downloads|\\downloads)[/\\]", re.IGNORECASE
)
_VERSIONED: Final = re.compile(r"@v?\d|==\d")
_LONG: Final = 1000


def dangers_of(definition: ServerDefinition) -> tuple[str, ...]:
    """What stands out in a server's entry, a sentence each, safe to show; empty where nothing does, which is no proof
    that it is harmless.
    """
    found = _of_process(definition) if definition.transport == "stdio" else _of_url(definition)
    return tuple(dict.fromkeys([*found, *_of_texts(definition)]))


def _of_process(definition: ServerDefinition) -> Iterator[str]:
    words = definition.command_line
    for at, word in enumerate(words):
        yield from _of_word(_program(word), words[at + 1 :])
    yield from _of_fetching(words)
    if any(_OPERATORS.search(each) for each in words):
        yield "has the signs of a shell (| ; & > ` $) in a word: a shell that sees it runs more than one command"
    for each in words:
        if _PRIVATE.search(each):
            yield f"names a place of secrets: {in_place(each)}"
        elif each in ("/", "~", "C:\\", "C:/", "${userHome}"):
            yield f"is given everything: {in_place(each)}"
    if _PASSING.search(definition.command.lower()):
        yield "is a program in a folder for temporary files or downloads"
    elif definition.command.startswith(".") or (
        "/" in definition.command and definition.command[:1] not in "/~$\\"
    ):
        yield "is a program in whatever folder the host starts in: a path that does not begin at the root"
    for name in definition.env:
        if _LOADERS.fullmatch(name):
            yield f"sets {in_place(name)}, which changes what programs load or where they connect"


def _of_word(program: str, rest: Sequence[str]) -> Iterator[str]:
    if program in _SHELLS and any(_SHELL_OPTION.fullmatch(each) for each in rest):
        yield f"hands a text to a shell ({program}), which can do anything"
    inline = _INLINE.get(re.sub(r"[\d.]+$", "", program), ())
    if any(each in inline for each in rest):
        yield f"runs code that stands on the command line ({program})"
    if program in _RIGHTS:
        yield f"runs with other rights than yours ({program})"
    if program in _DESTROYS and rest:
        yield f"names a program that deletes or changes files or processes ({program})"
    if program in _REACHES and rest:
        yield f"names a program that sends or fetches ({program})"
    if program in _CONTAINERS and any(_WIDE.search(each) for each in rest):
        yield f"opens this machine to a container ({program})"


def _of_fetching(words: Sequence[str]) -> Iterator[str]:
    program = _program(words[0])
    if program in _FETCHERS or tuple(words[1:2]) in {(each,) for name, each in _FETCHES if name == program}:
        package = next((each for each in words[1:] if _names_package(each)), "")
        if not _VERSIONED.search(package):
            yield "runs whatever version of a package a registry has when it starts; name a version"


def _names_package(word: str) -> bool:
    return not word.startswith("-") and word not in {each for _, each in _FETCHES} | {"run"}


def _of_url(definition: ServerDefinition) -> Iterator[str]:
    try:
        parts = urlsplit(definition.url)
        host, scheme, user = parts.hostname or "", parts.scheme.lower(), parts.username
    except ValueError:
        yield "has a URL that can't be read"
        return
    if scheme == "http" and host not in ("localhost", "127.0.0.1", "::1"):
        yield f"is reached without encryption: others can read and change what is said ({in_place(host)})"
    elif scheme not in ("http", "https") and "$" not in definition.url:
        yield f"has a URL of a kind that no server has ({in_place(scheme) or 'no scheme'})"
    if user is not None:
        yield "has a name or password in its URL"
    if not host.isascii() or host.startswith("xn--") or ".xn--" in host:
        yield f"has a host whose letters may look like others ({in_place(host.encode('unicode_escape').decode())})"


def _of_texts(definition: ServerDefinition) -> Iterator[str]:
    texts = [*definition.command_line, definition.cwd, definition.url]
    texts += [*definition.env, *definition.env.values(), *definition.headers, *definition.headers.values()]
    if any(in_place(each) != each for each in texts):
        yield "has characters that can't be seen, or that change the order of others; they are shown escaped"
    if any(len(each) > _LONG for each in texts):
        yield f"has a text of more than {_LONG} characters; read it to its end"


def _program(word: str) -> str:
    """The name of a program without folder and suffix."""
    name = PureWindowsPath(word).name if "\\" in word else PurePosixPath(word).name
    return re.sub(r"\.(?:exe|cmd|bat|com|ps1)$", "", name.lower())
