"""Another server, offered by an app: `ProxyProvider` for `App.mount`, and `proxy_app` for a server that is nothing but
that.

Whoever uses it need not know: calls, what is asked and told during them, changes and what nobody here knows pass in
both directions, whichever revision and transport the two sides speak.

Specification: none; of what passes, that of the two sides.
"""

from .app import proxy_app
from .connections import Credentials, Share
from .failures import UpstreamFailed
from .parking import ParkingLost
from .provider import ProxyProvider

__all__ = ["Credentials", "ParkingLost", "ProxyProvider", "Share", "UpstreamFailed", "proxy_app"]
