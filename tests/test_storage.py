"""Files are written whole or not at all, checked by sha256, never outside their root; S3 may be away for a while."""

import datetime
import hashlib
import http.server
import os
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
import servers
from botocore.stub import Stubber
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mammogan import storage

BUCKET = "bucket"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        client = boto3.client(
            "s3", endpoint_url=running.endpoint, aws_access_key_id=running.access_key,
            aws_secret_access_key=running.secret_key, region_name="us-east-1",
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield running


@pytest.fixture
def signed(store, monkeypatch):
    """Environment with the store's credentials, and no client left over from another test."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(storage.patience, "_quiet_until", {})
    storage.s3.cache_clear()
    yield monkeypatch
    storage.s3().close()
    storage.s3.cache_clear()


def test_write_read_list_remove(tmp_path):
    root = str(tmp_path / "store")
    storage.write_bytes(storage.join(root, "a", "b.bin"), b"one")
    storage.write_bytes(storage.join(root, "a", "b.bin"), b"two")
    assert storage.read_bytes(storage.join(root, "a", "b.bin")) == b"two"
    assert storage.list_files(root) == ["a/b.bin"]
    storage.remove(storage.join(root, "a", "b.bin"))
    assert not storage.exists(storage.join(root, "a", "b.bin"))
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "a", "b.bin"))


def test_interrupted_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "kept.txt"
    target.write_bytes(b"old")

    def write_half():
        with storage.atomic_file(target) as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_join_of_both_kinds():
    assert storage.join("s3://bucket/prefix/", "a", "b") == "s3://bucket/prefix/a/b"
    assert storage.join("folder", "a") == "folder/a"


@pytest.mark.parametrize("relative", ["../up", "a/../../up", "/etc/passwd"])
def test_no_path_leaves_its_root(tmp_path, relative):
    with pytest.raises(ValueError, match="leaves its folder"):
        storage.inside(tmp_path, relative)


def test_inside_follows_links_before_it_judges(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leaves its folder"):
        storage.inside(root, "link/file")


def test_fetch_checks_the_sha256_of_a_local_file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    assert storage.fetch(str(path), hashlib.sha256(b"weights").hexdigest()) == path
    with pytest.raises(ValueError, match=r"sha256 of .* is "):
        storage.fetch(str(path), "0" * 64)
    with pytest.raises(FileNotFoundError, match="give the path"):
        storage.fetch(str(tmp_path / "absent"))


@pytest.mark.parametrize(("uri", "sha256"), [("s3://bucket/key", ""), ("http://host/file", "0" * 64)])
def test_fetch_refuses_addresses_without_sha256_and_without_encryption(tmp_path, monkeypatch, uri, sha256):
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"sha256|https"):
        storage.fetch(uri, sha256)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def address(name):
    return f"s3://{BUCKET}/{name}"


def test_every_request_outlives_a_server_that_is_stopped_and_started(store, signed, tmp_path, capsys):
    contents = {f"read/{number}": bytes([number]) * 100_000 for number in range(3)}
    for name, content in contents.items():
        storage.write_bytes(address(name), content)
    storage.write_bytes(address("old"), b"old")
    sha256 = hashlib.sha256(contents["read/2"]).hexdigest()
    signed.setenv("MAMMOGAN_CACHE", str(tmp_path))
    signed.setattr(storage.patience, "LONGEST_PAUSE_S", 1.0)
    store.stop()
    with ThreadPoolExecutor(7) as pool:
        asked = {
            "read": pool.submit(storage.read_bytes, address("read/1")),
            "start": pool.submit(storage.read_bytes, address("read/1"), 10),
            "list": pool.submit(storage.list_files, address("read")),
            "exists": pool.submit(storage.exists, address("read/0")),
            "write": pool.submit(storage.write_bytes, address("new"), b"new"),
            "remove": pool.submit(storage.remove, address("old")),
            "fetch": pool.submit(storage.fetch, address("read/2"), sha256),
        }
        time.sleep(0.5)
        assert not any(future.done() for future in asked.values())
        store.start()
        results = {name: future.result() for name, future in asked.items()}
    assert results["read"] == contents["read/1"]
    assert results["start"] == contents["read/1"][:10]
    assert results["list"] == ["0", "1", "2"]
    assert results["exists"] is True
    assert results["fetch"].read_bytes() == contents["read/2"]
    assert storage.read_bytes(address("new")) == b"new"
    assert not storage.exists(address("old"))
    assert "s3://bucket is away" in capsys.readouterr().err


def test_patience_has_an_end(signed):
    signed.setenv("MAMMOGAN_PATIENCE_S", "1")
    signed.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    requests = {
        "read": lambda: storage.read_bytes(address("key")),
        "exists": lambda: storage.exists(address("key")),
        "list": lambda: storage.list_files(address("key")),
        "remove": lambda: storage.remove(address("key")),
        "write": lambda: storage.write_bytes(address("key"), b"x"),
        "fetch": lambda: storage.fetch(address("key"), "0" * 64),
    }
    storage.s3()  # making it takes a moment of its own
    start = time.monotonic()
    with ThreadPoolExecutor(len(requests)) as pool:
        for name, asked in [(name, pool.submit(request)) for name, request in requests.items()]:
            error = asked.exception()
            assert isinstance(error, storage.AwayError), name
            assert "waited 1 s (MAMMOGAN_PATIENCE_S), check the network" in str(error), name
            assert "\n" not in str(error), name
    assert 1 <= time.monotonic() - start < 40, "patience of 1 s, and a slow machine; unasked it is 60"


def test_what_passes_is_outlived_and_what_stays_is_raised_at_once(store, signed, tmp_path, capsys):
    signed.setattr(storage.patience, "FIRST_PAUSE_S", 0.01)
    signed.setenv("MAMMOGAN_CACHE", str(tmp_path))
    storage.write_bytes(address("kept"), bytes(200_000))
    with servers.proxy(store) as proxy:
        signed.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        storage.s3.cache_clear()
        passing = [500, 502, 503, 504, 429, "drop"]
        proxy.faults[f"/{BUCKET}/kept"] = list(passing)
        assert storage.read_bytes(address("kept")) == bytes(200_000)
        assert proxy.reads[f"/{BUCKET}/kept"] == len(passing) + 1
        proxy.faults[f"/{BUCKET}/kept"] = ["drop"]
        fetched = storage.fetch(address("kept"), hashlib.sha256(bytes(200_000)).hexdigest())
        assert fetched.read_bytes() == bytes(200_000)
        capsys.readouterr()
        for status in (400, 403, 501):
            proxy.faults[f"/{BUCKET}/kept"] = [status]
            with pytest.raises(OSError, match="the store answers") as caught:
                storage.read_bytes(address("kept"))
            assert not isinstance(caught.value, storage.AwayError)
        with pytest.raises(FileNotFoundError, match="no object at s3://bucket/nothing"):
            storage.read_bytes(address("nothing"))
        with pytest.raises(OSError, match="NoSuchBucket; check the bucket's name"):
            storage.read_bytes("s3://no-such-bucket/key")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId; check AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch; check AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_wrong_key_is_not_waited_for(signed, capsys, name, message):
    signed.setenv(name, "wrong")
    with pytest.raises(OSError, match=message):
        storage.write_bytes(address("key"), b"x")
    assert capsys.readouterr().err == ""


def test_a_fault_costs_one_page_of_a_listing(signed):
    signed.setattr(storage.patience, "FIRST_PAUSE_S", 0.01)
    item = {"Size": 1, "ETag": '"e"', "LastModified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}
    with Stubber(storage.s3()) as stub:
        for page, token in (("first", None), ("second", "next")):
            asked = {"Bucket": BUCKET, "Prefix": "folder/"} | ({"ContinuationToken": token} if token else {})
            more = {} if token else {"IsTruncated": True, "NextContinuationToken": "next"}
            stub.add_client_error("list_objects_v2", "SlowDown", http_status_code=503, expected_params=asked)
            stub.add_response("list_objects_v2", {"Contents": [{"Key": f"folder/{page}", **item}], **more}, asked)
        assert storage.list_files(address("folder")) == ["first", "second"]
        stub.assert_no_pending_responses()


@pytest.fixture
def unknown_authority(tmp_path):
    """Address of a server whose certificate nobody trusts."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_certificate_that_is_not_trusted_is_not_waited_for(signed, unknown_authority, capsys):
    signed.setenv("AWS_ENDPOINT_URL_S3", unknown_authority)
    with pytest.raises(OSError, match=r"s certificate is not trusted \(self-signed certificate\)") as caught:
        storage.read_bytes(address("key"))
    assert not isinstance(caught.value, storage.AwayError)
    assert capsys.readouterr().err == ""
