"""Which proxy, if any, the environment names for a URL.

Theory of operation. ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` (or what the system keeps in their
place) are read as the standard library reads them. Loopback addresses, ``localhost`` and the names below it are never
asked of a proxy, which would find its own.
Specification: none; the variables are a custom of long standing.
"""

from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ....protocol.bindings.origins import is_local_name
from ....protocol.errors import ConnectFailed

__all__ = ["proxy_for"]

_SPOKEN: Final = ("http://", "https://")


def proxy_for(url: str) -> str | None:
    """The proxy's URL; None for none. Raises `ConnectFailed` where a proxy is named that we can't talk to."""
    parts = urlsplit(url)
    scheme, host = parts.scheme, parts.hostname or ""
    if is_local_name(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy is None or proxy.startswith(_SPOKEN):
        return proxy
    if "://" not in proxy:
        return f"http://{proxy}"
    kind = proxy.partition("://")[0]
    raise ConnectFailed(
        f"the environment names a proxy of kind {kind!r}; only http and https proxies are supported"
    )
