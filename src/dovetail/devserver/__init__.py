"""What `dovetail dev` runs: a server that stays while the author's file changes (see `server`).

Specification: none.
"""

__all__: list[str] = []
