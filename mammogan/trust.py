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
"""Where the CA is unknown."""
_OF_ANOTHER_HOST = 62
_NAME = "use the name that the certificate is for, or have it made for this one too"
_FIXES = {
    **dict.fromkeys((2, 18, 19, 20, 21), FIX),  # no issuer, signed by itself, or by a CA that is not trusted
    9: "set the clock of this machine or, where it is right, that of whoever made the certificate",
    10: "renew it, the server's own or its CA's",
    _OF_ANOTHER_HOST: _NAME,
    64: _NAME,  # of another IP address
}
"""By OpenSSL's code for what is wrong with a certificate (``X509_V_ERR_...``)."""
FORBIDDEN, PROXY_SIGN_IN = 403, 407
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
    from requests.utils import should_bypass_proxies

    # of the libraries' rules the one that knows networks, 10.0.0.0/8: MLflow's client and that of Kubernetes have it
    scheme = address.partition("://")[0]
    return None if should_bypass_proxies(address, no_proxy=None) else urllib.request.getproxies().get(scheme)


def place_of(proxy: str) -> str:
    """Host and port of a proxy's address, without what signs in there: all before the last ``@``."""
    return proxy.rpartition("@")[2].rpartition("//")[2]


def blamed(words: str, status: int, proxy: str | None) -> str:
    """``words`` for a server's refusal with ``status``, where a ``proxy`` stands between with who else may refuse."""
    shown = place_of(proxy or "")
    if not shown or status not in (FORBIDDEN, PROXY_SIGN_IN):
        return words
    if status == PROXY_SIGN_IN:  # no server but a proxy gives it
        return f"the proxy {shown} asks to sign in; give USER:PASSWORD@ before its host in HTTPS_PROXY and HTTP_PROXY"
    return f"{words}; or the proxy {shown} refuses: have it let the host through, or name the host in NO_PROXY"


def keep_inside() -> None:
    """Where there is a proxy and no ``NO_PROXY``, ask it for nothing inside the cluster or on this machine."""
    proxies = urllib.request.getproxies()
    if ("http" in proxies or "https" in proxies) and "no" not in proxies:
        kubernetes = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        os.environ["NO_PROXY"] = f"{INSIDE},{kubernetes}".rstrip(",")


def distrust(error: BaseException) -> str:
    """That a certificate was refused, why and what to do, to go on after whose it is; empty where none was."""
    cause = _refused_certificate(error)
    if cause is None:
        return ""
    reason = getattr(cause, "verify_message", "") or " ".join(str(cause).split())[:200]
    # urllib3's own class, by which it refuses the host's name where botocore has it compare, has no code
    code = getattr(cause, "verify_code", 0) if isinstance(cause, ssl.SSLError) else _OF_ANOTHER_HOST
    return f"is not trusted ({reason}); {_FIXES.get(code, 'have it replaced by a valid one')}"


def _refused_certificate(error: BaseException) -> BaseException | None:
    """What lies behind ``error`` and says that a certificate was refused."""
    from urllib3.util.ssl_match_hostname import CertificateError

    seen: set[int] = set()
    behind: list[object] = [error]
    while behind:
        cause = behind.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        if isinstance(cause, (ssl.SSLCertVerificationError, CertificateError)):
            return cause
        seen.add(id(cause))
        behind += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return None
