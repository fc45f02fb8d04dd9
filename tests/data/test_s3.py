"""Ingest from a real S3 server that serves the real DICOM files in the layout of the Imaging Data Commons."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pydicom
import pytest
import servers
from warm_interpreter import warm_python

from mammogan import storage
from mammogan.config import DataConfig
from mammogan.data import manifest
from mammogan.data.ingest import ingest
from mammogan.data.patients import VARIABLE, Patients

CONFIG = DataConfig(subset="mass-test", size=28, split="image", test_fraction=0.3)
BUCKET = "idc-mirror"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


@pytest.fixture(scope="session")
def bucket(store, shared, tmp_path_factory):
    """The real files as ``<uuid>/<instance>.dcm``, and a folder with the case CSVs and the index of the uuids."""
    client = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    client.create_bucket(Bucket=f"{BUCKET}-keys")
    client.create_bucket(Bucket=f"{BUCKET}-2")
    source = shared / "data/cbis_ddsm/dicom_small"
    labels = tmp_path_factory.mktemp("labels")
    for path in source.glob("mass_case*.csv"):
        (labels / path.name).write_bytes(path.read_bytes())
    with (source / "manifest.csv").open(newline="") as file, (labels / "index.csv").open("w", newline="") as index:
        rows = csv.writer(index)
        rows.writerow(["PatientID", "SeriesInstanceUID", "series_size_MB", "series_aws_url"])
        for row in csv.DictReader(file):
            name = str(uuid.uuid5(uuid.NAMESPACE_OID, row["series_uid"]))
            client.upload_file(str(source / row["file"]), BUCKET, f"{name}/{uuid.uuid4()}.dcm")
            rows.writerow(["other", row["series_uid"], int(row["bytes"]) / 1e6, f"s3://{BUCKET}/{name}/*"])
    client.close()
    return str(labels)


@pytest.fixture(scope="session")
def from_disk(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("disk") / "set"
    folder = str(shared / "data/cbis_ddsm/dicom_small")
    ingest(folder, folder, CONFIG, out)
    return out


@pytest.fixture
def signed(store, monkeypatch):
    """Environment with the store's credentials, and no client left over from another test."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "1")
    monkeypatch.setattr(storage.patience, "FIRST_PAUSE_S", 0.05)
    storage.s3.cache_clear()
    yield monkeypatch
    storage.s3().close()
    storage.s3.cache_clear()


@pytest.fixture
def through(store, signed):
    """A proxy between ingest and the store."""
    with servers.proxy(store) as state:
        signed.setenv("AWS_ENDPOINT_URL_S3", state.endpoint)
        yield state


def assert_same(folder, expected):
    """The same images and labels; only where they came from differs."""
    ours, theirs = manifest.read(folder), manifest.read(expected)
    assert manifest.data_digest(ours) == manifest.data_digest(theirs)
    assert ours.drop(columns="source").equals(theirs.drop(columns="source"))
    for file in ours["file"]:
        assert (folder / file).read_bytes() == (expected / file).read_bytes()


@pytest.mark.parametrize("source", [f"s3://{BUCKET}", "idc"])
@pytest.mark.parametrize("credentials", [True, False])
def test_s3_gives_the_bytes_of_the_disk(source, credentials, bucket, signed, from_disk, tmp_path):
    if not credentials:
        signed.delenv("AWS_ACCESS_KEY_ID")
        signed.delenv("AWS_SECRET_ACCESS_KEY")
    summary = ingest(source, bucket, CONFIG, tmp_path / "set", workers=1 + credentials)
    assert summary.source == {"idc": "idc"}.get(source, "dicom")
    assert_same(tmp_path / "set", from_disk)


def test_a_mirror_without_an_index_is_read_by_its_headers(bucket, signed, shared, from_disk, tmp_path):
    labels = str(shared / "data/cbis_ddsm/dicom_small")
    ingest(f"s3://{BUCKET}", labels, CONFIG, tmp_path / "set")
    assert_same(tmp_path / "set", from_disk)


def test_labels_on_s3(bucket, signed, shared, from_disk, tmp_path):
    for path in Path(bucket).iterdir():
        storage.write_bytes(f"s3://{BUCKET}/labels/{path.name}", path.read_bytes())
    ingest(f"s3://{BUCKET}", f"s3://{BUCKET}/labels", CONFIG, tmp_path / "set")
    assert_same(tmp_path / "set", from_disk)


@pytest.mark.parametrize(
    ("name", "value", "source", "message"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", f"s3://{BUCKET}", "SignatureDoesNotMatch; check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "nobody", f"s3://{BUCKET}", "InvalidAccessKeyId; check AWS_ACCESS_KEY_ID"),
        ("AWS_DEFAULT_REGION", "us-east-1", "s3://no-such-bucket", "NoSuchBucket; check the bucket's name"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9", f"s3://{BUCKET}", "check the network and AWS_ENDPOINT_URL_S3"),
    ],
)
@pytest.mark.parametrize("kind", ["listing", "reading"])
def test_a_store_that_cannot_be_read_is_one_clear_error(kind, name, value, source, message, bucket, signed, tmp_path):
    signed.setenv(name, value)
    labels = Path(bucket)
    if kind == "reading":
        labels = tmp_path / "labels"
        labels.mkdir()
        for path in Path(bucket).iterdir():
            (labels / path.name).write_text(path.read_text().replace(f"s3://{BUCKET}/", f"{source}/"))
        source = "idc"
    with pytest.raises(OSError, match=message) as caught:
        ingest(source, str(labels), CONFIG, tmp_path / "set", tmp_path / "work")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("source", [f"s3://{BUCKET}-2", "idc"])
def test_an_object_that_was_replaced_is_read_again(source, store, bucket, signed, tmp_path):
    """By an index too, whose addresses stay the same."""
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in Path(bucket).iterdir():
        (labels / path.name).write_text(path.read_text().replace(f"s3://{BUCKET}/", f"s3://{BUCKET}-2/"))
    contents = {name: storage.read_bytes(f"s3://{BUCKET}/{name}") for name in storage.list_files(f"s3://{BUCKET}")}
    for name, content in contents.items():
        storage.write_bytes(f"s3://{BUCKET}-2/{name}", content)
    made = [tmp_path / "first", tmp_path / "second"]
    ingest(source, str(labels), CONFIG, made[0], tmp_path / "work")
    victim = next(name for name in contents if name.endswith(".dcm"))
    image = pydicom.dcmread(io.BytesIO(contents[victim]))
    image.PixelData = image.pixel_array[::-1].tobytes()
    written = io.BytesIO()
    image.save_as(written)
    storage.write_bytes(f"s3://{BUCKET}-2/{victim}", written.getvalue())
    ingest(source, str(labels), CONFIG, made[1], tmp_path / "work")
    before, after = (manifest.read(folder).set_index("image_id")["sha256"] for folder in made)
    assert (before != after).sum() == 1


def test_server_errors_and_dropped_connections_are_tried_again(bucket, signed, through, from_disk, tmp_path):
    signed.setenv("MAMMOGAN_PATIENCE_S", "60")
    names = [f"/{BUCKET}/{name}" for name in storage.list_files(f"s3://{BUCKET}") if name.endswith(".dcm")]
    through.faults = {names[0]: [503, 500], names[1]: ["drop", "drop"], names[2]: ["drop", 502, "drop"]}
    ingest("idc", bucket, CONFIG, tmp_path / "set")
    assert_same(tmp_path / "set", from_disk)
    assert through.faults == {name: [] for name in names[:3]}
    assert max(through.served.values()) == 1


def test_the_patients_key_in_a_bucket_is_made_once(bucket, signed):
    signed.delenv(VARIABLE, raising=False)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: Patients.at(f"s3://{BUCKET}-keys/store/patients").key, range(16)))
    assert len(found) == 1
    assert not storage.create(f"s3://{BUCKET}-keys/store/patients/key", b"another")
    signed.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    storage.s3.cache_clear()
    with pytest.raises(OSError, match="the store answers"):
        storage.create(f"s3://{BUCKET}-keys/store/patients/key", b"another")


@pytest.mark.parametrize(("fault", "message"), [(503, "ServiceUnavailable|503"), ("drop", "check the network")])
def test_faults_without_end_are_one_error_and_what_was_done_is_kept(
    fault, message, bucket, through, from_disk, tmp_path
):
    last = manifest.read(from_disk)["source_uid"].iloc[-1]
    folder = str(uuid.uuid5(uuid.NAMESPACE_OID, last))
    (name,) = storage.list_files(f"s3://{BUCKET}/{folder}")
    through.faults = {f"/{BUCKET}/{folder}/{name}": [fault] * 100}
    with pytest.raises(OSError, match=message) as caught:
        ingest("idc", bucket, CONFIG, tmp_path / "set", tmp_path / "work")
    assert str(caught.value).startswith(f"a file below s3://{BUCKET}: ")
    assert folder not in str(caught.value)
    assert not (tmp_path / "set").exists()
    assert len(list(tmp_path.glob("work/*/*.png"))) == 7
    before = dict(through.served)
    through.faults.clear()
    ingest("idc", bucket, CONFIG, tmp_path / "set", tmp_path / "work")
    assert_same(tmp_path / "set", from_disk)
    assert {path: count for path, count in through.served.items() if before.get(path) != count} == {
        f"/{BUCKET}/{folder}/{name}": 1
    }


SLOW_INGEST = """
import sys, threading, time
from pathlib import Path
from mammogan.config import DataConfig
from mammogan.data import ingest, worker
real, one_at_a_time = worker.square, threading.Lock()
def slow_square(*each):
    with one_at_a_time:
        time.sleep(0.4)
        return real(*each)
worker.square = slow_square
config = DataConfig(subset="mass-test", size=28, split="image", test_fraction=0.3)
source, labels, out, work, store = sys.argv[1:]
ingest.ingest(source, labels, config, Path(out), Path(work), store=store)
"""


def start_slowly(source, labels, folder, store=""):
    """An ingest in a process of its own that takes 0.4 s an image, to ``folder / "set"`` by ``folder / "work"``."""
    command = [warm_python(), "-c", SLOW_INGEST, source, labels, folder / "set", folder / "work", store]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)


def kill_when(reached, process):
    try:
        deadline = time.monotonic() + 240
        while not reached() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        _, said = process.communicate()
        print(said.decode())


def test_killed_in_the_middle_no_finished_object_is_read_twice(bucket, through, from_disk, tmp_path):
    work = tmp_path / "work"
    kill_when(lambda: len(list(work.glob("*/*.json"))) >= 3, start_slowly("idc", bucket, tmp_path))
    finished = [json.loads(path.read_text())["row"]["source"] for path in work.glob("*/*.json")]
    assert 3 <= len(finished) < 8
    ingest("idc", bucket, CONFIG, tmp_path / "set", work)
    assert_same(tmp_path / "set", from_disk)
    assert {through.reads[f"/{BUCKET}/{name}"] for name in finished} == {1}
    assert sum(through.reads.values()) > 8


@pytest.fixture
def own_source(bucket, signed):
    """Address of a copy of the source that a test may change."""
    address = f"s3://{BUCKET}-{uuid.uuid4()}"
    storage.s3().create_bucket(Bucket=address.removeprefix("s3://"))
    for name in storage.list_files(f"s3://{BUCKET}"):
        if name.endswith(".dcm"):
            storage.write_bytes(f"{address}/{name}", storage.read_bytes(f"s3://{BUCKET}/{name}"))
    return address


def entries(store):
    """Address and row of each image in a store."""
    addresses = [storage.join(store, "images", name) for name in storage.list_files(storage.join(store, "images"))]
    return {address: json.loads(storage.read_bytes(address).split(b"\n")[0])["row"] for address in addresses}


def turn_upside_down(address):
    """Give the DICOM file at the address other pixels."""
    dataset = pydicom.dcmread(io.BytesIO(storage.read_bytes(address)))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    dataset.PixelData = dataset.pixel_array[::-1].tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    storage.write_bytes(address, buffer.getvalue())


def test_a_machine_that_is_gone_costs_only_what_it_had_not_put_into_the_store(
    bucket, own_source, through, from_disk, tmp_path
):
    store = f"{own_source}/store"
    storage.s3.cache_clear()
    gone, new = tmp_path / "gone", tmp_path / "new"
    kill_when(lambda: len(storage.list_files(store)) >= 3, start_slowly(own_source, bucket, gone, store))
    shutil.rmtree(gone)
    finished = {f"/{own_source[5:]}/{row['source']}" for row in entries(store).values()}
    assert 3 <= len(finished) < 8
    before = dict(through.reads)
    summary = ingest(own_source, bucket, CONFIG, new / "set", store=store)
    assert_same(new / "set", from_disk)
    assert {path for path in finished if through.reads[path] != before[path]} == set()
    read = {path for path, count in through.reads.items() if path.endswith(".dcm") and before.get(path, 0) != count}
    assert len(read) == 8 - len(finished)
    assert len(entries(store)) == 8

    turn_upside_down(own_source + finished.pop().removeprefix(f"/{own_source[5:]}"))
    changed = ingest(own_source, bucket, CONFIG, new / "set", store=store)
    assert changed.data_digest != summary.data_digest
    alone = ingest(own_source, bucket, CONFIG, tmp_path / "alone")
    assert changed.data_digest == alone.data_digest


def test_two_ingests_at_once_share_a_store(bucket, own_source, from_disk, tmp_path):
    store = f"{own_source}/store"
    both = [start_slowly(own_source, bucket, tmp_path / name, store) for name in ("one", "two")]
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    for name in ("one", "two"):
        assert_same(tmp_path / name / "set", from_disk)
    assert len(entries(store)) == 8
