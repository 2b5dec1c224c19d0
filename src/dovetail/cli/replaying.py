"""``dovetail replay TALK TARGET``: send the requests of a recording to a server, and say where it answers otherwise.

It ends with 1 where anything differs, so that a build can depend on it.
"""

from typing import Annotated, Any

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from .connecting import CommandSession, CommonOptions
from .exits import FAILED, OK, UsageError
from .sources import from_environment

__all__ = ["replay"]


async def replay(
    talk: str,
    target: str,
    /,
    *,
    strict: Annotated[
        bool,
        Parameter(
            negative="", help="Texts of errors, and what is told on the way, have to be the same, too."
        ),
    ] = False,
    ignore: Annotated[
        list[str],
        Parameter(
            negative="",
            help="A JSON pointer to what may differ in results (* stands for any one member); may be repeated.",
        ),
    ] = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    secret: Annotated[
        list[str],
        Parameter(
            negative="",
            help="PLACEHOLDER=env:VARIABLE: what was left out of the recording as [PLACEHOLDER]; may be repeated.",
        ),
    ] = [],  # noqa: B006 - as above
    common: CommonOptions = CommonOptions(),
    words: Annotated[list[str] | None, Parameter(parse=False)] = None,
) -> int:
    """Send the requests of a recording (TALK) to a server again, and show where it answers otherwise.

    The exit code is 1 where anything differs.
    """
    from ..recording import replay as replayed

    session = CommandSession(target, words, common)
    secrets = dict(map(_secret, secret))
    capture = _read(talk)
    place, options = await session.reach()
    report = await replayed(
        capture,
        place,
        strict=strict,
        ignore=ignore,
        secrets=secrets,
        request_timeout=common.timeout,
        **options,
    )
    if common.json:
        session.screen.json([_told(each) for each in report.calls])
    else:
        for line in str(report).splitlines():
            session.screen.line(line)
        same = sum(each.same for each in report.calls)
        session.screen.note(f"{same} of {len(report.calls)} requests were answered as recorded")
    return OK if report.same else FAILED


def _read(talk: str) -> Any:
    """The recording. Raises `UsageError`."""
    from ..recording import Capture, CaptureInvalid

    try:
        return Capture.read(talk)
    except CaptureInvalid as problem:
        raise UsageError(str(problem)) from None
    except OSError as problem:
        raise UsageError(f"{talk!r} can't be read: {problem.strerror or problem}") from None


def _told(call: Any) -> dict[str, Any]:
    """What came of one request, as JSON."""
    differs = [
        {"pointer": each.pointer, "recorded": each.recorded, "found": each.found} for each in call.differs
    ]
    told = {
        "line": call.line,
        "method": call.method,
        "about": call.about,
        "same": call.same,
        "differs": differs,
    }
    return {**told, "problem": call.problem} if call.problem else told


def _secret(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--secret {name!r} is not PLACEHOLDER=env:VARIABLE")
    return name.strip("[]"), from_environment(value, f"--secret {name}")
