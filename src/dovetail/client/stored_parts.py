"""The parts of what one client keeps in a store, put together; imported by clients that have one.

Specification: none; see the parts.
"""

from ..protocol.errors import LocalProtocolError
from ..security.sealed_records import keyed_name
from . import stored_eras, stored_results, stored_sessions
from .client_records import ClientRecords, StoreAvailability
from .options import Options
from .store_option import ClientStore
from .targets import ClientTarget

__all__ = ["StoredParts"]


class StoredParts:
    """What a client with this ``target`` keeps; each part is None where it is not kept.

    Raises `LocalProtocolError` where the room of the store is given away.
    """

    def __init__(self, setting: ClientStore, target: ClientTarget, options: Options) -> None:
        self.eras: stored_eras.StoredEras | None = None
        self.results: stored_results.StoredResults | None = None
        self.session: stored_sessions.StoredSession | None = None
        try:
            self._put_together(setting, target, options)
        except ValueError as problem:
            raise LocalProtocolError(f"the store can't be used: {problem}") from None

    def _put_together(self, setting: ClientStore, target: ClientTarget, options: Options) -> None:
        availability = StoreAvailability()
        if setting.eras:
            share, most = stored_eras.SHARE, stored_eras.MAX_RECORD
            records = ClientRecords(setting, "eras", availability, share=share, max_bytes=most)
            self.eras = stored_eras.StoredEras(records)
        server, account = target.server_key(), target.key()
        if server is None or account is None:
            return
        if setting.results and options.cache:
            share, most = stored_results.SHARE, 2 * stored_results.MAX_RECORD
            room = (keyed_name(setting.keys, "server", server)[:16], stored_results.SERVER_SHARE)
            records = ClientRecords(
                setting, "results", availability, share=share, max_bytes=most, inside=room
            )
            share, most = stored_results.GENERATIONS_SHARE, stored_results.MAX_GENERATION
            generations = ClientRecords(setting, "generations", availability, share=share, max_bytes=most)
            self.results = stored_results.StoredResults(records, generations, server, account)
        if setting.sessions and target.http:
            share, most = stored_sessions.SHARE, stored_sessions.MAX_RECORD
            records = ClientRecords(setting, "sessions", availability, share=share, max_bytes=most)
            self.session = stored_sessions.StoredSession(records, account, options)
