"""Who is at the browser: the one question that the operator answers.

Theory of operation. The authorization server keeps no users and no passwords. It asks a login hook, which looks at a
`LoginRequest` and gives either a `User`, and the consent page follows, or a `Page` to show, whose form posts back to
`LoginRequest.action` and so asks the hook again. A hook that sends people to a login elsewhere gives `Page.elsewhere`
and lets that login return to `action` (with a GET). Everything about the request in progress travels sealed in
`action`; the hook need not keep anything.

Ready hooks: `form_login` for a check that the operator writes; `single_user` and `pick_user` for tests and for
development, which ask for nothing and are refused unless the issuer is this machine.

Specification: OAuth 2.1 section 4.1.1; RFC 9700 section 4.11 and 4.16 (no framing, no open redirection).
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

__all__ = [
    "Login",
    "LoginRequest",
    "Page",
    "User",
    "ask_hook",
    "developer_only",
    "form_login",
    "pick_user",
    "single_user",
]

_MAX_SUBJECT: Final = 255
_MARK: Final = "_dovetail_developer_only"


class User(msgspec.Struct, frozen=True):
    """Who logged in. `subject`: the name that tokens carry, stable and never given to somebody else; `name` for the
    consent page. `scopes`: all that this user may grant (None: all there are); `claims`: more statements for the token.
    Raises `ValueError` for a subject of none or more than 255 characters.
    """

    subject: str
    name: str = ""
    scopes: Sequence[str] | None = None
    claims: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not 1 <= len(self.subject) <= _MAX_SUBJECT or not self.subject.isprintable():
            raise ValueError(f"A user's subject has 1 to {_MAX_SUBJECT} printable characters.")


class Page(msgspec.Struct, frozen=True):
    """A page of the operator's. `body` is its HTML; `headers` more headers (its cookies).

    It is sent with a content security policy that allows forms to this server, inline styles, and nothing else;
    `policy` replaces that (framing stays forbidden whatever it says).
    """

    body: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    policy: str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"

    @classmethod
    def elsewhere(cls, url: str, *, headers: tuple[tuple[str, str], ...] = ()) -> Page:
        """Send the browser to a login of somebody else's, which has to return to `LoginRequest.action`."""
        return cls("", 303, (("location", url), *headers))


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a login hook sees. `method` is POST when a form came back, `form` its fields, `query` what a login elsewhere
    added to `action`. `cookies` and `headers` (lower-case names) are the browser's. `client_name`, `client_id`,
    `scopes` and `resource` say who asks for what, as strangers claim it: escape them.
    """

    method: str
    action: str
    form: Mapping[str, str]
    query: Mapping[str, str]
    cookies: Mapping[str, str]
    headers: Mapping[str, str]
    client_name: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str

    def __repr__(self) -> str:
        return f"LoginRequest({self.method}, client_id={self.client_id!r})"


Login = Callable[[LoginRequest], User | Page | Awaitable[User | Page]]


def single_user(subject: str = "developer", *, scopes: Sequence[str] | None = None) -> Login:
    """A hook that takes whoever comes for this user. For tests and for your own machine only."""

    def hook(_: LoginRequest) -> User | Page:
        return User(subject, scopes=scopes)

    setattr(hook, _MARK, True)
    return hook


def pick_user(*subjects: str) -> Login:
    """A hook that lets whoever comes choose who to be. For tests and for your own machine only."""

    def hook(request: LoginRequest) -> User | Page:
        if request.form.get("user") in subjects:
            return User(request.form["user"])
        buttons = "".join(
            f'<p><button name="user" value="{html.escape(each)}">{html.escape(each)}</button></p>'
            for each in subjects
        )
        return Page(_form(request.action, "Who are you today?", buttons))

    setattr(hook, _MARK, True)
    return hook


def form_login(
    check: Callable[[str, str], User | None | Awaitable[User | None]], *, title: str = "Log in"
) -> Login:
    """A hook with a form for name and password. `check(name, password)` is yours: it gives the user, or None.

    Compare passwords with a slow hash (scrypt, argon2) in constant time, and take as long for an unknown name as for a
    wrong password. Failed tries are limited by the server.
    """

    async def hook(request: LoginRequest) -> User | Page:
        said = ""
        if request.method == "POST":
            found = check(request.form.get("name", ""), request.form.get("password", ""))
            user = await found if inspect.isawaitable(found) else found
            if user is not None:
                return user
            said = "<p><strong>That did not match.</strong></p>"
        fields = (
            '<p><label>Name <input name="name" autocomplete="username" required></label></p>'
            '<p><label>Password <input name="password" type="password" autocomplete="current-password" required>'
            "</label></p><p><button>Log in</button></p>"
        )
        return Page(_form(request.action, title, said + fields), 401 if said else 200)

    return hook


def developer_only(hook: Login) -> bool:
    """Whether this hook asks for no proof at all."""
    return bool(getattr(hook, _MARK, False))


async def ask_hook(hook: Login, request: LoginRequest) -> User | Page:
    """What the hook says. Raises TypeError for anything but a user or a page."""
    found = hook(request)
    answer = await found if inspect.isawaitable(found) else found
    if not isinstance(answer, (User, Page)):  # pyright: ignore[reportUnnecessaryIsInstance] - hooks are not always typed
        raise TypeError(f"The login hook gave {type(answer).__name__}; it gives a User or a Page.")
    return answer


def _form(action: str, title: str, inner: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>"
        f'<form method="post" action="{html.escape(action)}">{inner}</form></html>'
    )
