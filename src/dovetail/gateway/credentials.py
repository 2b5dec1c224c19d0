"""Tokens of the people who call a gateway, for the servers behind it: kept in a store, sealed.

Theory of operation. A token is kept under the principal and the server that it is for, and sealed to that place: a
record that was copied elsewhere does not open. It is read when a connection of that principal sends a request, so one
that was replaced or taken back counts within seconds in all workers. A caller without one is told so; nothing of what
it showed to the gateway is ever tried instead.

Specification: basic/authorization, "Token Passthrough" ("Security Best Practices").
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from ..auth import Bearer
from ..errors import InvalidRequest
from ..proxy import Credentials
from ..security import KeyRing
from ..security.principal import Principal
from ..security.sealed_records import SealedRecords, check_private, keyed_name
from ..stores import Store

__all__ = ["PrincipalTokens"]

KEPT: Final = 5.0
"""Seconds that a token is used without asking the store again."""
MAX_TOKEN: Final = 64 * 1024
"""Bytes of a token."""
MAX_AT_HAND: Final = 10_000
"""Tokens that are at hand without asking the store."""
_SHARE: Final = 1 / 32


class PrincipalTokens:
    """Tokens by principal and server, in a `Store` that all workers share; the store stays the caller's to close.

    ``keys``: they are sealed with; all workers need the same. Without, they stand in the store as they are, which is
    refused (ValueError) unless the store is this user's alone (`MemoryStore`, `SQLiteStore`) or ``allow_unsealed``.
    Raises ImportError, which names the extra, for keys without the package cryptography.
    """

    def __init__(self, store: Store, *, keys: KeyRing | None = None, allow_unsealed: bool = False) -> None:
        check_private(store, keys, allow_unsealed=allow_unsealed, what="tokens")
        self._kv = store.kv.within("gateway/tokens/", share=_SHARE)
        self._sealed = SealedRecords(self._kv, "gateway tokens", keys, max_bytes=MAX_TOKEN)
        self._at_hand: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def put(self, server: str, principal: Principal, token: str) -> None:
        """Keep the token of a principal for a server, in the place of the one before. Raises ValueError for a principal
        without a name and for a token that is none, and what the store raises.
        """
        key = _key(server, principal)
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise ValueError("a token is a text of visible ASCII characters, without spaces")
        raw = self._sealed.sealed(key, token.encode("ascii"))
        if raw is None:
            raise ValueError(f"a token has at most {MAX_TOKEN} bytes")
        await self._kv.set(key, raw)
        self._at_hand.pop(key, None)

    async def remove(self, server: str, principal: Principal) -> bool:
        """Forget the token of a principal for a server; whether there was one. Raises as `put`."""
        key = _key(server, principal)
        self._at_hand.pop(key, None)
        return await self._kv.delete(key)

    def of(self, server: str) -> Credentials:
        """What gives each principal's own, for ``Gateway(credentials={server: tokens.of(server)})``."""
        return partial(self._options, server)

    async def _options(self, server: str, principal: Principal) -> Mapping[str, Any]:
        await self._token(server, principal)  # a caller without one is told so before anything is opened
        return {"auth": Bearer(partial(self._token, server, principal))}

    async def _token(self, server: str, principal: Principal) -> str:
        """The token. Raises `InvalidRequest` where there is none, and what the store raises."""
        if principal.is_anonymous:
            raise InvalidRequest(
                f"the server {server!r} is used with credentials of one's own, and nobody said who calls"
            )
        key = _key(server, principal)
        now = time.monotonic()
        kept = self._at_hand.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        data, _ = await self._sealed.read(key)
        if data is None:
            self._at_hand.pop(key, None)
            raise InvalidRequest(
                f"there are no credentials of yours for the server {server!r}; whoever runs this gateway can add them"
            )
        token = data.decode("ascii")
        self._at_hand[key] = now + KEPT, token
        self._at_hand.move_to_end(key)
        if len(self._at_hand) > MAX_AT_HAND:
            self._at_hand.popitem(last=False)
        return token


def _key(server: str, principal: Principal) -> str:
    """The name of a record. Raises ValueError for a principal without a name."""
    if principal.is_anonymous:
        raise ValueError("a principal without a name has no token of its own")
    return keyed_name(None, server, principal.key)
