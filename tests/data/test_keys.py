"""A key for the images and one for the store, on a real S3 server that lets neither do what the other is for."""

import os
import subprocess
from pathlib import Path

import boto3
import pytest
import servers
from botocore.exceptions import ClientError
from quick_run import QUICK
from warm_interpreter import warm_python

from mammogan import storage
from mammogan.config import DataConfig
from mammogan.data import manifest, phantom
from mammogan.data.ingest import ingest
from mammogan.storage import Key

CONFIG = DataConfig(subset="mass-test", size=28, split="image", test_fraction=0.3)
BUCKETS = {"images": "the source", "store": "what a run keeps", "mlflow": "MLflow's artifacts"}
MAY = {
    "images": ["Read:images", "List:images"],
    "store": [f"{action}:store" for action in ("Read", "List", "Write", "Tagging")],
    "mlflow": [f"{action}:mlflow" for action in ("Read", "List", "Write", "Tagging")],
}
"""The three keys of docs/cluster.md, in SeaweedFS's words."""
SOURCE = ("MAMMOGAN_SOURCE_ACCESS_KEY_ID", "MAMMOGAN_SOURCE_SECRET_ACCESS_KEY")


def client(store, name):
    secret = store.secret_key if name == store.access_key else f"{name}-secret"
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=name,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory, shared):
    """The server, with the real files and their case CSVs in the bucket ``images``."""
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs"), MAY) as running:
        owner = client(running, running.access_key)
        for name in BUCKETS:
            owner.create_bucket(Bucket=name)
        for path in (shared / "data/cbis_ddsm/dicom_small").iterdir():
            owner.upload_file(str(path), "images", f"cbis/{path.name}")
        owner.put_object(Bucket="mlflow", Key="artifacts/model", Body=b"weights")
        yield running


@pytest.fixture
def keys(store, monkeypatch):
    """The environment of ingest's pod: the store's key as boto3's own, the source's beside it."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MAMMOGAN_SOURCE_")):
            monkeypatch.delenv(name)
    given = store.environment | {"AWS_ACCESS_KEY_ID": "store", "AWS_SECRET_ACCESS_KEY": "store-secret"}
    given |= dict(zip(SOURCE, ("images", "images-secret"), strict=True))
    given |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    given |= {"AWS_EC2_METADATA_DISABLED": "true", "MAMMOGAN_PATIENCE_S": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    storage.s3.cache_clear()
    yield monkeypatch
    storage.s3.cache_clear()


def test_ingest_reads_with_one_key_and_keeps_with_the_other(keys, store, tmp_path):
    """In this process and in workers; the labels are part of the source."""
    ingest("s3://images/cbis", "s3://images/cbis", CONFIG, tmp_path / "set", store="s3://store/run", workers=2)
    assert len(manifest.read(tmp_path / "set")) == 8
    assert len(storage.list_files("s3://store/run/images")) == 8
    ingest("s3://images/cbis", "", CONFIG, tmp_path / "again", store="s3://store/run")
    assert (tmp_path / "again/manifest.csv").read_bytes() == (tmp_path / "set/manifest.csv").read_bytes()


@pytest.mark.long
def test_a_whole_run_on_this_machine_needs_the_source_s_key_alone(keys, store, tmp_path):
    phantom.write_phantom(tmp_path / "drawn", patients=24)
    owner = client(store, store.access_key)
    for path in filter(Path.is_file, (tmp_path / "drawn").rglob("*")):
        owner.upload_file(str(path), "images", f"drawn/{path.relative_to(tmp_path / 'drawn')}")
    settings = QUICK | {"data.subset": "mass-train"}
    sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = [warm_python(), "-m", "mammogan", "run", "--preset", "demo", "--source", "s3://images/drawn", *sets]
    keys.delenv("AWS_ACCESS_KEY_ID")  # whose store is a folder here
    keys.delenv("AWS_SECRET_ACCESS_KEY")
    done = subprocess.run([*command, "--out", str(tmp_path / "runs")], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "images-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("images", lambda s3: s3.put_object(Bucket="images", Key="cbis/new", Body=b"x")),
        ("images", lambda s3: s3.delete_object(Bucket="images", Key="cbis/manifest.csv")),
        ("images", lambda s3: s3.list_objects_v2(Bucket="store")),
        ("store", lambda s3: s3.list_objects_v2(Bucket="images")),
        ("store", lambda s3: s3.get_object(Bucket="images", Key="cbis/manifest.csv")),
        ("store", lambda s3: s3.put_object(Bucket="images", Key="cbis/new", Body=b"x")),
        ("images", lambda s3: s3.get_object(Bucket="mlflow", Key="artifacts/model")),
        ("store", lambda s3: s3.get_object(Bucket="mlflow", Key="artifacts/model")),
        ("store", lambda s3: s3.put_object(Bucket="mlflow", Key="artifacts/model", Body=b"code")),
        ("mlflow", lambda s3: s3.get_object(Bucket="images", Key="cbis/manifest.csv")),
        ("mlflow", lambda s3: s3.put_object(Bucket="store", Key="run/trials/x", Body=b"x")),
    ],
)
def test_no_key_does_what_another_one_is_for(store, key, action):
    with pytest.raises(ClientError, match="AccessDenied"):
        action(client(store, key))


def test_each_request_is_signed_with_the_key_of_what_it_is_for(keys):
    with pytest.raises(OSError, match=r"AccessDenied; .* in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        storage.read_bytes("s3://images/cbis/manifest.csv")
    with pytest.raises(OSError, match=r"AccessDenied; .* in MAMMOGAN_SOURCE_ACCESS_KEY_ID and MAMMOGAN_SOURCE_SECRET"):
        storage.read_bytes("s3://mlflow/artifacts/model", key=Key.SOURCE)
    with pytest.raises(OSError, match=r"AccessDenied; .* in AWS_ACCESS_KEY_ID"):
        storage.write_bytes("s3://mlflow/artifacts/model", b"code")
    keys.setenv(SOURCE[1], "wrong-secret")
    storage.s3.cache_clear()
    with pytest.raises(OSError, match=r"SignatureDoesNotMatch; check MAMMOGAN_SOURCE_SECRET_ACCESS_KEY$"):
        storage.list_files("s3://images", key=Key.SOURCE)


@pytest.mark.parametrize("lacking", SOURCE)
def test_half_a_key_is_no_key(keys, lacking):
    keys.delenv(lacking)
    with pytest.raises(ValueError, match=f"^{lacking}='': the other half of the source's key is set; give both"):
        storage.list_files("s3://images", key=Key.SOURCE)


def test_one_key_serves_both_where_no_other_is_given(keys, store):
    keys.delenv(SOURCE[0])
    keys.setenv(SOURCE[1], " ")
    keys.setenv("AWS_ACCESS_KEY_ID", store.access_key)
    keys.setenv("AWS_SECRET_ACCESS_KEY", store.secret_key)
    assert storage.read_bytes("s3://images/cbis/manifest.csv", key=Key.SOURCE)
    assert storage.s3() is storage.s3(), "and one client"


def test_whatever_is_read_of_a_source_is_read_with_its_key():
    """Every call of ``storage`` in mammogan/data that reads, but for those of what ingest itself keeps."""
    own = ("finished.py", "summary.py", "manifest.py", "patients.py", "picture.py")
    for path in sorted((Path(storage.__file__).parent / "data").glob("*.py")):
        if path.name not in own:
            for line in path.read_text().splitlines():
                reads = any(
                    f"storage.{name}(" in line for name in ("read_bytes", "list_files", "list_stamps", "exists")
                )
                assert not reads or "storage.Key.SOURCE" in line, f"{path.name}: {line.strip()}"
