"""What the browser shows when it comes back.

Theory of operation. The texts are ours alone: nothing of the request appears in a page, so there is nothing to escape
and nothing to inject. A page needs no script, loads nothing, may not be framed, and says so in its policy.

Specification: OAuth 2.1 section 7; CVE-2025-62800 is what this is about.
"""

from __future__ import annotations

import base64
import hashlib
from enum import Enum
from typing import Final

__all__ = ["CallbackPage", "render"]

_STYLE: Final = """
:root{color-scheme:light dark;--paper:#f6f4ef;--ink:#22201c;--soft:#6d675d;--line:#dcd6ca;--good:#2f7d4f;--bad:#b3452f}
@media(prefers-color-scheme:dark){:root{--paper:#191816;--ink:#ece8df;--soft:#a49c8e;--line:#38352f;--good:#6cc08f;
--bad:#e88a72}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);
color:var(--ink);font:17px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",sans-serif}
main{width:min(32rem,calc(100vw - 3rem));padding:2.5rem 0}svg{display:block;width:4.5rem;height:4.5rem;
margin-bottom:1.5rem}
.good{color:var(--good)}.bad{color:var(--bad)}.wait{color:var(--soft)}
h1{font-size:1.7rem;line-height:1.25;letter-spacing:-.015em;margin:0 0 .6rem;font-weight:650;text-wrap:balance}
p{margin:0;color:var(--soft)}footer{margin-top:2.2rem;padding-top:1rem;border-top:1px solid var(--line);
font-size:.85rem;color:var(--soft)}
"""
_MARKS: Final = {
    "good": '<path d="M20 34l9 9 17-20"/>',
    "bad": '<path d="M23 23l18 18M41 23L23 41"/>',
    "wait": '<path d="M32 20v14l8 6"/>',
}
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{_DIGEST}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8",
    f"Content-Security-Policy: {_POLICY}",
    "X-Frame-Options: DENY",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Opener-Policy: same-origin",
    "Cache-Control: no-store",
    "Connection: close",
)


class CallbackPage(Enum):
    """What there is to say: status, kind of mark, title, text."""

    DONE = 200, "good", "You are signed in", "You can close this tab and go back to where you came from."
    DENIED = (
        200,
        "bad",
        "Not signed in",
        "Access was not granted. Nothing was changed; you can close this tab.",
    )
    FAILED = (
        200,
        "bad",
        "Signing in did not work",
        "The reason stands where you started. You can close this tab and try again from there.",
    )
    STRANGER = (
        400,
        "wait",
        "This is not the sign-in that is under way",
        "The address belongs to another, perhaps an older one. The current sign-in still waits, in its own tab.",
    )
    MALFORMED = 400, "bad", "This address can't be read", "The current sign-in still waits, in its own tab."
    NOT_FOUND = 404, "wait", "There is nothing here", "This address only takes the end of a sign-in."
    METHOD = 405, "wait", "Only for browsers", "This address only takes the end of a sign-in, by GET."
    FORBIDDEN = 403, "bad", "Not here", "This address is for this machine only."
    STRANGE = (
        403,
        "bad",
        "Not yours",
        "This address takes the end of a sign-in of another user of this machine.",
    )


_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


def render(page: CallbackPage) -> bytes:
    """The whole HTTP response for a page."""
    status, mark, title, text = page.value
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>"
        f'<svg class="{mark}" viewBox="0 0 64 64" fill="none" stroke="currentColor" stroke-width="3.5"'
        ' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f'<circle cx="32" cy="32" r="29" opacity=".3"/>{_MARKS[mark]}</svg>'
        f"<h1>{title}</h1><p>{text}</p><footer>Dovetail</footer></main></body></html>"
    ).encode()
    head = "\r\n".join((f"HTTP/1.1 {status} {_REASONS[status]}", *_HEADERS, f"Content-Length: {len(body)}"))
    return head.encode("ascii") + b"\r\n\r\n" + body
