"""The names of `dovetail.testing` for type checkers; see `__init__.py`."""

from .answers import Answers as Answers
from .clock import VirtualLoop as VirtualLoop
from .clock import run_virtual as run_virtual
from .serving import connected as connected
from .serving import served as served

__all__ = ["Answers", "VirtualLoop", "connected", "run_virtual", "served"]
