"""``dovetail auth``: log in to a server, see how long that lasts, log out. And ``--auth`` of the other commands.

Theory of operation. Logins are kept in the state folder of the user (or the keyring), where every command with
``--auth`` finds them. What was said at ``auth login`` about the client (its id, the issuer that knows it, the name of
the variable with its secret) is kept beside them, so it is said once. The address is always shown whole; a browser
opens it where there is one, and else the person opens it anywhere and pastes the address they end up at. Without a
terminal nobody is asked: the command ends and says what to do. Secrets come from environment variables only, since
other users can see command lines.

Specification: basic/authorization.
"""

import os
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

try:
    from cyclopts import App as Commands
    from cyclopts import Parameter
    from rich.table import Table
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

import msgspec

from ..auth.login import (
    FileTokens,
    KeyringTokens,
    LoginDenied,
    LoginFailed,
    LoginVisit,
    OAuth,
    OAuthCredentials,
    TokenStore,
)
from ..auth.login.records import Tokens, decode, encode, key_of
from ..auth.resources import canonical_resource
from ..client import Client
from ..protocol.errors import LocalProtocolError
from ..protocol.safe_text import in_place, one_line
from .exits import LOGIN, OK, UsageError
from .screen import Screen
from .targets import place_of
from .terminal import EndOfInput, Terminal

__all__ = ["authorization", "stored_login"]

_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))

authorization = Commands(
    "auth", help="Log in to servers, and see or forget logins. Other commands use a login with --auth."
)


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said about the client at ``auth login``."""

    client_id: str | None = None
    issuer: str | None = None
    secret_env: str | None = None
    document: str | None = None
    port: int | None = None
    scopes: tuple[str, ...] = ()
    dpop: bool = False
    keyring: bool = False
    parent_resource: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class LoginCommandOptions:
    """Options of ``auth login``."""

    scope: Annotated[
        list[str], Parameter(negative="", help="A scope to ask for besides what is needed; may be repeated.")
    ] = field(default_factory=list[str])
    client_id: Annotated[str | None, Parameter(help="The id of a client that was registered by hand.")] = None
    issuer: Annotated[str | None, Parameter(help="The authorization server that knows --client-id.")] = None
    secret_env: Annotated[
        str | None, Parameter(help="The environment variable that holds the client's secret.")
    ] = None
    client_metadata_url: Annotated[
        str | None, Parameter(help="The https address of a document that describes the client.")
    ] = None
    port: Annotated[
        int | None, Parameter(help="The port on this machine that the browser comes back to.")
    ] = None
    paste: Annotated[
        bool, Parameter(negative="", help="Open no browser; paste the address at the end instead.")
    ] = False
    dpop: Annotated[bool, Parameter(negative="", help="Bind the tokens to a key.")] = False
    keyring: Annotated[bool, Parameter(negative="", help="Keep the tokens in the system's keyring.")] = False
    accept_parent_resource: Annotated[
        bool,
        Parameter(negative="", help="Take the server's word where it names something above it on its host."),
    ] = False
    again: Annotated[bool, Parameter(negative="", help="Log in anew, even if there is a login.")] = False
    timeout: Annotated[float, Parameter(help="Seconds to wait for you.")] = 300.0
    verbose: Annotated[
        bool, Parameter(("--verbose", "-v"), negative="", help="Show tracebacks and details.")
    ] = False

    @property
    def choice(self) -> Choice:
        """What is to be kept of this. Raises `UsageError`."""
        if self.client_id is not None and self.issuer is None:
            raise UsageError("--client-id needs --issuer, the authorization server that knows it")
        if self.secret_env is not None and self.client_id is None:
            raise UsageError("--secret-env needs --client-id")
        return Choice(
            client_id=self.client_id,
            issuer=self.issuer,
            secret_env=self.secret_env,
            document=self.client_metadata_url,
            port=self.port,
            scopes=tuple(self.scope),
            dpop=self.dpop,
            keyring=self.keyring,
            parent_resource=self.accept_parent_resource,
        )


class TerminalLogin:
    """The person at the terminal, as `OAuth` meets them. ``piped``: there is no terminal, and perhaps a browser."""

    def __init__(self, *, command: str = "", browser: bool = True, piped: bool = False) -> None:
        self._screen = Screen()
        self._terminal = Terminal()
        self._piped = piped
        self._command = command
        self._browser = browser

    def approve(self, visit: LoginVisit) -> bool:
        """Show the address whole. Raises `LoginFailed` where nobody is there to log in."""
        if self._command and not self._terminal.there and not self._piped:
            raise LoginFailed(f"nobody is here to log in; log in first: {self._command}")
        self._screen.err.print(Text(f"\nLog in to {one_line(visit.server)}", style="bold"), soft_wrap=True)
        self._screen.err.print(Text(f"  at {one_line(visit.host)}, by this address:\n", style="dim"))
        self._screen.err.print(Text(f"  {in_place(visit.url)}\n", style="cyan"), soft_wrap=True)
        return True

    async def paste(self, url: str) -> str:
        """Ask for the address at the end."""
        if not self._terminal.there:
            raise LoginFailed("no browser could be opened here, and nobody is here to paste an address")
        self._screen.note("Open it in any browser. At the end it leads to a page that may not load:")
        try:
            return await self._terminal.ask("paste the address of that page here: ")
        except EndOfInput:
            raise LoginDenied("the login was given up", error="declined") from None

    def oauth(self, choice: Choice, *, timeout: float = 300.0) -> OAuth:
        """The settings of a login. Raises `UsageError` for what makes no sense together."""
        secret = None
        if choice.secret_env is not None:
            secret = os.environ.get(choice.secret_env)
            if not secret:
                raise UsageError(
                    f"the environment has no {choice.secret_env}, which is to hold the client's secret"
                )
        try:
            return OAuth(
                client_id=choice.client_id,
                client_secret=secret,
                issuer=choice.issuer,
                client_metadata_url=choice.document,
                redirect_uri=None if choice.port is None else f"http://127.0.0.1:{choice.port}/callback",
                scopes=choice.scopes,
                dpop=choice.dpop or None,
                accept_parent_resource=choice.parent_resource,
                tokens=KeyringTokens() if choice.keyring else FileTokens(),
                approve=self.approve,
                open_browser=None if self._browser else _no_browser,
                paste=None if self._piped else self.paste,
                timeout=timeout,
            )
        except ValueError as problem:
            raise UsageError(str(problem)) from None


async def stored_login(url: str, *, piped: bool = False) -> Any:
    """What ``--auth`` means for a target: the login kept for it, or a new one. ``piped``: standard input is no
    person's, so a new one needs a browser. Raises `UsageError` for what is no URL.
    """
    place = _url(url)
    choice = await _choice_for(place) or Choice()
    return TerminalLogin(command=f"dovetail auth login {place}", piped=piped).oauth(choice)


@authorization.command
async def login(target: str, /, *, options: LoginCommandOptions = LoginCommandOptions()) -> int:
    """Log in to the server at a URL, in a browser."""
    url, choice = _url(target), options.choice
    screen, store = Screen(), FileTokens()
    if choice == Choice():
        choice = await _choice_for(url) or choice
    person = TerminalLogin(browser=not options.paste)
    credentials = _credentials(person.oauth(choice, timeout=options.timeout), url)
    try:
        if options.again:
            await credentials.log_out()
        before = await credentials.status()
        client = Client(url, auth=credentials)
        async with client:
            pass
        tokens = await credentials.status() or await credentials.log_in()
    finally:
        await credentials.close()
    await store.write(_key(url), encode(choice))
    known = before is not None and before.login_id == tokens.login_id
    screen.err.print(
        Text("You are logged in already." if known else "You are logged in.", style="bold green")
    )
    _show(screen, url, tokens, choice, error=True)
    return OK


@authorization.command
async def status(
    target: str,
    /,
    *,
    json: Annotated[bool, Parameter(negative="", help="Print it as JSON.")] = False,
) -> int:
    """Show the login for a server. The exit code is 0 if there is one that can be used, else 6."""
    url = _url(target)
    screen, choice, tokens = Screen(), *(await _kept(url))
    usable = tokens is not None and (tokens.refresh_token is not None or not tokens.expired(time.time()))
    if json:
        screen.json(_plain(url, tokens, usable=usable))
    elif tokens is None:
        screen.note(f"not logged in to {url}; to do so: dovetail auth login {url}")
    else:
        _show(screen, url, tokens, choice)
    return OK if usable else LOGIN


@authorization.command
async def logout(
    target: str,
    /,
    *,
    forget: Annotated[
        bool, Parameter(negative="", help="Forget what was said about the client, too.")
    ] = False,
) -> int:
    """Forget the login for a server, and end it at the authorization server, if that lets it be ended."""
    url = _url(target)
    choice = await _choice_for(url) or Choice()
    credentials = _credentials(_quiet(choice), url)
    gone = await credentials.log_out()
    await credentials.close()
    if forget:
        await FileTokens().remove(_key(url))
    screen = Screen()
    screen.note(f"logged out of {url}" if gone is not None else f"there was no login to {url}")
    return OK


async def _kept(url: str) -> tuple[Choice, Tokens | None]:
    """What is kept for a server."""
    choice = await _choice_for(url) or Choice()
    credentials = _credentials(_quiet(choice), url)
    try:
        return choice, await credentials.status()
    finally:
        await credentials.close()


def _quiet(choice: Choice) -> OAuth:
    """Settings that find a login and never make one: the secret is not needed for that."""
    store: TokenStore = KeyringTokens() if choice.keyring else FileTokens()
    return OAuth(
        client_id=choice.client_id,
        issuer=choice.issuer,
        client_metadata_url=choice.document,
        accept_parent_resource=choice.parent_resource,
        tokens=store,
        open_browser=_no_browser,
    )


def _credentials(auth: OAuth, url: str) -> OAuthCredentials:
    try:
        return auth.client_auth(url)
    except LocalProtocolError as problem:
        raise UsageError(str(problem)) from None


async def _choice_for(url: str) -> Choice | None:
    return decode(await FileTokens().read(_key(url)), Choice)


def _key(url: str) -> str:
    return key_of("cli", canonical_resource(url))


def _url(target: str) -> str:
    target = place_of(target).url
    if urlsplit(target).scheme not in ("http", "https"):
        raise UsageError("logins are for servers at an http or https URL")
    try:
        canonical_resource(target)
    except ValueError as problem:
        raise UsageError(f"{one_line(target)}: {problem}") from None
    return target


def _no_browser(_: str) -> bool:
    return False


def _plain(url: str, tokens: Tokens | None, *, usable: bool) -> dict[str, Any]:
    """A login as JSON, without its secrets."""
    found: dict[str, Any] = {"server": url, "loggedIn": usable}
    if tokens is not None:
        found |= {
            "issuer": tokens.issuer,
            "clientId": tokens.client_id,
            "resource": tokens.resource,
            "scopes": list(tokens.granted),
            "expiresAt": tokens.expires_at,
            "renewsItself": tokens.refresh_token is not None,
            "boundToKey": tokens.dpop_key is not None,
        }
    return found


def _show(screen: Screen, url: str, tokens: Tokens, choice: Choice, *, error: bool = False) -> None:
    """A login for people."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    rows = {
        "server": url,
        "given out by": tokens.issuer,
        "as client": tokens.client_id,
        "scopes": " ".join(tokens.granted) or "those of the server",
        "good": _lasting(tokens),
        "kept in": "the system's keyring" if choice.keyring else str(FileTokens().folder),
    }
    if tokens.dpop_key is not None:
        rows["bound to"] = "a key of this login"
    for name, value in rows.items():
        table.add_row(name, Text(one_line(value), overflow="fold"))
    (screen.err if error else screen.out).print(table)


def _lasting(tokens: Tokens) -> str:
    """How long a login lasts, in words."""
    renewed = "; renewed by itself" if tokens.refresh_token is not None else ""
    if tokens.expires_at is None:
        return f"until the server says otherwise{renewed}"
    left = tokens.expires_at - time.time()
    if left <= 0:
        return "expired; renewed at the next call" if renewed else "no more: expired"
    size, name = next((size, name) for size, name in _UNITS if left >= size or size == 1)
    count = max(1, int(left // size))
    return f"for {count} {name}{'s' if count != 1 else ''}{renewed}"
