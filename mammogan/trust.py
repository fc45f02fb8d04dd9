"""Private networks: a CA of one's own and HTTP proxies, the same for every library that asks a server.

Each library has its own variable for the file of trusted certificates, and some look at none. Whichever of
``VARIABLES`` is set counts for all of them. Proxies are the usual ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``.
"""

from __future__ import annotations

import functools
import os
import ssl
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name the file, in the order in which they count: of Python, requests, boto3 and curl."""
FIX = "give its CA's certificate as SSL_CERT_FILE=FILE.pem, to the steps as the key ca.crt of their ConfigMap"
INSIDE = "localhost,127.0.0.1,.svc,.svc.cluster.local"
"""What is never asked of a proxy, unless ``NO_PROXY`` says otherwise."""


def share() -> str | None:
    """File of trusted certificates that the environment names, made known to every library; None without one.

    And no proxy is asked for what is inside the cluster or on this machine, see ``keep_inside``. Raises ValueError
    where there is no such file, or where it holds no certificate.
    """
    keep_inside()
    for name in VARIABLES:
        if path := os.environ.get(name):
            _require_once(f"{name}={path!r}", Path(path))
            for other in VARIABLES[:3]:
                os.environ.setdefault(other, path)
            return path
    return None


def add(certificates: Sequence[Path]) -> None:
    """Trust ``certificates``, PEM files, beside the public CAs, in this process and in those that it starts.

    Raises ValueError where one holds no certificate.
    """
    import certifi

    for path in certificates:
        _require_certificates(str(path), path)
    together = Path(tempfile.mkdtemp(prefix="mammogan-trust-"), "ca.pem")
    together.write_bytes(b"\n".join(path.read_bytes() for path in (Path(certifi.where()), *certificates)))
    for name in VARIABLES[:3]:
        os.environ.setdefault(name, str(together))


def _require_certificates(what: str, path: Path) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(**{"capath" if path.is_dir() else "cafile": str(path)})
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{what}: no certificates there ({error}); give a PEM file") from error


_require_once = functools.cache(_require_certificates)
"""For the environment's file, which is asked for with every client that is made."""


def proxy_for(address: str) -> str | None:
    """Address of the proxy for requests to ``address``, as the environment and ``NO_PROXY`` say; None without one."""
    scheme, _, rest = address.partition("://")
    host = rest.partition("/")[0]
    return None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme)


def keep_inside() -> None:
    """Where there is a proxy and no ``NO_PROXY``, ask it for nothing inside the cluster or on this machine."""
    proxies = urllib.request.getproxies()
    if ("http" in proxies or "https" in proxies) and "no" not in proxies:
        kubernetes = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        os.environ["NO_PROXY"] = f"{INSIDE},{kubernetes}".rstrip(",")


def distrust(error: BaseException) -> str:
    """Why a certificate was refused, in OpenSSL's words, where that lies behind ``error``; else empty."""
    seen: set[int] = set()
    behind: list[object] = [error]
    while behind:
        cause = behind.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or str(cause)
        seen.add(id(cause))
        behind += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return ""
