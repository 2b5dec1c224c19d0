"""What all wire values share.

`Wire` is the common configuration: frozen, camelCase on the wire, absent when default. `Open` is for the
values that a gateway or an inspector must be able to hand on unchanged: the members that this version does
not know are kept in ``extra`` (see `dovetail.protocol.codec`).
"""

from typing import Any

from msgspec import Struct, field

# A key from Unicode's private use area, which no peer means by accident. The encoder never lets it out: see
# codec.
EXTRA_KEY = "\ue000extra"


class Wire(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A value of the protocol. Fields are snake_case here and camelCase on the wire; a default is not sent."""


class Open(Wire, frozen=True, kw_only=True):
    """A value that keeps what it does not know.

    ``extra`` holds the members of the received object that no field names, by wire name, or None. They are
    sent back unchanged when the value is sent again; a known member always wins over one in ``extra``.
    """

    extra: dict[str, Any] | None = field(default=None, name=EXTRA_KEY)


Meta = dict[str, Any]
"""A ``_meta`` object: open by definition, keys by the grammar in basic/index, "_meta"."""
