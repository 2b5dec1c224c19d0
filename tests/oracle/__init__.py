"""The oracle: every message on the wire, in any test, held against the published schema of its revision.

Modules: `definitions` says which definition a method has in a revision, `errata` mends what the
schemas are known to get wrong, `closing` derives the variants that refuse foreign members,
`checker` follows the conversations, and `plugin` attaches all that to pytest.
Nothing here imports the library under test, save the wire tap that `plugin` listens to: an oracle
that shared tables with what it judges would repeat its mistakes.
"""

from __future__ import annotations
