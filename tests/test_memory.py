"""The container's memory limit, read from its control group, and the end before it."""

import os
import re
import time

import pytest

from mammogan import memory

GIB = 2**30


def group(tmp_path, version, limit, used, cache=0, path="/kubepods/pod1"):
    """A control group as the kernel shows it; ``path`` is what the process reads of itself."""
    lines = {1: f"5:cpu:/x\n4:memory:{path}\n", 2: f"0::{path}\n"}
    own = tmp_path / "own"
    own.write_text(lines[version])
    folder = (tmp_path / "memory" if version == 1 else tmp_path) / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    prefix = "total_" if version == 1 else ""
    (folder / "memory.stat").write_text(f"anon 1\n{prefix}inactive_file {cache}\n{prefix}active_file 0\n")
    return tmp_path, own


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("path", ["/", "/kubepods/pod1"])
def test_the_limit_is_read_in_both_versions(tmp_path, version, path):
    assert memory.limit(*group(tmp_path, version, 2 * GIB, 0, path=path)) == 2 * GIB


def test_a_path_of_the_host_that_the_container_does_not_see(tmp_path):
    root, own = group(tmp_path, 1, GIB, 0, path="/")
    own.write_text("4:memory:/kubepods/burstable/pod7/abc\n")
    assert memory.limit(root, own) == GIB


@pytest.mark.parametrize(("version", "text"), [(2, "max"), (1, "9223372036854771712")])
def test_no_limit_is_none(tmp_path, version, text):
    assert memory.limit(*group(tmp_path, version, text, 0)) is None


def test_no_control_group_is_no_limit(tmp_path):
    assert memory.limit(tmp_path, tmp_path / "nowhere") is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_step_ends_itself_before_its_limit_and_names_it(tmp_path, version):
    place = group(tmp_path, version, 2 * GIB, GIB)

    def grow():
        with memory.guarded(*place):
            group(tmp_path, version, 2 * GIB, int(1.99 * GIB))
            time.sleep(5)

    with pytest.raises(MemoryError, match=re.escape("1.99 GiB in use of its limit of 2.00 GiB")):
        grow()


def test_what_the_kernel_takes_back_does_not_count(tmp_path):
    with memory.guarded(*group(tmp_path, 2, 2 * GIB, 2 * GIB, cache=GIB)):
        time.sleep(0.3)


def test_the_handler_of_before_is_back_afterwards(tmp_path):
    import signal

    before = signal.getsignal(memory.SIGNAL)
    with memory.guarded(*group(tmp_path, 2, GIB, 0)):
        assert signal.getsignal(memory.SIGNAL) is not before
    assert signal.getsignal(memory.SIGNAL) is before


@pytest.mark.skipif(not os.access("/sys/fs/cgroup", os.R_OK), reason="no control groups here")
def test_this_machines_own_group_can_be_read():
    assert memory.limit() is None or memory.limit() > 0
