"""What is run: which scenario of which release, in which revision, against server, client or authorization server.

Theory of operation: the suites themselves say what they hold. The stable release runs whole: its active and its pending
server scenarios and all its client scenarios. The newest release runs what each revision requires, with what that
revision only reports (pending, extensions, added later), and then everything that it lists and no revision names. So no
scenario of an installed release is left out, and a scenario that a release gains is run without a change here. For the
revisions before those it has no requirements, but it tags the server scenarios that hold there, and these are run. The
scenarios for an authorization server build on each other, so they are one run in each revision that they name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from environment import Release

REVISIONS = ("2025-11-25", "2026-07-28")
# Those that the newest release knows by the tags of its server scenarios alone.
TAGGED = ("2025-03-26", "2025-06-18")
# Measure how long the client waits, or give an answer 600 ms: they want the machine for themselves.
TIMED = frozenset({"sse-retry", "server-stateless"})
# All scenarios for an authorization server together.
AUTHORIZATION = "authorization-server"
_ENTRY = re.compile(r"^ +- (?P<name>[^\s\[]+)(?: \[(?P<tag>[^\]]*)\])?$", re.MULTILINE)


@dataclass(frozen=True)
class Scenario:
    """One scenario to run once. ``revision`` is empty where the release decides."""

    name: str
    role: str  # "server", "client" or "authorization": which side of ours is tested
    release: Release
    revision: str
    suite: str

    @property
    def timed(self) -> bool:
        """Whether it has to run alone."""
        return self.name in TIMED


@dataclass
class Plan:
    """Everything to run, and what is known of every scenario by (role, name)."""

    scenarios: list[Scenario] = field(default_factory=list[Scenario])
    tags: dict[tuple[str, str], set[str]] = field(default_factory=dict[tuple[str, str], set[str]])

    def may_be_expected(self, role: str, name: str) -> bool:
        """Whether this scenario may stand among the expected failures: authorization and extensions only."""
        return name.startswith("auth/") or "extension" in self.tags.get((role, name), ())


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for found in _ENTRY.finditer(text):
        yield found["name"], found["tag"] or ""


def _listed(release: Release, role: str) -> dict[str, str]:
    return dict(_entries(release.ask("list", f"--{role}")))


def _required(release: Release, revision: str) -> dict[str, list[str]]:
    """The scenarios of a revision by role: what it requires and what it only reports."""
    found: dict[str, list[str]] = {"server": [], "client": []}
    role = ""
    for line in release.ask("list", "--requirements", revision).splitlines():
        if line.endswith(":") and not line.startswith(" "):
            role = "server" if line.startswith("Server") else "client" if line.startswith("Client") else ""
        for name, tag in _entries(line):
            found[tag or role].append(name)  # what is only reported stands in one list, tagged with its side
    return found


def _revision_of(tag: str) -> str:
    """The newest revision that a scenario is made for; extensions live on the newest one."""
    versions = [version for version in tag.split(",") if version[:1].isdigit()]
    return max(versions, default=REVISIONS[-1])


def draw_up(stable: Release, newest: Release) -> Plan:
    """Ask both releases what they hold and plan it."""
    plan = Plan()
    required = {revision: _required(newest, revision) for revision in REVISIONS}
    for role in ("server", "client"):
        for name, tag in _listed(stable, role).items():
            plan.tags.setdefault((role, name), set()).update(tag.split(","))
            plan.scenarios.append(Scenario(name, role, stable, "", stable.version))
        listed = _listed(newest, role)
        for revision in REVISIONS:
            for name in required[revision][role]:
                plan.scenarios.append(Scenario(name, role, newest, revision, f"{newest.version} {revision}"))
        for name, tag in listed.items():
            plan.tags.setdefault((role, name), set()).update(tag.split(","))
            if role == "server":
                for revision in (each for each in TAGGED if each in tag.split(",")):
                    plan.scenarios.append(
                        Scenario(name, role, newest, revision, f"{newest.version} {revision}")
                    )
            if not any(name in required[revision][role] for revision in REVISIONS):
                plan.scenarios.append(
                    Scenario(name, role, newest, _revision_of(tag), f"{newest.version} others")
                )
    listed = _listed(newest, "authorization")
    plan.tags.update({("authorization", name): set(tag.split(",")) for name, tag in listed.items()})
    for revision in sorted({revision for tag in listed.values() for revision in tag.split(",")}):
        suite = f"{newest.version} {revision}"
        plan.scenarios.append(Scenario(AUTHORIZATION, "authorization", newest, revision, suite))
    return plan
