"""The options of ``dovetail chat``."""

from dataclasses import dataclass, field
from typing import Annotated

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

__all__ = ["ChatOptions"]


@Parameter(name="*")
@dataclass(frozen=True)
class ChatOptions:
    """The options of ``dovetail chat``."""

    model: Annotated[str, Parameter(("--model", "-m"), help="The name of the model.")] = ""
    server: Annotated[
        list[str],
        Parameter(
            ("--server", "-s"),
            negative="",
            help="NAME=TARGET, or a name of `dovetail servers`; may be repeated. By default all of those.",
        ),
    ] = field(default_factory=list[str])
    message: Annotated[
        str,
        Parameter(("--message", "-p"), help="Say this, show the answer, and end.", allow_leading_hyphen=True),
    ] = ""
    system: Annotated[str, Parameter(help="What the model is told first.", allow_leading_hyphen=True)] = ""
    policy: Annotated[str, Parameter(help="A TOML file with rules: what is allowed, denied, or asked.")] = ""
    decisions: Annotated[str, Parameter(help="A file that keeps what you allow always.")] = ""
    context: Annotated[int, Parameter(help="Tokens of the model's context window.")] = 128_000
    rounds: Annotated[int, Parameter(help="How often the model may call tools for one message.")] = 50
    timeout: Annotated[float, Parameter(help="Seconds without a byte of an answer of the model.")] = 300.0
    keyring: Annotated[
        bool, Parameter(negative="", help="Take the model's key from the system's keyring.")
    ] = False
    set_key: Annotated[
        bool, Parameter(negative="", help="Put the model's key into the keyring, and end.")
    ] = False
    quiet: Annotated[
        bool, Parameter(("--quiet", "-q"), negative="", help="Show the answers and nothing else.")
    ] = False
    verbose: Annotated[
        bool, Parameter(("--verbose", "-v"), negative="", help="Show tracebacks, and what servers write.")
    ] = False
