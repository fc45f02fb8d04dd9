"""Files are written whole or not at all, checked by sha256, and never outside their root."""

import hashlib

import pytest

from mammogan import storage


def test_write_read_list_remove(tmp_path):
    root = str(tmp_path / "store")
    storage.write_bytes(storage.join(root, "a", "b.bin"), b"one")
    storage.write_bytes(storage.join(root, "a", "b.bin"), b"two")
    assert storage.read_bytes(storage.join(root, "a", "b.bin")) == b"two"
    assert storage.list_files(root) == ["a/b.bin"]
    storage.remove(storage.join(root, "a", "b.bin"))
    assert not storage.exists(storage.join(root, "a", "b.bin"))
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "a", "b.bin"))


def test_interrupted_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "kept.txt"
    target.write_bytes(b"old")

    def write_half():
        with storage.atomic_file(target) as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_join_of_both_kinds():
    assert storage.join("s3://bucket/prefix/", "a", "b") == "s3://bucket/prefix/a/b"
    assert storage.join("folder", "a") == "folder/a"


@pytest.mark.parametrize("relative", ["../up", "a/../../up", "/etc/passwd"])
def test_no_path_leaves_its_root(tmp_path, relative):
    with pytest.raises(ValueError, match="leaves its folder"):
        storage.inside(tmp_path, relative)


def test_inside_follows_links_before_it_judges(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leaves its folder"):
        storage.inside(root, "link/file")


def test_fetch_checks_the_sha256_of_a_local_file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    assert storage.fetch(str(path), hashlib.sha256(b"weights").hexdigest()) == path
    with pytest.raises(ValueError, match=r"sha256 of .* is "):
        storage.fetch(str(path), "0" * 64)
    with pytest.raises(FileNotFoundError, match="give the path"):
        storage.fetch(str(tmp_path / "absent"))


@pytest.mark.parametrize(("uri", "sha256"), [("s3://bucket/key", ""), ("http://host/file", "0" * 64)])
def test_fetch_refuses_addresses_without_sha256_and_without_encryption(tmp_path, monkeypatch, uri, sha256):
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"sha256|https"):
        storage.fetch(uri, sha256)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
