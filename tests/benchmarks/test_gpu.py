"""``benchmarks/gpu.py`` at 28 px on the CPU: every section measures, and none that fails costs another."""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from warm_interpreter import warm_python

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = {"device": "cpu", "size": 28, "batch": 3, "steps": 2, "epochs": 2, "fakes": 7, "pairs": 4, "repeats": 1}
FIGURES = {
    "env": ("a tiny kernel", "device_us"),
    "step": ("batch 3, speed-up over naive, torch's defaults", "times"),
    "resume": ("paper, as it is, saved and loaded after 1 of 2 steps", "tensors_that_differ"),
    "correct": ("28 px, projected, sigmoid, ours, float32", "worst_error_on_its_piece"),
    "pytest": ("tests/metrics/test_properties.py::test_no_number_depends_on_the_device", "tests"),
    "epoch": ("3 at once, lambda 0.5", "images_per_s_by_wall"),
    "eval": ("FID with its jackknife", "seconds"),
    "compiled": ("compiled by aot_eager", "gradient_difference"),
}
"""A label and a figure of each section."""


@pytest.fixture
def crops(tmp_path, rng):
    """Seven malignant crops, and a benign one that is not to be read."""
    folder = tmp_path / "crops"
    folder.mkdir()
    rows = ["file,pathology"]
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (40, 36), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,MALIGNANT")
    (folder / "manifest.csv").write_text("\n".join([*rows, "absent.png,BENIGN\n"]))
    return folder


def run(crops, out, *options):
    """What the command printed, its exit status, and the numbers that it wrote."""
    settings = [f"--{name}={value}" for name, value in TINY.items()]
    command = [warm_python(), str(BENCHMARKS / "gpu.py"), f"--crops={crops}", f"--out={out}", *settings, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # threads that share too few cores spin
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done, json.loads((out / "all.json").read_text())


@pytest.mark.long
def test_every_section_measures(crops, tmp_path):
    out = tmp_path / "out"
    done, numbers = run(crops, out, f"--sections={','.join(FIGURES)}", "--limit-s=500")
    assert [section["failures"] for section in numbers.values()] == [{}] * len(FIGURES)
    assert {section["outcome"] for section in numbers.values()} == {"passed"}
    assert done.returncode == 0, done.stderr
    assert list(numbers) == list(FIGURES)
    for name, (label, figure) in FIGURES.items():
        figures = numbers[name]["figures"]
        assert all(math.isfinite(value) for values in figures.values() for value in values.values())
        assert f"{name} | {label} | " in (out / "summary.txt").read_text()
        assert figure in figures[label]

    def value(name):
        return numbers[name]["figures"][FIGURES[name][0]][FIGURES[name][1]]

    assert value("resume") == value("compiled") == 0
    assert 0 < value("correct") < 1e-4
    assert value("pytest") == 1
    assert min(value(name) for name in ("env", "step", "epoch", "eval")) > 0
    assert "aten::" in (out / "profile.txt").read_text()
    assert "== compiled: passed" in (out / "log.txt").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["all.json", "log.txt", "profile.txt", "summary.txt"]


def test_a_section_that_fails_costs_no_other(crops, tmp_path):
    (crops / "3.png").write_bytes(b"no image")
    done, numbers = run(crops, tmp_path / "out", "--sections=correct,resume,env")
    assert done.returncode == 1
    assert {name: section["outcome"] for name, section in numbers.items()} == {
        "env": "passed", "resume": "failed", "correct": "passed"
    }  # fmt: skip
    assert "3.png cannot be read as an image" in numbers["resume"]["failures"]["the section"]
    assert FIGURES["correct"][0] in numbers["correct"]["figures"]
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert "\nresume: failed, " in summary
    assert done.stdout.endswith(summary)
    assert "Traceback" in (tmp_path / "out" / "log.txt").read_text()


def test_what_there_is_no_time_for_is_named(crops, tmp_path):
    done, numbers = run(crops, tmp_path / "out", "--sections=step,env", "--limit-s=14")
    assert done.returncode == 1
    assert {name: section["outcome"] for name, section in numbers.items()} == {"env": "not run", "step": "not run"}
    assert "step: not run, 0 s; not run: 14 s of 14 s are left" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sections=env,stp"], "--sections: there is no stp; choose from env,step,"),
        (["--epochs=1"], "--epochs=1: give at least 2"),
        (["--crops=nowhere"], "--crops='nowhere': it has no manifest.csv"),
    ],
)
def test_wrong_options_are_named(crops, tmp_path, options, message):
    command = [warm_python(), str(BENCHMARKS / "gpu.py"), f"--crops={crops}", f"--out={tmp_path / 'out'}", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
