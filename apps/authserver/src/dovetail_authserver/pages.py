"""The pages that people see: consent, and refusals.

Theory of operation. Plain HTML without any script, from templates of which every value is escaped, under a policy that
loads nothing, frames nowhere and posts only to this server (and lets the browser follow our redirect to the client).
Names that clients give themselves are shown as theirs, without characters that could rearrange the line; the host that
gets the answer is always shown, for that is what can't be claimed.

Specification: basic/authorization/security-considerations, "Localhost Redirect URI Risks"; "Security Best Practices",
"Confused Deputy Problem" (consent UI); RFC 9700 section 4.16.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from typing import Final

from . import redirects
from .clients import OAuthClient
from .exchange import HTTPResponse
from .login import Page, User
from .scopes import Scopes

__all__ = ["consent", "operator_page", "refusal"]

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "strong{overflow-wrap:anywhere}.warn{border-left:4px solid #b45309;padding-left:.75rem}"
    "button{font:inherit;padding:.5rem 1.25rem;margin-right:.75rem}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_LOCAL: Final = (
    '<p class="warn">This is a program on this computer. Any program here can claim this name: go on only if you '
    "started this login yourself just now.</p>"
)
_SELF_MADE: Final = '<p class="warn">The application gave itself this name; nobody checked it.</p>'


def consent(
    client: OAuthClient,
    user: User,
    *,
    redirect_uri: str,
    resource: str,
    scopes: Iterable[str],
    words: Scopes,
    action: str,
    ticket: str,
) -> HTTPResponse:
    """The page that asks whether the client may."""
    local = redirects.is_loopback(redirect_uri)
    asked = "".join(
        f"<li>{_shown(words.words[name])} <small>({_shown(name)})</small></li>" for name in scopes
    )
    published = (
        f"<p>It is published at <strong>{_shown(client.id, 300)}</strong>.</p>"
        if client.origin == "document"
        else ""
    )
    return _page(
        "Allow access?",
        f"<p><strong>{_shown(client.name or client.id)}</strong> asks for access to "
        f"<strong>{_shown(resource, 300)}</strong> as <strong>{_shown(user.name or user.subject)}</strong>.</p>"
        + published
        + ("" if client.trusted else _SELF_MADE)
        + (
            f"<p>It would be able to:</p><ul>{asked}</ul>"
            if asked
            else "<p>It asks for nothing beyond that.</p>"
        )
        + f"<p>The answer goes to <strong>{_shown(redirects.host_of(redirect_uri), 300)}</strong>.</p>"
        + (_LOCAL if local else "")
        + f'<form method="post" action="{html.escape(action)}">'
        f'<input type="hidden" name="ticket" value="{html.escape(ticket)}">'
        '<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>',
        forms_to=redirects.origin_of(redirect_uri),
    )


def refusal(title: str, text: str, *, status: int, onward: str = "") -> HTTPResponse:
    """A page that says what is wrong; `onward`: a registered redirect URI that people may choose to follow."""
    link = ""
    if onward:
        link = (
            f'<p><a rel="noreferrer" href="{html.escape(onward)}">Go back to '
            f"<strong>{_shown(redirects.host_of(onward), 300)}</strong></a></p>"
        )
    return _page(title, f"<p>{_shown(text, 500)}</p>{link}", status=status)


def operator_page(page: Page) -> HTTPResponse:
    """A page of the login hook's, framed nowhere."""
    kept = tuple((name.lower(), value) for name, value in page.headers)
    for name, value in (*kept, ("policy", page.policy)):
        if not (name + value).isprintable() or not (name + value).isascii():
            raise ValueError("A header of the login page has characters that a header can't hold.")
    return HTTPResponse(
        page.status,
        page.body.encode("utf-8", "replace"),
        (*kept, *_headers(page.policy)),
    )


def _page(title: str, body: str, *, status: int = 200, forms_to: str = "") -> HTTPResponse:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_shown(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_shown(title)}</h1>{body}</body></html>"
    )
    # Browsers hold the redirect that answers a form to form-action as well.
    forms = f"'self' {forms_to}" if forms_to else "'none'"
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {forms}; base-uri 'none'"
    return HTTPResponse(status, text.encode(), _headers(policy))


def _headers(policy: str) -> tuple[tuple[str, str], ...]:
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        # Of a directive that comes twice, the first counts.
        ("content-security-policy", f"frame-ancestors 'none'; {policy}"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        # Not "no-referrer": with that, browsers would send "Origin: null" along with our own forms.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    )


def _shown(text: str, limit: int = 80) -> str:
    """Text for people: nothing that rearranges or hides it, not too long, escaped."""
    plain = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    return html.escape(plain if len(plain) <= limit else plain[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}")
