"""A plain folder of pictures: what is read, and what stands in it that is no picture."""

import os
import socket

import numpy as np
import pytest
from PIL import Image

from mammogan.data.image_folder import read_images


@pytest.fixture
def folder(tmp_path, rng):
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (28, 28), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def pipe(path):
    os.mkfifo(path)


def listener(path):
    here = os.getcwd()
    os.chdir(path.parent)  # an address has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as place:
        place.bind(path.name)
    os.chdir(here)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "a pipe or a device, no regular file"),
        (listener, "No such device or address"),
        (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device, no regular file"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("gone.png"), "No such file or directory"),
        (lambda path: path.mkdir(), "a folder, no file"),
    ],
)
def test_what_is_no_regular_file_is_refused_by_name_and_never_waited_for(folder, make, reason):
    make(folder / "3.png")
    with pytest.raises(ValueError, match=rf"3\.png cannot be read \({reason}\); give a regular file"):
        read_images(folder)


def test_a_link_to_a_picture_is_read(folder):
    (folder / "3.png").symlink_to("0.png")
    assert len(read_images(folder)) == 4


def test_a_link_out_of_the_folder_is_refused_and_a_link_to_the_folder_is_none(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "link").symlink_to(folder)
    assert len(read_images(outside / "link")) == 3
    (folder / "2.png").rename(outside / "2.png")
    (folder / "2.png").symlink_to(outside / "2.png")
    for place in (folder, outside / "link"):
        with pytest.raises(ValueError, match=r"2\.png leaves its folder by a link; copy the file there"):
            read_images(place)


def test_what_other_programs_left_beside_the_pictures_is_none(folder):
    (folder / "._1.png").write_bytes(b"\0\5\26\7")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX/1.png").write_bytes(b"\0\5\26\7")
    assert len(read_images(folder)) == 3
