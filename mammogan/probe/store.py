"""The object store as a step uses it: one small object written, read back, listed and deleted; the source listed."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from mammogan import storage, trust
from mammogan.storage import Key

if TYPE_CHECKING:
    from botocore.client import BaseClient

CONTENT = b"mammogan preflight\n"
CONNECT_S = 5
READ_S = 10
AWS = "AWS"
"""What an endpoint is called that nobody named."""

_KEY = "fix {key}ACCESS_KEY_ID and {key}SECRET_ACCESS_KEY in the Secret of the {what}"
_RIGHTS = {
    Key.STORE: "let this key list, read, write and delete there, or give another key in the Secret of the object store",
    Key.SOURCE: "let this key list and read there, or give another key in the Secret of the source",
}
_WHAT = {Key.STORE: "object store", Key.SOURCE: "source"}
_FIXES = {
    "InvalidAccessKeyId": f"the store knows no such key: {_KEY}",
    "SignatureDoesNotMatch": f"the secret key is wrong: {_KEY}",
    "InvalidToken": _KEY,
    "ExpiredToken": _KEY,
    "AuthorizationHeaderMalformed": "set AWS_DEFAULT_REGION in the ConfigMap to the bucket's region",
    "PermanentRedirect": "set AWS_DEFAULT_REGION and AWS_ENDPOINT_URL_S3 in the ConfigMap to the bucket's region",
    "RequestTimeTooSkewed": "the node's clock is wrong: fix it",
}


def probe(store: str) -> str:
    """Write, read back, list and delete one object below ``store``, ``s3://bucket/prefix``; says how it went.

    Takes well under a minute, also where nothing answers. The object is deleted after a failure too. Raises
    ValueError for another address, OSError in one line with the fix where something is refused or away.
    """
    bucket, _, prefix = store.removeprefix("s3://").rstrip("/").partition("/")
    if not store.startswith("s3://") or not bucket:
        raise ValueError(f"--store={store!r}: nothing was tried; give the run's store, s3://bucket/prefix")
    key = "/".join(filter(None, (prefix, f".preflight-{uuid.uuid4().hex}")))
    begun = time.monotonic()
    with _readable_errors("reach", store):
        client, signed = _client()
    with _readable_errors(
        "list", store, signed
    ):  # before the write, upon which some stores make a bucket that is misspelt
        client.list_objects_v2(Bucket=bucket, Prefix=key)
    with _removed(client, bucket, key):
        with _readable_errors("write to", store, signed):
            client.put_object(Bucket=bucket, Key=key, Body=CONTENT)
        with _readable_errors("read from", store, signed):
            read = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        if read != CONTENT:
            raise OSError(f"{store} gives back other bytes than were written; look for a proxy or a cache before it")
        with _readable_errors("list", store, signed):
            objects = client.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())
        if [item["Key"] for item in objects] != [key]:
            raise OSError(f"{store} does not list what was written; look for a proxy or a cache before it")
        with _readable_errors("delete from", store, signed):
            client.delete_object(Bucket=bucket, Key=key)
    took_s = time.monotonic() - begun
    return f"{store}: wrote, read, listed and deleted an object at {_endpoint()} in {took_s:.1f} s"


def probe_source(source: str) -> str:
    """List ``source``, ``s3://bucket/prefix``, and read the first byte of an object, as ingest's pod may.

    With the source's own key where there is one, and says which. Raises as ``probe`` does, and FileNotFoundError where
    nothing is there.
    """
    bucket, _, prefix = source.removeprefix("s3://").rstrip("/").partition("/")
    if not source.startswith("s3://") or not bucket:
        raise ValueError(f"--source={source!r}: nothing was tried; give the run's source, s3://bucket/prefix")
    key = Key.SOURCE if storage.own_key(Key.SOURCE) else Key.STORE
    with _readable_errors("reach", source, key=key):
        client, signed = _client(key)
    with _readable_errors("list", source, signed, key):
        objects = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/" if prefix else "").get("Contents", ())
    names = [item["Key"] for item in objects if item["Size"]]
    if not names:
        raise FileNotFoundError(f"{source} holds no object; upload the images there, or name another --source")
    with _readable_errors("read from", source, signed, key):
        client.get_object(Bucket=bucket, Key=names[0], Range="bytes=0-0")["Body"].read()
    own = "a key of its own" if key is Key.SOURCE else "the object store's key: without one of its own"
    return f"{source}: listed it and read an object with {own}"


def _client(key: Key = Key.STORE) -> tuple[BaseClient, bool]:
    """Client of this probe, which gives up soon, and whether it has credentials to sign with."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    trust.share()
    session = boto3.Session(**storage.own_key(key))
    signed = session.get_credentials() is not None
    # botocore's own words, which have no types
    settings: dict[str, Any] = {} if signed else {"signature_version": UNSIGNED}
    retries = {"total_max_attempts": 2, "mode": "standard"}
    config = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries=retries, **settings)
    return storage.client_of(session, config), signed


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or AWS


@contextlib.contextmanager
def _removed(client: BaseClient, bucket: str, key: str) -> Generator[None]:
    """Delete the object if the block fails; also after a write that seemed to fail, which may have had its effect."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            client.delete_object(Bucket=bucket, Key=key)
        raise


@contextlib.contextmanager
def _readable_errors(doing: str, store: str, signed: bool = True, key: Key = Key.STORE) -> Generator[None]:
    """Turn what boto3 raises into an OSError of one line with the fix."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise OSError(f"could not {doing} {store}: {_refusal(error, store, signed, key)}") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        if untrusted := trust.distrust(error):
            reason = f"the certificate of {_endpoint()} {untrusted}"
            raise OSError(f"could not {doing} {store}: {reason}") from error
        silence = _silence(through=isinstance(error, exceptions.ProxyConnectionError))
        raise OSError(f"could not {doing} {store}: {silence}") from error
    except (exceptions.BotoCoreError, ValueError) as error:  # ValueError: of boto3, for an address that is none
        fix = "check AWS_ENDPOINT_URL_S3 in the ConfigMap, and the service account's identity"
        raise OSError(f"could not {doing} {store}: {error}; {fix}") from error


def _silence(*, through: bool) -> str:
    where = _endpoint()
    if through:
        return f"no answer from {where} through the proxy; check HTTPS_PROXY, its sign-in and rules, and NO_PROXY"
    check = "the way to the internet" if where == AWS else "AWS_ENDPOINT_URL_S3 in the ConfigMap, that the store runs"
    return f"no answer from {where}; check {check}, and the NetworkPolicies on both sides"


def _refusal(error: Any, store: str, signed: bool, key: Key) -> str:  # noqa: ANN401  (botocore's ClientError)
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    bucket = store.removeprefix("s3://").partition("/")[0]
    if code == "NoSuchBucket":
        fix = f"make the bucket {bucket} or name another one with --{_WHAT[key].rpartition(' ')[2]}"
    elif code in _FIXES:
        fix = _FIXES[code]
    elif status in (401, 403):
        fix = _RIGHTS[key] if signed else f"it was asked without a key: {_KEY}, or give the service account an identity"
    elif status >= 500:
        fix = "the store fails: look at its own log and whether its disk is full"
    else:
        fix = "see the store's own log"
    where = _endpoint()
    proxy = storage.proxy_between(error, "https://s3.amazonaws.com" if where == AWS else where)
    fix = trust.blamed(fix, status, proxy)
    return f"{where} answers {code or status}; {fix}".replace("{key}", key).replace("{what}", _WHAT[key])
