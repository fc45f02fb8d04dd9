"""What is installed is what was locked, by the sha256 of each file: lists, `make setup` and the images."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
LISTS = ("requirements.txt", "requirements-dev.txt", "requirements-mlflow.txt", "requirements-uv.txt")
WITHOUT_GPU = "^(nvidia-|cuda-|triton==|torch==|torchvision==)"
UV = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in *--torch-backend*) exit $TORCH_INDEX;; esac
"""
PYTHON = f"""#!/bin/sh
echo "$@" >> "$CALLS"
cat > "${{0%/*}}/uv" <<'END'
{UV}END
chmod +x "${{0%/*}}/uv"
"""


def entries(text):
    """Of a locked list: the line that names a package, and the sums of its files."""
    blocks = re.findall(r"^([^ \n].*?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert "".join(f"{line} \\\n{sums}" for line, sums in blocks) == text, "a line without sums"
    return {line: sums.split() for line, sums in blocks}


def versions(name):
    return {tuple(line.split(" ;")[0].split("==")) for line in entries((ROOT / name).read_text())}


def names(requirements):
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("name", LISTS)
def test_every_package_of_a_list_has_one_version_and_the_sums_of_its_files(name):
    sums = entries((ROOT / name).read_text())
    assert sums
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*==[\w.+!]+( ; .+)?", line) for line in sums)


def test_the_lists_hold_all_that_the_project_names_and_agree():
    steps, dev, mlflow, uv = (versions(name) for name in LISTS)
    groups = PROJECT["dependency-groups"]
    assert names(PROJECT["project"]["dependencies"]) <= {name for name, _ in steps}
    assert names(PROJECT["project"]["optional-dependencies"]["onnx"]) <= {name for name, _ in steps}
    assert names(groups["dev"]) <= {name for name, _ in steps | dev}
    assert names(groups["mlflow-server"]) <= {name for name, _ in mlflow}
    assert mlflow <= steps | dev, "the server of a version that the steps' client does not have"
    assert uv == {tuple(requirement.split("==")) for requirement in groups["installer"]}
    assert names(PROJECT["build-system"]["requires"]) <= {name for name, _ in dev}


@pytest.mark.parametrize("reached", [True, False], ids=["PyTorch's index", "PyPI alone"])
def test_setup_takes_by_version_nothing_but_pytorch_from_its_own_index(tmp_path, reached):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    calls = tmp_path / "calls"
    environment = {"CALLS": str(calls), "TORCH_INDEX": "0" if reached else "1", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = ["make", "setup", f"VENV={tmp_path}", "TORCH=cpu"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    installer, by_version, steps, dev, itself = calls.read_text().splitlines()
    assert installer.endswith("--require-hashes -r requirements-uv.txt")
    assert set(re.findall(r" ([\w-]+)==", by_version)) == {"torch", "torchvision"}
    assert " -r " not in by_version
    assert steps.endswith(f"--require-hashes -r {tmp_path / 'requirements-cpu.txt' if reached else 'requirements.txt'}")
    assert dev.endswith("--require-hashes -r requirements-dev.txt")
    assert itself.endswith("--editable .")
    built_of = "--build-constraints requirements.txt --build-constraints requirements-dev.txt"
    assert all(f"--no-deps --require-build-hashes {built_of} " in call for call in (by_version, steps, dev, itself))
    locked = entries((ROOT / "requirements.txt").read_text())
    left = entries((tmp_path / "requirements-cpu.txt").read_text())
    assert left == {line: sums for line, sums in locked.items() if not re.search(WITHOUT_GPU, line)}
    assert len(locked) - len(left) > 15


def test_images_install_by_sum_too():
    commands = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    by_sum = "--require-hashes --require-build-hashes --build-constraints requirements.txt"
    assert f'ENV LOCKED="$INSTALL {by_sum}"' in commands
    assert re.findall(r"\$INSTALL (--\S+)", commands) == ["--require-hashes", '--torch-backend="$TORCH_BACKEND"']
    by_version = "$(awk '/^(torch|torchvision)==/ { print $1 }' requirements.txt)"
    assert re.search(r'--torch-backend="\$TORCH_BACKEND" +' + re.escape(by_version), commands)
    assert commands.count("$LOCKED") == len(re.findall(r"\$LOCKED -r \S+\.txt", commands)) == 4
    (installer,) = re.findall(r"-m pip install [^&]+", commands)
    assert "--require-hashes -r requirements-uv.txt" in installer
    assert len(re.findall(r"\binstall\b", commands)) == 2, "INSTALL and the installer"


@pytest.mark.long
def test_the_bill_of_materials_is_valid_and_names_every_package(tmp_path):
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed; make setup brings it")
    target = tmp_path / "sbom.cdx.json"
    command = ["make", "sbom", f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.ready", f"SBOM={target}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(target.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    named = {(package["name"].lower(), package["version"]) for package in bill["components"]}
    installed = {(package.name.lower(), package.version) for package in distributions() if package.name != "mammogan"}
    assert named == installed
