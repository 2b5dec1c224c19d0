"""Names of a module that are imported when they are first used (PEP 562).

Theory of operation. A module with such names says once, in a table, which module each of them is from; ``__all__`` and
``dir()`` follow from it. Type checkers and editors read the stub beside the module, which ``tools/public_api.py``
writes from the same table. Nothing but ``importlib`` is loaded for it: `typing` alone would take longer to import
than all of ``import dovetail``.

Specification: none.
"""

import sys
from importlib import import_module

__all__ = ["LazyNames"]


class LazyNames:
    """The names of ``module``: ``homes`` has the modules that they are from, each with its names; ``own`` are there.

    The module takes its ``__getattr__``, ``__dir__`` and ``__all__`` from here, as `find`, `shown` and `names`.
    """

    def __init__(self, module: str, homes: dict[str, tuple[str, ...]], *own: str) -> None:
        self.module = module
        self.homes = homes
        self._home_of = {name: home for home, names in homes.items() for name in names}
        self.names = [*sorted(self._home_of), *own]

    def find(self, name: str) -> object:
        """A name that is not there yet; the next look finds it without us. Raises AttributeError for one that is none,
        and ImportError for one that needs an extra.
        """
        home = self._home_of.get(name)
        if home is None:
            raise AttributeError(f"module {self.module!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        setattr(sys.modules[self.module], name, value)
        return value

    def shown(self) -> list[str]:
        """What is there, and what would come."""
        return sorted({*vars(sys.modules[self.module]), *self.names})
