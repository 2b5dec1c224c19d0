"""The authorization server of the example: two people, three scopes, tokens that end after a few seconds.

python authority.py PORT RESOURCE
"""

import sys

from dovetail.authserver import AuthServer, Lifetimes, pick_user
from dovetail.stores import MemoryStore

SCOPES = {"notes:read": "read your notes", "notes:write": "change your notes"}


def main(port: int, resource: str) -> None:
    """Serve on this machine, until interrupted."""
    server = AuthServer(
        f"http://127.0.0.1:{port}",
        login=pick_user("alice", "bob"),  # whoever comes chooses who to be: for this machine only
        store=MemoryStore(),
        resources=[resource],
        scopes=SCOPES,
        registration="open",
        lifetimes=Lifetimes(access_token=3),
    )
    server.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
