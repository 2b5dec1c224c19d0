"""How a conversation with one fault is put under the rule that has to find it."""

from __future__ import annotations

from collections.abc import Callable

from talking import Said

Seed = Callable[[], Said]


class Seeds(list[tuple[str, Seed]]):
    """Conversations with one fault each, with the names of their rules."""

    def __call__(self, rule: str) -> Callable[[Seed], Seed]:
        """Marks a conversation with one fault, which this rule has to find."""

        def mark(made: Seed) -> Seed:
            self.append((rule, made))
            return made

        return mark
