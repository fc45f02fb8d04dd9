"""What can be said of the images without building them, and how a step finds the weights that an image brings."""

import hashlib
import re
from pathlib import Path

import images
import pytest

from mammogan import storage

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
LAST = ("cpu", "gpu", "mlflow")


def test_every_base_is_a_stage_or_the_one_pinned_image():
    bases = re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE)
    assert set(bases) <= {"${PYTHON_IMAGE}", *STAGES}
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:3\.11-slim-\w+(@sha256:[0-9a-f]{64})?$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("stage", LAST)
def test_last_stages_install_nothing_and_run_as_a_plain_user(stage):
    assert not re.search(r"\b(pip|uv|apt-get)\b", STAGES[stage])
    assert "RUN" not in STAGES[stage]
    assert "USER 1000:0" in STAGES["runtime"]
    assert "USER root" not in DOCKERFILE


def test_every_image_has_a_health_command():
    assert "HEALTHCHECK" in STAGES["steps"]
    assert "HEALTHCHECK" in STAGES["mlflow"]


def test_the_build_context_lets_in_only_code_and_the_locked_lists():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        "!components/*.py",
        "!docker/*.sh",
        "!mammogan",
        "!pipeline.py",
        "!requirements.txt",
        "!requirements-mlflow.txt",
        "!requirements-uv.txt",
    }
    copied = set(" ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)).split())
    lists = {"requirements.txt", "requirements-mlflow.txt", "requirements-uv.txt"}
    assert copied == {"components", "mammogan", "pipeline.py", "docker/prune.sh", "docker/without.sh", *lists}


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


BUILT = pytest.mark.parametrize(
    "image",
    [
        pytest.param(name, marks=pytest.mark.skipif(not images.has(name), reason=f"MAMMOGAN_TEST_IMAGE, root, {name}"))
        for name in (f"localhost/mammogan:{stage}" for stage in LAST)
    ],
)
UNWANTED = {
    "cache": r"(^|/)(\.cache|\.npm|pip-[\w-]*cache)/|/apt/archives/.*\.deb$|/apt/lists/.*Packages",
    "installer": r"-packages/(pip|uv)/|/bin/(pip|uv|conda|apt)[\d.]*$",
    "compiler": r"/bin/(gcc|g\+\+|cc|c\+\+|clang|nvcc|make|ld|as)[\d.-]*$|-packages/triton/",
    "what only a compiler reads": r"-packages/(torch|nvidia/\w+)/include/|-packages/nvidia/.*\.(a|bc)$",
    "others' tests": r"-packages/(?!numpy/)([^/]+/)*tests/",
    "what the context must not let in": r"(^|/)(\.git|\.venv|runs|mlruns)/|secrets\.yaml$",
    "data": r"^(?!.*-packages/).*\.(dcm|png|env|db)$",
    "key": r"(^|/)(id_[a-z0-9]+|\.netrc|\.pypirc|\.pgpass|credentials|\.docker/config\.json|.*\.key)$",
}
SECRET = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}|\b(AKIA|ASIA)(?!\w*EXAMPLE)[A-Z0-9]{16}\b|\bghp_\w{36}"
)


@pytest.mark.long
@BUILT
def test_no_layer_holds_secrets_caches_or_tools(image, tmp_path):
    """Layers, not the root folder that they add up to: what a later layer hides can still be read."""
    seen, unwanted = 0, []
    for layer in images.layers(image, tmp_path / "layers"):
        for path, content in images.files(layer):
            seen += 1
            unwanted += [f"{what}: {path}" for what, pattern in UNWANTED.items() if re.search(pattern, path)]
            unwanted += [f"secret: {path}"] if content and SECRET.search(content) else []
    assert seen > 1000
    assert not unwanted


@pytest.mark.long
@BUILT
def test_neither_settings_nor_history_of_an_image_name_a_secret(image):
    description = images.inspect(image)
    text = str(description["config"]) + str(description["history"])
    assert not re.search(r"(TOKEN|PASSWORD|SECRET|ACCESS_KEY)\w*=", text)


@pytest.mark.long
@BUILT
def test_an_image_can_neither_install_nor_compile(image):
    """As a whole, the base's own pip and ensurepip included."""
    with images.mounted(image) as root:
        tools = [
            path for name in ("pip*", "uv", "gcc*", "cc", "nvcc", "make") for path in root.glob(f"usr/**/bin/{name}")
        ]
        assert not tools
        assert not [*root.glob("usr/**/*-packages/pip"), *root.glob("usr/**/ensurepip")]
        ours = [path for path in (root / "opt").rglob("*") if not path.is_symlink()]
        assert not [path for path in ours if path.stat().st_mode & 0o022], "writable to more than its owner, root"
