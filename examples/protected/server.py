"""The protected server of the example: notes that belong to whoever is calling.

python server.py PORT ISSUER
"""

import sys

from dovetail import App, Principal
from dovetail.auth import Protected, jwt


def build(resource: str, issuer: str) -> App:
    """The app. Every request needs a token for this resource; changing something needs one scope more."""
    # Tokens of this example last for three seconds; the leeway for clocks would be ten times as long.
    app = App("notes", auth=Protected(resource, jwt(issuer, keep=0), scopes=["notes:read"], leeway=0))
    notes: dict[str, list[str]] = {}

    @app.tool
    def read(who: Principal) -> str:
        """Your notes."""
        return f"{who.subject}: {'; '.join(notes.get(who.subject, [])) or 'no notes yet'}"

    @app.tool(scopes=["notes:read", "notes:write"])
    def write(text: str, who: Principal) -> str:
        """Add a note."""
        notes.setdefault(who.subject, []).append(text)
        return f"noted for {who.subject}"

    return app


if __name__ == "__main__":
    at, issued_by = int(sys.argv[1]), sys.argv[2]
    build(f"http://127.0.0.1:{at}/mcp", issued_by).run("http", port=at)
