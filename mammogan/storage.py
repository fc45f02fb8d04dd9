"""Files by address: a local path or ``s3://bucket/key``, read whole, written atomically, fetched by sha256.

S3 credentials, region and endpoint come from boto3's usual environment (``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL_S3``, ...); without credentials requests go unsigned, as public buckets need. What is read of a
source may have an access key of its own, see ``Key``. While the server is
away, or breaks off in the middle of an object, every request is made again for as long as ``patience`` says, then
AwayError is raised; what waiting does not fix is raised at once. Both are OSErrors of one line that names the address.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from mammogan import patience, trust, user_folders

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.client import BaseClient
    from botocore.config import Config

CACHE = "MAMMOGAN_CACHE"
"""Variable that names the folder of fetched files and of features."""
CHUNK_BYTES = 1 << 20
CONNECT_S, ANSWER_S = 10, 30
"""Seconds after which a server that does not answer counts as away: to the connection, and to each read or write."""
CONFLICT, PRECONDITION_FAILED = 409, 412
NOT_IMPLEMENTED = 501
TOO_MANY_REQUESTS = 429

Result = TypeVar("Result")


class Key(StrEnum):
    """Whose access key signs a request; the value begins the names of its variables.

    ``SOURCE`` is for images and labels, which nobody needs to write: ``MAMMOGAN_SOURCE_ACCESS_KEY_ID``,
    ``MAMMOGAN_SOURCE_SECRET_ACCESS_KEY`` and, for a temporary key, ``MAMMOGAN_SOURCE_SESSION_TOKEN``. Without them it
    is ``STORE``, which is whatever boto3 finds.
    """

    STORE = "AWS_"
    SOURCE = "MAMMOGAN_SOURCE_"


class AwayError(OSError):
    """A store that was away for longer than this process waits."""


def is_remote(uri: str) -> bool:
    """Whether ``uri`` is an S3 address rather than a local path."""
    return uri.startswith("s3://")


def join(uri: str, *parts: str) -> str:
    """Address below ``uri``; works for both kinds."""
    return "/".join((uri.rstrip("/") or "/", *parts)) if is_remote(uri) else str(Path(uri, *parts))


def inside(root: Path, relative: str) -> Path:
    """Path of ``relative`` below ``root``. Raises ValueError where it would leave the root."""
    try:
        path = (root / relative).resolve()
    except RuntimeError as error:  # of Python up to 3.12
        raise ValueError(f"path={relative!r}: a link that leads to itself; use a path below {root}") from error
    if not path.is_relative_to(root) and not path.is_relative_to(root.resolve()):  # most roots are resolved already
        raise ValueError(f"path={relative!r}: it leaves its folder {root}; use a path below it")
    return path


FOLDER = "a folder"
"""What ``unusual`` calls one."""


def unusual(path: Path) -> str:
    """What stands at a local path that is no regular file itself, in words; empty for a file and for nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISDIR(mode):
        return FOLDER
    return "" if stat.S_ISREG(mode) else "a pipe, a socket or a device"


def open_regular(path: Path) -> io.BufferedReader:
    """A local file, open for reading. A pipe or a device, which could keep a reader for ever, is an OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, no file", str(path))
    raise OSError(errno.EINVAL, "a pipe or a device, no regular file", str(path))


@functools.lru_cache(maxsize=2)
def s3(key: Key = Key.STORE) -> BaseClient:
    """S3 client of this process, unsigned where there are no credentials; it tries once, the patience is ours.

    Raises ValueError for one half of a source's key without the other.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    trust.share()
    session = boto3.Session(**own_key(key))
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=CONNECT_S, read_timeout=ANSWER_S)
    if session.get_credentials() is None:
        config = config.merge(Config(signature_version=UNSIGNED))
    return client_of(session, config)


def client_of(session: Session, config: Config) -> BaseClient:
    """S3 client that asks the proxy for its endpoint where all else does, see ``trust.proxy_for``."""
    from botocore.config import Config

    client = session.client("s3", config=config)
    if not urllib.request.getproxies():
        return client
    endpoint = client.meta.endpoint_url  # known only now: a variable, a profile or a region may say it
    proxy = trust.proxy_for(endpoint)
    proxies = {endpoint.partition("://")[0]: proxy} if proxy else {}
    return session.client("s3", config=config.merge(Config(proxies=proxies)))


def proxy_between(error: Any, endpoint: str) -> str | None:  # noqa: ANN401  (botocore's ClientError)
    """The proxy that may have refused in the store's place; None without one, or where the answer has an id of S3's."""
    of_the_store = error.response.get("ResponseMetadata", {}).get("RequestId")
    return None if of_the_store else trust.proxy_for(endpoint)


def own_key(key: Key) -> dict[str, str]:
    """The source's own access key as boto3's arguments; empty where boto3 has to find one."""
    given = {name: os.environ.get(f"{key}{name}", "").strip() for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")}
    if key is Key.STORE or not any(given.values()):
        return {}
    for name, value in given.items():
        if not value:
            raise ValueError(f"{key}{name}='': the other half of the source's key is set; give both, or neither")
    token = os.environ.get(f"{key}SESSION_TOKEN", "").strip()
    own = {f"aws_{name.lower()}": value for name, value in given.items()}
    return own | ({"aws_session_token": token} if token else {})


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ValueError(f"uri={uri!r}: write it as s3://bucket/key")
    return bucket, key


def _asked(uri: str, request: Callable[[Any, str, str], Result], signed: Key = Key.STORE, named: str = "") -> Result:
    """What ``request(client, bucket, key)`` answers; it may be made several times. Raises as this module does.

    Errors name ``named`` instead of the address, where the object's own name is nobody's business.
    """
    bucket, key = _bucket_and_key(uri)
    own = Key.SOURCE if own_key(signed) else Key.STORE
    client = _client(own)
    with _one_line(named or uri, own, hidden=bool(named)):
        return patience.retry(lambda: request(client, bucket, key), f"s3://{bucket}", _may_pass, hidden=bool(named))


def _client(own: Key) -> BaseClient:
    return s3(own) if own is Key.SOURCE else s3()


def _may_pass(error: Exception) -> bool:
    """Whether waiting may fix what boto3 raised: a connection that fails or breaks off, a server that is unwell."""
    from botocore import exceptions, parsers

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        unwell = status >= 500 and status != NOT_IMPLEMENTED
        return unwell or status == TOO_MANY_REQUESTS or code in ("SlowDown", "RequestTimeout")
    broken = (exceptions.IncompleteReadError, exceptions.ResponseStreamingError, exceptions.FlexibleChecksumError)
    broken = (*broken, parsers.ResponseParserError)  # half of a listing is no XML
    passing = (exceptions.ConnectionError, exceptions.HTTPClientError, *broken)
    return isinstance(error, passing) and not trust.distrust(error)


@contextmanager
def _one_line(uri: str, key: Key, *, hidden: bool = False) -> Generator[None]:
    """Turn what boto3 raises into FileNotFoundError for a missing object, else OSError that names the address.

    boto3's own words name the object; where it is ``hidden`` they are neither repeated nor handed on as the cause.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ProxyConnectionError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        code, cause = error.response.get("Error", {}).get("Code", ""), None if hidden else error
        if code in ("404", "NoSuchKey", "NotFound"):
            raise FileNotFoundError(f"no object at {uri}") from cause
        answer = f"{uri}: the store answers {code or type(error).__name__}"
        if _may_pass(error):
            raise AwayError(f"{answer}; {_waited()}, try again later") from cause
        raise OSError(f"{answer}; {_fix(error, key)}") from cause
    except (BotoCoreError, ResponseParserError) as error:
        cause = None if hidden else error
        if untrusted := trust.distrust(error):
            raise OSError(f"{uri}: the store's certificate {untrusted}") from cause
        kind = type(error).__name__
        why = kind if hidden else (str(error).splitlines() or [kind])[0]
        through = isinstance(error, ProxyConnectionError)
        fix = f"check {'the proxy, HTTPS_PROXY and NO_PROXY' if through else _WAY}, then run again"
        if _may_pass(error):
            raise AwayError(f"{uri}: {why}; {_waited()}, {fix}") from cause
        raise OSError(f"{uri}: {why}; {fix}") from cause


def _waited() -> str:
    return f"waited {patience.seconds():g} s ({patience.VARIABLE})"


def _fix(error: Any, key: Key) -> str:  # noqa: ANN401  (botocore's ClientError)
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    fix = _S3_FIXES.get(code, "check the address and the rights of the key").format(key=key)
    proxy = proxy_between(error, _client(key).meta.endpoint_url) if status in (403, 407) else None
    return trust.blamed(fix, status, proxy)


_WAY = "the network and AWS_ENDPOINT_URL_S3"
_CREDENTIALS = "check the credentials in {key}ACCESS_KEY_ID and {key}SECRET_ACCESS_KEY"
_S3_FIXES = {
    "NoSuchBucket": "check the bucket's name and AWS_ENDPOINT_URL_S3",
    "403": _CREDENTIALS,
    "AccessDenied": f"{_CREDENTIALS}, and what that key may do",
    "InvalidAccessKeyId": "check {key}ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check {key}SECRET_ACCESS_KEY",
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"),
        "the session token is over or wrong; give fresh {key}ACCESS_KEY_ID, {key}SECRET_ACCESS_KEY and "
        "{key}SESSION_TOKEN",
    ),
}


def exists(uri: str) -> bool:
    """Whether a file stands at ``uri``."""
    if not is_remote(uri):
        return Path(uri).is_file()
    try:
        _asked(uri, lambda client, bucket, key: client.head_object(Bucket=bucket, Key=key))
    except FileNotFoundError:
        return False
    return True


def list_files(uri: str, *, linked: bool = False, key: Key = Key.STORE) -> list[str]:
    """Sorted paths of all files below ``uri``, relative to it, with forward slashes.

    ``linked`` adds the files of this disk to which links lead out of ``uri``, for a folder that its owner put together.
    """
    if linked and not is_remote(uri):
        return sorted(name for name, _ in _regular_files(Path(uri), linked=True))
    return sorted(list_stamps(uri, key=key))


def list_stamps(uri: str, *, key: Key = Key.STORE) -> dict[str, str]:
    """Every file below ``uri``, by its relative path, with a stamp that changes whenever the file's content does.

    Size and time of a file are what its maker sets them to: archives and copies restore them. Its inode and the time of
    its last change are the kernel's, and the time of an object is the store's, so that no other content has the same
    stamp at the same address. A copy of the same content has another one. On this disk: regular files alone; a link is
    followed where it stays below ``uri``, else it is no file of it.
    """
    if not is_remote(uri):
        return {name: _stamp(status) for name, status in _regular_files(Path(uri))}
    _, folder = _bucket_and_key(uri)
    prefix = folder.rstrip("/") + "/" if folder else ""
    items = [item for page in _pages(uri, prefix, key) for item in page if not item["Key"].endswith("/")]
    return {
        item["Key"].removeprefix(prefix): (
            f"{item['Size']}-{item['ETag'].strip(chr(34))}-{item['LastModified'].timestamp():.3f}"
        )
        for item in items
    }


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def _regular_files(root: Path, *, linked: bool = False) -> Generator[tuple[str, os.stat_result]]:
    """Regular files below ``root``: their paths with forward slashes, and their status."""
    home = root.resolve()
    entered: set[Path] = set()  # a folder is entered by one link at most, so that links in a circle end
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(root / folder):
            name = f"{folder}{entry.name}"
            try:
                status = entry.stat()
                target = Path(entry.path).resolve() if entry.is_symlink() else None
            except OSError:  # it went away, or is a link to nothing or to itself
                continue
            within = target is None or target.is_relative_to(home)
            if stat.S_ISREG(status.st_mode) and (within or linked):
                yield name, status
            elif stat.S_ISDIR(status.st_mode) and within and target not in entered and target != home:
                entered.update(() if target is None else (target,))
                waiting.append(f"{name}/")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What stands in a folder, sorted; nothing where it is not there or may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _pages(uri: str, prefix: str, key: Key) -> Generator[list[dict[str, Any]]]:
    """Objects below ``prefix`` as boto3 gives them, a page at a time: a fault costs a page, not the listing."""
    start: dict[str, str] = {}
    while True:
        page = _asked(
            uri,
            lambda client, bucket, _, start=start: client.list_objects_v2(Bucket=bucket, Prefix=prefix, **start),
            key,
        )
        yield page.get("Contents", [])
        if not page.get("IsTruncated"):
            return
        start = {"ContinuationToken": page["NextContinuationToken"]}


def read_bytes(uri: str, limit: int | None = None, *, key: Key = Key.STORE, named: str = "") -> bytes:
    """Whole content of the file at ``uri``, or its first ``limit`` bytes; an error of S3 says ``named`` for it.

    Raises FileNotFoundError where there is none, OSError where the store cannot be read or it is no regular file.
    """
    if not is_remote(uri):
        with open_regular(Path(uri)) as file:
            return file.read() if limit is None else file.read(limit)
    part = {} if limit is None else {"Range": f"bytes=0-{limit - 1}"}

    def ask(client: Any, bucket: str, name: str) -> bytes:  # noqa: ANN401  (boto3 has no types)
        return client.get_object(Bucket=bucket, Key=name, **part)["Body"].read()

    return _asked(uri, ask, key, named)


def write_bytes(uri: str, content: bytes) -> None:
    """Write a whole file: readers see the old content or the new, never a part."""
    if is_remote(uri):
        _asked(uri, lambda client, bucket, key: client.put_object(Bucket=bucket, Key=key, Body=content))
        return
    with atomic_file(Path(uri)) as file:
        file.write(content)


@contextmanager
def named(folder: Path) -> Generator[None]:
    """Errors of the files below ``folder`` name the folder alone: a file's name may be its patient's."""
    try:
        yield
    except OSError as error:
        error.filename = str(folder)
        if error.filename2 is not None:
            error.filename2 = str(folder)
        raise


def create(uri: str, content: bytes) -> bool:
    """Write a file that nobody but its owner may read, unless one stands there: whether it was written.

    Of several who do it at once one succeeds; on S3 where the store knows ``If-None-Match``, as most do.
    """
    if is_remote(uri):
        return _created(uri, content)
    path = Path(uri)
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        Path(part).unlink(missing_ok=True)
    return True


def _created(uri: str, content: bytes) -> bool:
    from botocore.exceptions import ClientError

    try:
        _asked(
            uri, lambda client, bucket, key: client.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        )
    except OSError as error:
        cause = error.__cause__
        answer = cause.response["ResponseMetadata"].get("HTTPStatusCode") if isinstance(cause, ClientError) else None
        if answer in (CONFLICT, PRECONDITION_FAILED):
            return False
        raise
    return True


@contextmanager
def atomic_file(path: Path) -> Generator[IO[bytes]]:
    """Binary file that takes its name only when the block ends well, synced to disk first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except BaseException as error:
        Path(part).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # "No space left on device" alone does not say where
        raise


@functools.lru_cache(maxsize=1)
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove(uri: str) -> None:
    """Remove the file at ``uri`` if there is one."""
    if is_remote(uri):
        _asked(uri, lambda client, bucket, key: client.delete_object(Bucket=bucket, Key=key))
    else:
        Path(uri).unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a local folder with all that is below it; what others have removed meanwhile is no error."""
    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=_unless_gone)
    else:
        shutil.rmtree(folder, onerror=_unless_gone)


def _unless_gone(_: object, __: str, error: BaseException | tuple[type[BaseException], BaseException, object]) -> None:
    """Raise what ``rmtree`` met, as an exception or the older triple of one, unless the thing was gone already."""
    met = error[1] if isinstance(error, tuple) else error
    if not isinstance(met, FileNotFoundError):
        raise met


def sha256_of(path: Path) -> str:
    """Hex sha256 of a local file. Raises OSError where there is none, also for a pipe, which is not waited for."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(uri: str, sha256: str = "") -> Path:
    """Local copy of a file: a path as it is, an ``s3://`` or ``https://`` address through the cache.

    The cache is ``$MAMMOGAN_CACHE`` or ``~/.cache/mammogan``, keyed by the sha256, which an address must have.
    ``$MAMMOGAN_WEIGHTS`` is a second one that is only read, for files that an image brings.
    Raises FileNotFoundError for a missing path, ValueError where the content has another sha256 or none was given.
    """
    if "://" not in uri:
        path = user_folders.expanded(uri)
        if not path.is_file():
            raise FileNotFoundError(f"no file at {uri}; give the path of an existing file")
        _check_sha256(path, uri, sha256)
        return path
    if not sha256:
        raise ValueError(f"sha256='': give the expected sha256 of {uri}")
    brought = Path(os.environ.get("MAMMOGAN_WEIGHTS", "/nonexistent"), sha256)
    cached = user_folders.cache(variable=CACHE) / sha256
    cached = brought if brought.is_file() else cached
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
            part = Path(folder, "download")
            _download(uri, part)
            _check_sha256(part, uri, sha256)
            os.replace(part, cached)
    _check_sha256(cached, uri, sha256)
    return cached


def _download(uri: str, target: Path) -> None:
    if is_remote(uri):
        _asked(uri, lambda client, bucket, key: _save(client.get_object(Bucket=bucket, Key=key)["Body"], target))
        return
    if not uri.startswith("https://"):
        raise ValueError(f"uri={uri!r}: give a path, an s3:// or an https:// address")
    with urllib.request.urlopen(uri, timeout=60) as response, target.open("wb") as file:  # noqa: S310  (https only)
        shutil.copyfileobj(response, file, CHUNK_BYTES)


def _save(body: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(body, file, CHUNK_BYTES)


def _check_sha256(path: Path, uri: str, expected: str) -> None:
    if expected and (actual := sha256_of(path)) != expected.lower():
        raise ValueError(f"sha256 of {uri} is {actual}, not {expected.lower()}; remove the file or fix the digest")
