"""Nothing that a run leaves names a patient or a secret: a whole run over planted names is searched for them."""

import base64
import gzip
import os
import subprocess
from pathlib import Path

import leaks
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from planted import blob, dicom_files, pictures
from quick_run import QUICK
from warm_interpreter import warm_python

from mammogan.data import patients

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDKEY123456",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+of.the-store",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-of-mlflow",
    "KFP_TOKEN": "planted.token.of.kubeflow",
    patients.VARIABLE: "",
}


def command(*arguments, log):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment = {**kept, **SECRETS, "MAMMOGAN_LOG": str(log / "mammogan.log"), "MAMMOGAN_CACHE": str(log / "cache")}
    given = [warm_python(), "-m", "mammogan", *arguments]
    return subprocess.run(given, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def files(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def is_own_code(path):
    """Whether it is a file of this project, registered with a model: its comments name patients of CBIS-DDSM."""
    _, registered, inside = str(path).rpartition("/artifacts/code/")
    return bool(registered) and (ROOT / inside).is_file() and (ROOT / inside).read_bytes() == path.read_bytes()


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("make", [pictures, dicom_files])
def test_a_run_leaves_no_name_and_no_secret_outside_the_data(tmp_path, make):
    words = make(tmp_path / "source")
    secrets = [value for value in SECRETS.values() if value]
    quick = {**QUICK, "data.max_bad": 0.2, "utility.seeds": 2}
    settings = [item for key, value in quick.items() for item in ("--set", f"{key}={value}")]
    given = ("--preset", "demo", "--source", str(tmp_path / "source"), *settings)
    out, log = tmp_path / "runs", tmp_path / "log"
    done = command("run", *given, "--out", str(out), log=log)
    assert done.returncode == 0, done.stderr
    remote = (*given[:2], "--source", "s3://bucket/images", *settings, "--store", "s3://bucket/store", "--image", IMAGE)
    assert command("compile", str(log / "graph.yaml"), *remote, log=log).returncode == 0

    data = out / "data"
    left = [path for path in files(out, log) if not path.is_relative_to(data) and not is_own_code(path)]
    assert {"manifest.csv", "mlflow.db", "report.html", "log.txt", "graph.yaml"} <= {path.name for path in left}
    texts = [done.stdout, done.stderr]
    assert leaks.occurrences([*words, *secrets], left, texts) == []
    key = (data / "patients" / "key").read_text().strip()
    assert leaks.occurrences([key], left, texts) == []
    assert leaks.occurrences(words[:1], files(data)), "nothing was planted"
    assert len(list(out.glob("run-*/report/*.html"))) == 1
    assert not [*out.rglob("pairs.png"), *out.rglob("reals.png")]
    assert "say that text is burnt into them" in done.stderr


def test_what_is_searched_would_be_found(tmp_path):
    word = "Erika Mustermann"
    picture = tmp_path / "picture.png"
    info = PngInfo()
    info.add_text("Comment", f"of {word}", zip=True)
    Image.fromarray(blob(0)).save(picture, pnginfo=info)
    assert leaks.occurrences([word], [picture])
    assert leaks.occurrences([word], [], ["a?b=Erika%20Mustermann"])
    for index in range(3):
        assert leaks.occurrences([word], [], [base64.b64encode(b"x" * index + word.encode() + b" was here").decode()])
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(word.encode()))
    assert leaks.occurrences([word], [packed])
    page = tmp_path / "page.html"
    page.write_bytes(b"data:image/png;base64," + base64.b64encode(picture.read_bytes()))
    assert leaks.occurrences([word], [page])
