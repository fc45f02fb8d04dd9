"""Files of ``torch.save``: what is no such file is refused before it takes memory or waits."""

import io
import os
import zipfile

import pytest
import torch

from mammogan import storage
from mammogan.features import saved
from mammogan.features.saved import read_saved
from mammogan.features.weights import read_state


def packed(content, compression):
    """The same archive with its parts compressed so."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w", compression) as again:
        for item in archive.infolist():
            again.writestr(item.filename, archive.read(item))
    return buffer.getvalue()


@pytest.mark.parametrize("as_file", [False, True])
def test_a_file_that_inflates_is_refused_before_it_does(tmp_path, as_file):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2**20)}, buffer)

    def read(content):
        (tmp_path / "x.pt").write_bytes(content)
        return read_saved(tmp_path / "x.pt" if as_file else io.BytesIO(content))

    bomb = packed(buffer.getvalue(), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**20 / 50
    with pytest.raises(ValueError, match="it holds compressed parts"):
        read(bomb)
    assert len(read(buffer.getvalue())["a"]) == 2**20
    older = io.BytesIO()
    torch.save({"a": torch.ones(2)}, older, _use_new_zipfile_serialization=False)
    assert read(older.getvalue())["a"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="torch cannot read it"):
        read(b"PK\x03\x04 nothing of the kind")


def test_an_archive_of_several_disks_is_no_weights(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    content = bytearray(buffer.getvalue())
    locator = content.rfind(b"PK\x06\x07")
    content[locator + 16] = 7  # disks
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_state(tmp_path / "x.pt")


def test_tensors_without_values_are_no_content():
    buffer, own = io.BytesIO(), {"list": [1, (torch.empty(3, device="meta"),)]}
    own["itself"] = own
    torch.save(own, buffer)
    with pytest.raises(ValueError, match="it holds tensors without values"):
        read_saved(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("short", [False, True])
def test_memory_that_runs_out_is_the_files_fault_where_enough_is_left_for_all_that_it_holds(monkeypatch, short):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)

    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr(torch, "load", refuse)
    if short:
        monkeypatch.setattr(saved, "bytearray", refuse, raising=False)
    with pytest.raises(MemoryError if short else ValueError):
        read_saved(io.BytesIO(buffer.getvalue()))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(OSError, match="no regular file"):
        storage.sha256_of(tmp_path / "pipe.pt")
