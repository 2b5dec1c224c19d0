"""What we know of the driver, redis-py: its connections, its URLs, its errors.

Theory of operation
-------------------
Only connections are taken from it, and neither its client nor its pools: those send a command again when its connection
broke, and a `take` that ran twice would have given its value to nobody. Of what the server says only the first word of
a refusal goes into an error of ours, for the rest may quote keys.

Specification: none.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from dovetail.logs import get_logger
from dovetail.stores.errors import StoreError, StoreUnavailable

__all__ = ["Address", "Driver", "is_refusal"]

Address = tuple[str, int]
"""Host and port."""

_OF_POOLS = ("maint", "orig_", "oss_cluster_", "himport")
"""What options begin with that pools give to their connections for features that are theirs."""
_SIGN_OF_LIFE = b"*1\r\n$4\r\nPING\r\n"
_LOSING = b"allkeys-"
_log = get_logger("dovetail.stores")


def _import() -> tuple[Any, Any]:
    """What makes connections, and what keeps them from trying again."""
    try:
        from redis.asyncio import ConnectionPool
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise ImportError("RedisStore needs the package redis: pip install 'dovetail[redis]'") from error
    return ConnectionPool, Retry(NoBackoff(), 0)


def is_refusal(error: Exception) -> bool:
    """Whether the server answered with an error: the call had no effect, and the connection is fine."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


class Driver:
    """Makes connections to the server at ``url``. ``timeout``, in seconds, is for connecting and for each answer."""

    def __init__(self, url: str, timeout: float) -> None:
        if not timeout > 0:
            raise ValueError(f"A Redis store needs a timeout above zero, not {timeout}.")
        connection_pool, never_again = _import()
        try:
            pool = connection_pool.from_url(url, protocol=2)
            options: dict[str, Any] = {
                name: value
                for name, value in pool.connection_kwargs.items()
                if not name.startswith(_OF_POOLS)
            }
            pool.connection_class(**options)
        except (ValueError, TypeError):
            # What it says quotes parts of the URL, and a password may be among them.
            raise ValueError(
                "The URL of a Redis store can't be read. Use redis://[user:password@]host[:port][/database],"
                " rediss://... for TLS or unix://path, with special characters of user and password percent-encoded."
            ) from None
        self.timeout = timeout
        self.max_memory = 0
        self.database = int(options.get("db") or 0)
        options |= {
            "protocol": 2,
            "decode_responses": False,
            "health_check_interval": 0,
            "retry": never_again,
            "socket_connect_timeout": timeout,
            "socket_timeout": None,
        }
        self._make: Any = pool.connection_class
        self._options = options
        self._told: set[str] = set()

    def address(self, address: Address | None) -> Address:
        """Host and port of a node, those of the URL if none is given."""
        return address or (self._options.get("host", "localhost"), self._options.get("port", 6379))

    async def connect(self, address: Address | None, *, listening: bool = False) -> Any:
        """A connection that is ready. Raises `StoreUnavailable`."""
        options = self._options
        if address is not None:
            options = options | {"host": address[0], "port": address[1]}
        connection: Any = self._make(**options)
        try:
            async with asyncio.timeout(self.timeout):
                await connection.connect()
                if listening:
                    await self.ask_for_life(connection)  # it may want a password
                    await self.receive(connection)
                else:
                    await self._judge(connection, address)
        except StoreError:
            await self.close(connection)
            raise
        except Exception as error:  # noqa: BLE001 - whatever keeps us from connecting, nothing was sent
            await self.close(connection)
            raise self._unreachable(address, error) from None
        except BaseException:
            await self.close(connection)
            raise
        return connection

    async def stands(self, connection: Any) -> bool:
        """Whether a connection that nobody uses is still good: nothing came, and it was not closed."""
        try:
            look = getattr(connection, "can_read", None) or connection.can_read_destructive
            return connection.is_connected and not await look()
        except Exception:  # noqa: BLE001 - then it is not
            return False

    async def close(self, connection: Any) -> None:
        """Close a connection, whatever its state."""
        with suppress(Exception):
            await connection.disconnect(nowait=True)

    async def send(self, connection: Any, commands: list[tuple[Any, ...]]) -> None:
        """Send commands in one piece."""
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def ask_for_life(self, connection: Any) -> None:
        """Ask the server for a sign of life, which comes as a reply."""
        await connection.send_packed_command(_SIGN_OF_LIFE, check_health=False)

    async def receive(self, connection: Any) -> Any:
        """The next reply. Raises what `is_refusal` knows."""
        return await connection.read_response(disable_decoding=True)

    async def hear(self, connection: Any, patience: float) -> Any:
        """What comes next to a connection that listens. None where nothing has come for so many seconds."""
        return await connection.read_response(disable_decoding=True, timeout=patience)

    def refused(self, address: Address | None, error: Exception) -> StoreUnavailable:
        """What to tell about a call that the server refused."""
        return self._error(address, *_meaning(error))

    def broken(self, address: Address | None, error: Exception | None) -> StoreUnavailable:
        """What to tell about a call that was sent, and whose answer did not come."""
        found = self._error(
            address,
            f"no answer came within {self.timeout:g} s"
            if isinstance(error, TimeoutError)
            else "the connection broke",
            "The operation may have been done or not: look before you repeat it.",
        )
        found.uncertain = True
        return found

    def _unreachable(self, address: Address | None, error: Exception) -> StoreUnavailable:
        if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
            return self._error(
                address,
                f"it does not answer within {self.timeout:g} s",
                "See whether it runs and is not paused.",
            )
        return self._error(address, *_meaning(error))

    def _error(self, address: Address | None, reason: str, advice: str) -> StoreUnavailable:
        path = self._options.get("path")
        place = repr(path) if path and address is None else "{}:{}".format(*self.address(address))
        return StoreUnavailable(f"The Redis store at {place} cannot serve: {reason}. {advice}")

    async def _judge(self, connection: Any, address: Address | None) -> None:
        """See whether the server keeps what it is given. Raises `StoreUnavailable` where it does not."""
        await self.send(connection, [("INFO", "memory"), ("INFO", "persistence")])
        told: dict[bytes, bytes] = {}
        for _ in range(2):
            try:
                reply: bytes = await self.receive(connection)
            except Exception as error:
                if not is_refusal(error):
                    raise
                self._tell_once(
                    "Redis does not let us see its settings (INFO): its maxmemory-policy has to be noeviction"
                )
                continue
            lines = (line.partition(b":") for line in reply.splitlines())
            told |= {name: value for name, _, value in lines}
        policy = told.get(b"maxmemory_policy", b"")
        if policy.startswith(_LOSING):
            raise self._error(
                address,
                f"its maxmemory-policy is {policy.decode('ascii', 'replace')}, so it throws away what it was given",
                "Set maxmemory-policy to noeviction.",
            )
        if b"maxmemory" in told:
            self.max_memory = int(told[b"maxmemory"])
        if told.get(b"aof_enabled") == b"0":
            self._tell_once(
                "Redis has no append-only file: when it restarts, sessions, events and tasks that it has confirmed"
                " may be gone (set appendonly to yes)"
            )

    def _tell_once(self, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            _log.warning("%s", words)


_MEANINGS = {
    "AuthenticationError": (
        "it refused the user or password of the URL",
        "Correct the URL, or the server's ACL.",
    ),
    "AuthenticationWrongNumberOfArgsError": (
        "it refused the user or password of the URL",
        "Correct the URL.",
    ),
    "NoPermissionError": (
        "its ACL does not let this user do that",
        "Allow the user the keys, channels and commands that the page about stores names.",
    ),
    "ReadOnlyError": ("it is a replica, and takes no writes", "Use the URL of the primary."),
    "BusyLoadingError": ("it is still loading its data", "Try again in a moment."),
    "MaxConnectionsError": ("it has its limit of clients", "Raise maxclients, or use fewer connections."),
    "LAYOUT": (
        "a newer Dovetail wrote the data in this namespace",
        "Upgrade, or use another namespace.",
    ),
    "NOAUTH": ("it asks for a password", "Put user and password into the URL."),
    "WRONGPASS": ("it refused the user or password of the URL", "Correct the URL, or the server's ACL."),
    "MISCONF": (
        "it can't write to its disk, so it takes no writes",
        "Make room on its disk, or look into its log.",
    ),
    "CROSSSLOT": ("it keeps the keys of one part in several slots", "Use a namespace without braces."),
}


def _meaning(error: Exception) -> tuple[str, str]:
    """What an error of the server or of the driver means, and what to do about it."""
    kind = type(error).__name__
    if kind in _MEANINGS:
        return _MEANINGS[kind]
    word = str(error).partition(" ")[0]
    if is_refusal(error) and word.isascii() and word.isupper() and word.isalpha():
        return _MEANINGS.get(word, (f"it answered {word}", "Look into the cause and try again."))
    if is_refusal(error):
        return f"it answered with an error ({kind})", "Look into the cause and try again."
    # Nothing of ours was sent: what it says is of hosts, ports and certificates.
    return f"there is no connection ({error or kind})", "See whether it runs, and whether the URL is right."
