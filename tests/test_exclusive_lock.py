"""One process at a time holds a lock, until it ends, and a lock that nobody holds leaves nothing behind."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from mammogan import lock

HOLDER = """
import sys, time
from pathlib import Path
from mammogan import lock
with lock.exclusive(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_has_ended_however_it_ends(tmp_path):
    path = tmp_path / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match=r"^busy$"), lock.exclusive(path, "busy"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert path.exists()
    with lock.exclusive(path, "busy"):
        assert path.exists()
    assert not path.exists()


def test_a_lock_that_was_removed_while_somebody_waited_for_it_is_none(tmp_path, monkeypatch):
    path, opened = tmp_path / ".lock", []

    def late(given):
        descriptor = real(given)
        if not opened:
            path.unlink()  # as its holder does in the end
        opened.append(descriptor)
        return descriptor

    real = lock.opened
    monkeypatch.setattr(lock, "opened", late)
    with lock.exclusive(path, "busy"):
        monkeypatch.undo()
        with pytest.raises(RuntimeError, match="busy"), lock.exclusive(path, "busy"):
            pass
    assert len(opened) == 2


def test_a_folder_that_is_written_is_refused_by_either_of_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lock.out_folder("new/set"):
        for name in ("new/set/", tmp_path / "new" / "set"):
            refused = pytest.raises(RuntimeError, match=r"--out=.*: another process is writing it; wait for it or give")
            with refused, lock.out_folder(name):
                pass
        with lock.out_folder("new/other"):
            pass
    assert not list((tmp_path / "new").iterdir())


def test_a_lock_follows_no_link_and_changes_no_file(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"\.lock: it cannot be opened to be locked"):
        lock.opened(tmp_path / ".lock")
    descriptor = lock.opened(tmp_path / "precious")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)
    assert (tmp_path / "precious").read_text() == "kept"


def test_without_locks_on_the_file_system_the_work_goes_on_and_nothing_is_taken_for_left_behind(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / "part").touch()
    monkeypatch.setattr(fcntl, "flock", none)
    with lock.exclusive(tmp_path / ".lock", "busy"):
        pass
    lock.remove_abandoned(tmp_path / "part")
    assert (tmp_path / "part").exists()
    monkeypatch.undo()
    held = lock.taken(tmp_path / "part")
    lock.remove_abandoned(tmp_path / "part")
    assert (tmp_path / "part").exists()
    os.close(held)
    lock.remove_abandoned(tmp_path / "part")
    assert not (tmp_path / "part").exists()
