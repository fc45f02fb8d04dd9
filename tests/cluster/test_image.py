"""What can be said of the images without building them, and how a step finds the weights that an image brings."""

import hashlib
import re
from pathlib import Path

import pytest

from mammogan import storage

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
LAST = ("cpu", "gpu", "mlflow")


def test_every_base_is_a_stage_or_the_one_pinned_image():
    bases = re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE)
    assert set(bases) <= {"${PYTHON_IMAGE}", *STAGES}
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:3\.11-slim-\w+$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("stage", LAST)
def test_last_stages_install_nothing_and_run_as_a_plain_user(stage):
    assert not re.search(r"\b(pip|uv|apt-get)\b", STAGES[stage])
    assert "RUN" not in STAGES[stage]
    assert "USER 1000:0" in STAGES["runtime"]
    assert "USER root" not in DOCKERFILE


def test_every_image_has_a_health_command():
    assert "HEALTHCHECK" in STAGES["steps"]
    assert "HEALTHCHECK" in STAGES["mlflow"]


def test_the_build_context_lets_in_only_code_and_the_lock_file():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {"!components/*.py", "!mammogan", "!requirements.txt"}
    copied = set(re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE))
    assert copied == {"components", "mammogan", "requirements.txt"}


def test_no_secret_is_a_build_argument():
    arguments = re.findall(r"^(?:ARG|ENV) (.+)$", DOCKERFILE, re.MULTILINE)
    assert not [line for line in arguments if re.search("TOKEN|PASSWORD|SECRET|ACCESS_KEY", line)]


def test_weights_that_the_image_brings_need_no_download_and_no_writable_cache(tmp_path, monkeypatch):
    content = b"weights"
    sha256 = hashlib.sha256(content).hexdigest()
    brought = tmp_path / "opt" / sha256
    brought.parent.mkdir()
    brought.write_bytes(content)
    monkeypatch.setenv("MAMMOGAN_WEIGHTS", str(brought.parent))
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "absent"))
    assert storage.fetch("https://unreachable.invalid/file", sha256) == brought
    assert not (tmp_path / "absent").exists()
    brought.write_bytes(b"tampered")
    with pytest.raises(ValueError, match=r"sha256 of .* is "):
        storage.fetch("https://unreachable.invalid/file", sha256)
