"""The browser of this machine.

Specification: client/elicitation, "URL Mode": an address is opened when the person says so, and by nothing else.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Final

__all__ = ["open_browser"]

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")


def open_browser(url: str) -> bool:
    """Open a web address in a browser that has a window; False where there is none, or it is no web address."""
    if not url.startswith(("https://", "http://")):
        return False
    if sys.platform.startswith("linux") and not any(os.environ.get(each) for each in _DISPLAYS):
        return False  # what would be found is a browser inside the terminal
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
