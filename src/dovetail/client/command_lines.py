"""A command line as text, taken apart as the system would: what is quoted stays together, and the quotes go.

On POSIX that is the rule of its shells, without anything that a shell would put in. On Windows it is the one by
which nearly every program reads its own command line (``CommandLineToArgvW`` and the C library): backslashes are
letters, as in paths, except before a quotation mark; two quotation marks within quotes are one.
Specification: none; Microsoft's "Parsing C command-line arguments".
"""

import shlex
import sys

from ..protocol.errors import LocalProtocolError

_BLANKS = " \t\n\r"


def split(line: str, *, windows: bool = sys.platform == "win32") -> list[str]:
    """The words of a command line. Raises `LocalProtocolError` for a quotation that does not end (not on Windows, where
    the end of the line ends it).
    """
    if windows:
        return _split_windows(line)
    try:
        return shlex.split(line)
    except ValueError as problem:
        raise LocalProtocolError(
            f"the command can't be read: {str(problem).lower()}; or give it as a list of words"
        ) from None


def _split_windows(line: str) -> list[str]:
    at, words = 0, list[str]()
    while True:
        while at < len(line) and line[at] in _BLANKS:
            at += 1
        if at == len(line):
            return words
        word, at = _program(line, at) if not words else _word(line, at)
        words.append(word)


def _program(line: str, at: int) -> tuple[str, int]:
    """The first word: a path, so no backslash is ever special, not even before a quotation mark."""
    letters, quoted = list[str](), False
    while at < len(line) and (quoted or line[at] not in _BLANKS):
        if line[at] == '"':
            quoted = not quoted
        else:
            letters.append(line[at])
        at += 1
    return "".join(letters), at


def _word(line: str, at: int) -> tuple[str, int]:
    letters, quoted = list[str](), False
    while at < len(line) and (quoted or line[at] not in _BLANKS):
        backslashes = 0
        while at < len(line) and line[at] == "\\":
            backslashes, at = backslashes + 1, at + 1
        if at == len(line) or line[at] != '"':
            letters.append("\\" * backslashes)
            if not backslashes:
                letters.append(line[at])
                at += 1
            continue
        letters.append("\\" * (backslashes // 2))
        if backslashes % 2:
            letters.append('"')
        elif quoted and line[at + 1 : at + 2] == '"':
            letters.append('"')
            at += 1
        else:
            quoted = not quoted
        at += 1
    return "".join(letters), at
