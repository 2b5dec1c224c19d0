"""``python -m dovetail``: the same as the ``dovetail`` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
