"""What is public, said once: tests, the reference and the stubs read it here.

Theory of operation. Public is what the modules of `PUBLIC` have in ``__all__``, and nothing else (of applications, what
`of_applications` finds); within a public class
what `NOT_PUBLIC` and an underscore do not take away, and a constructor unless `GIVEN` has the class. The names are
locked in ``tests/house/public_api.txt``, so that a change to them is seen in review. Modules that import their names
when they are first used (`dovetail.lazy_names`) say each once, in a table; the stubs beside them, which type checkers
and editors read, are written from it.

    python tools/public_api.py --check
    python tools/public_api.py --write

"""

from __future__ import annotations

import difflib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from workspace import ROOT, applications

SNAPSHOT = ROOT / "tests" / "house" / "public_api.txt"
HEADER = "# The public names, module by module. Written by: python tools/public_api.py --write\n"

#: The public modules, each with what it is for (docs/public.md says the same).
PUBLIC = {
    "dovetail": "what most programs need",
    "dovetail.auth": "protecting a server, and getting credentials for a client",
    "dovetail.auth.extension_names": "identifiers of the extensions of authorization",
    "dovetail.auth.login": "all of getting credentials: settings, token stores, errors",
    "dovetail.auth.oauth": "the parts of OAuth, for an authorization server or a gateway of your own",
    "dovetail.auth.pkce": "the arithmetic of PKCE, for tests of authorization",
    "dovetail.auth.protecting": "all of protecting a server",
    "dovetail.auth.providers": "checks of tokens, ready for well-known issuers",
    "dovetail.cli": "the command line, as a function",
    "dovetail.client": "the client, and the types of its options and handlers",
    "dovetail.codegen": "typed clients of one server, written as a module",
    "dovetail.doctor": "what a connection needs, looked into step by step",
    "dovetail.errors": "every error",
    "dovetail.extensions": "what additions to the protocol and middleware are made of",
    "dovetail.extensions.authorization": "the extensions of authorization, as values",
    "dovetail.extensions.tasks": "work that goes on when its request has been answered",
    "dovetail.extensions.tasks.dbos": "tasks run by the durable engine DBOS",
    "dovetail.extensions.tasks.listing": "the tasks that a server has of a client's",
    "dovetail.gateway": "many servers as one, with a policy, records and credentials of each caller's own",
    "dovetail.host": "many servers behind one face, with consent: what a program with a model in it needs",
    "dovetail.host.configuration": "the servers that a person has configured, in the files of hosts and in our own",
    "dovetail.linting": "recorded conversations judged against the specification, line by line",
    "dovetail.logs": "loggers whose records are safe to show, and lines of JSON",
    "dovetail.openapi": "APIs that an OpenAPI document describes, and an app's tools for plain HTTP clients",
    "dovetail.models": "tools in the words of model APIs, and a client of models",
    "dovetail.providers": "where what an app offers comes from besides its functions, and how it is shown",
    "dovetail.proxy": "another server, offered by an app",
    "dovetail.recording": "recorded conversations, and replaying them",
    "dovetail.middleware": "ready middleware, and what one of your own is written with",
    "dovetail.revisions": "the revisions as data",
    "dovetail.schemas": "JSON Schema as clients and servers read it",
    "dovetail.security": "contracts of who checks, seals and fetches, and safe paths",
    "dovetail.server": "the types of what an app takes and gives",
    "dovetail.stores": "stores, their contracts and their errors",
    "dovetail.specification": "the published schemas of the revisions, and the addresses of the pages",
    "dovetail.surface": "what a server shows, as a value: written down, compared, looked over",
    "dovetail.telemetry": "seeing what goes on: spans, metrics, logs of calls, audit records",
    "dovetail.testing": "what tests of servers and clients are built from",
    "dovetail.testing.store_contract": "the suite that defines a store",
    "dovetail.types": "messages and values of the protocol",
}


def of_applications() -> dict[str, str]:
    """The public modules of the applications: the package of each, and what tests of others are built from."""
    found: dict[str, str] = {}
    for each in applications():
        found[each.package.name] = each.declared["project"]["description"]
        if (each.package / "testing.py").is_file():
            found[f"{each.package.name}.testing"] = "one of it for the length of a test"
    return found


#: All of them.
EVERY = PUBLIC | of_applications()
#: Packages that are not public and load their names when they are first used, too.
LATE = ("dovetail.capture",)
#: Those that are programs for themselves: what their signatures name is not held to the rule for the library.
PROGRAMS = ("dovetail.cli", *of_applications())

#: Classes whose instances users are given and never make: their constructors are not public.
GIVEN = {
    "BlockingClient",
    "BlockingStartedCall",
    "BlockingSubscription",
    "Call",
    "CaptureLink",
    "CapturedExchange",
    "Channel",
    "Context",
    "EventReader",
    "Form",
    "GatewayServer",
    "HostedServer",
    "OAuthCredentials",
    "Request",
    "Session",
    "Subscription",
    "ToolResult",
    "Validator",
}
#: Classes that are not public and whose members are those of the public class that is built on them.
BUILT_ON = {"AppEntries"}
#: What stands in a public class without being meant for those who use it, each with whom it is for. The reference
#: leaves it out, and no page has to show it.
NOT_PUBLIC = {
    "App.endpoint": "`run` and `asgi` make by it what they serve",
    "App.http_routes": "`endpoint` and `dovetail dev` serve them",
    "App.service": "transports serve it",
    "App.adopt_store": "`run` and `asgi` call it",
    "App.share_keys": "`run` calls it before it forks",
    "BlockingClient.forgotten": "the end of the interpreter calls it",
    **dict.fromkeys(
        ["CaptureWriter.put", "CaptureWriter.mark", "CaptureWriter.next_exchange"],
        "what a link and an exchange are told goes through them",
    ),
    "Call.forget": "transports let go of what is large by it",
    "Call.message": "the engines make it; an author has `members`, `raw` and `params`",
    **dict.fromkeys(
        [f"Channel.{name}" for name in ("session", "read_session", "change_session")],
        "`Context.session` is made of them",
    ),
    "OriginPolicy.judge": "an endpoint asks it",
    "Profile.projection": "what goes out is cut by it",
    "Protected.gate": "an endpoint makes by it what judges its requests",
    "Response.send": "an endpoint sends by it",
    **dict.fromkeys(
        [
            f"Subscription.{name}"
            for name in ("filter_for", "release", "wants", "put", "acknowledge", "ended", "lost", "missed")
        ],
        "the client's connection tells a subscription by them what came",
    ),
    "Subscription.adopt": "a client takes up by it what its session is subscribed to",
    **dict.fromkeys(
        [
            f"{kind}.{name}"
            for kind in ("Elicit", "ElicitURL", "Sample", "Roots", "Question")
            for name in ("needs", "check", "params", "wire", "read")
        ],
        "a `Context` puts a question by them; an author hands questions to `Context.ask`",
    ),
    "Validator.misfits": "a server reads by it what was nearly right",
    "TokenCheck.checker": "an endpoint makes of it what judges tokens",
    **dict.fromkeys(
        [f"{store}.{name}" for store in ("MemoryKeyValue",) for name in ("put", "swap", "reserve")],
        "views of a store with a share count by them",
    ),
}


def names_of(module: str) -> list[str]:
    """The public names of a public module, as its ``__all__`` orders them."""
    return list(importlib.import_module(module).__all__)


def listing() -> tuple[str, list[str]]:
    """The snapshot as it should be, and what is wrong with the source."""
    lines: list[str] = []
    wrong: list[str] = []
    for module in sorted(EVERY):
        names = names_of(module)
        if len(set(names)) != len(names):
            wrong.append(f"{module} names something twice in __all__")
        lines += [f"{module}: {name}" for name in sorted(names)]
    return HEADER + "".join(f"{line}\n" for line in lines), wrong


def stubs() -> Iterator[tuple[Path, str]]:
    """The stub of each module whose names are imported when they are first used: where, and its text."""
    for module in sorted((*EVERY, *LATE)):
        loaded = importlib.import_module(module)
        homes: dict[str, tuple[str, ...]] | None = getattr(getattr(loaded, "_lazy", None), "homes", None)
        if homes is not None:
            path = Path(str(loaded.__file__)).with_suffix(".pyi")
            yield path, _formatted(path, _stub(module, homes, loaded.__all__))


def _stub(module: str, homes: dict[str, tuple[str, ...]], names: list[str]) -> str:
    lines = [
        f'"""The names of `{module}` for type checkers. Written by: python tools/public_api.py --write"""',
        "",
    ]
    lines += [f"from {home} import {', '.join(found)}" for home, found in homes.items()]
    lines += [f"{name}: str" for name in names if name.startswith("__")]
    return "\n".join([*lines, f"__all__ = {names!r}", ""])


def _formatted(path: Path, text: str) -> str:
    """The text as `make format` would leave it."""
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    for order in (["check", "--quiet", "--fix-only", "--select", "I"], ["format", "--quiet"]):
        command = [*ruff, *order, "--stdin-filename", str(path), "-"]
        text = subprocess.run(
            command, input=text, capture_output=True, check=True, text=True, cwd=ROOT
        ).stdout
    return text


def stale(path: Path, text: str) -> list[str]:
    """What differs between a file and what it should be."""
    old = path.read_text("utf-8") if path.exists() else ""
    lines = difflib.unified_diff(
        old.splitlines(),
        text.splitlines(),
        str(path.relative_to(ROOT)),
        "what it should be",
        lineterm="",
        n=0,
    )
    return list(lines)


def main(arguments: list[str]) -> int:
    """Check or write, as asked."""
    if arguments not in (["--check"], ["--write"]):
        print(__doc__)
        return 2
    text, wrong = listing()
    for each in wrong:
        print(f"public_api: {each}")
    files = [(SNAPSHOT, text), *stubs()]
    if arguments == ["--write"]:
        for path, content in files:
            path.write_text(content, "utf-8")
        print(f"public_api: wrote {text.count(chr(10)) - 1} names and {len(files) - 1} stubs")
        return 1 if wrong else 0
    differing = [line for path, content in files for line in stale(path, content)]
    if differing:
        print(*differing, sep="\n")
        print("public_api: if this change is meant, run: python tools/public_api.py --write")
    return 1 if wrong or differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
