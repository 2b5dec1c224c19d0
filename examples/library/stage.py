"""What the demo looks like: a line for every scene, a bar for progress, one table at the end. Plain without a
terminal.
"""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from dovetail.types import ProgressNotice


@dataclass
class Outcome:
    """How a scene went: how long it took in seconds, and what was wrong with it, if anything."""

    seconds: float
    problem: str = ""


@dataclass
class Report:
    """How an act went."""

    title: str
    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    sent: int = 0
    received: int = 0

    @property
    def problems(self) -> list[str]:
        """What was not as expected, a line each."""
        return [
            f"{self.title}, {scene}: {each.problem}" for scene, each in self.outcomes.items() if each.problem
        ]


class Stage:
    """Where the demo is shown."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        self.console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 110)
        fancy = "utf" in self.console.encoding.lower()
        self._good, self._bad = ("✓", "✗") if fancy else ("ok", "FAILED")
        self._box = box.SIMPLE_HEAD if fancy else box.ASCII2
        self._bar: Progress | None = None

    def open(self, title: str, text: str) -> None:
        """The curtain."""
        self.console.print(Text(title, style="bold"))
        self.console.print(Text(text), soft_wrap=False)

    def act(self, number: int, title: str) -> None:
        """The beginning of an act."""
        self.console.print()
        self.console.rule(Text(f" Act {number}: {title} ", style="bold cyan"), align="left", characters="-")

    def scene(self, title: str, detail: str, outcome: Outcome) -> None:
        """A scene that is over."""
        self._close_bar()
        line = Text("  ")
        line.append(
            self._bad if outcome.problem else self._good, style="bold red" if outcome.problem else "green"
        )
        line.append(f" {title:<22}", style="bold")
        line.append(outcome.problem or detail, style="red" if outcome.problem else "")
        line.append(f"  {outcome.seconds * 1000:.0f} ms", style="dim")
        self.console.print(line, soft_wrap=True)

    def aside(self, text: str, style: str = "dim") -> None:
        """Something shown on the way."""
        self.console.print(Text(f"      {text}", style=style), overflow="ellipsis", no_wrap=True, crop=True)

    def progress(self, notice: ProgressNotice) -> None:
        """How far the server is."""
        if not self.console.is_terminal:
            if notice.progress == notice.total:
                self.aside(f"progress: {notice.progress:g} of {notice.total:g}")
            return
        if self._bar is None:
            columns = (
                TextColumn("     "),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self.console)
            self._bar.start()
            self._bar.add_task("", total=notice.total)
        task = self._bar.task_ids[0]
        self._bar.update(
            task, completed=notice.progress, description=(notice.message or "")[:40], refresh=True
        )

    def close(self, reports: Sequence[Report], seconds: float) -> None:
        """What was checked, and how it went."""
        self._close_bar()
        self.console.print()
        table = Table(box=self._box, title=Text("What was checked", style="bold"), title_justify="left")
        table.add_column("Scene", no_wrap=True)
        for report in reports:
            table.add_column(report.title.replace(" ", "\n"), justify="right", no_wrap=True)
        for scene in dict.fromkeys(scene for report in reports for scene in report.outcomes):
            table.add_row(scene, *(self._cell(report.outcomes.get(scene)) for report in reports))
        table.add_section()
        table.add_row("messages sent", *(str(report.sent) for report in reports), style="dim")
        table.add_row("messages received", *(str(report.received) for report in reports), style="dim")
        self.console.print(table)
        self._last_words(reports, seconds)

    def _last_words(self, reports: Sequence[Report], seconds: float) -> None:
        problems = [problem for report in reports for problem in report.problems]
        checks = sum(len(report.outcomes) for report in reports)
        messages = sum(report.sent + report.received for report in reports)
        for problem in problems:
            self.console.print(Text(f"  {self._bad} {problem}", style="red"), soft_wrap=True)
        if problems:
            said = f"{len(problems)} of {checks} scenes did not go as they should."
            self.console.print(Text(said, style="bold red"))
            return
        said = (
            f"All {checks} scenes went well, in {seconds:.1f} s and {messages} messages: one server.py of plain "
            "functions, over two transports, for clients of two eras, which never noticed a difference."
        )
        self.console.print(Text(said, style="bold green"))

    def _cell(self, outcome: Outcome | None) -> Text:
        if outcome is None:
            return Text("not reached", style="red")
        if outcome.problem:
            return Text(self._bad, style="bold red")
        return Text(f"{outcome.seconds * 1000:.0f} ms {self._good}", style="green")

    def _close_bar(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()
