"""``python -m mammogan.launch.browser ADDRESS``: open a page once its server answers.

A process of its own, because the one that printed the address has become the server.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.parse
import webbrowser

WAIT_S = 120.0
POLL_S = 0.3


def has_window() -> bool:
    """Whether a browser of this machine opens a window, or ``$BROWSER`` names one.

    Where there is no display Python would take one that draws in the terminal, which serves and logs already.
    """
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    return bool(os.environ.get("BROWSER")) or type(found) is not webbrowser.GenericBrowser


def open_when_up(address: str) -> bool:
    """Open a page when its server takes connections; False where it does not within two minutes."""
    parts, parent = urllib.parse.urlsplit(address), os.getppid()
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and os.getppid() == parent:
        with socket.socket() as probe:
            if probe.connect_ex((parts.hostname or "", parts.port or 80)) == 0:
                return webbrowser.open(address)
        time.sleep(POLL_S)
    return False


if __name__ == "__main__":
    sys.exit(0 if open_when_up(sys.argv[1]) else 1)
