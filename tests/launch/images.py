"""The images that were built here, if any, as buildah keeps them: what they hold, layer by layer, and as a whole."""

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

CPU = "localhost/mammogan:cpu"
BASE = "docker.io/library/python:3.11-slim-bookworm"
_ENVIRONMENT = {**os.environ, "STORAGE_DRIVER": "overlay"}


def buildah(*words):
    done = subprocess.run(["buildah", *words], env=_ENVIRONMENT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def has(image):
    """Whether a test may look into this image: asked for, allowed to mount, and built."""
    if "MAMMOGAN_TEST_IMAGE" not in os.environ or os.geteuid() != 0 or not shutil.which("buildah"):
        return False
    command = ["buildah", "inspect", "--type", "image", image]
    return subprocess.run(command, env=_ENVIRONMENT, capture_output=True).returncode == 0


def inspect(image):
    """The image's configuration as the OCI standard has it: config, history, rootfs."""
    return json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]


@contextlib.contextmanager
def mounted(image):
    """Root folder of a container made from the image."""
    name = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", name))
    finally:
        buildah("rm", name)


def layers(image, folder):
    """Paths of the layers that the image adds to its base, each a tar file below ``folder``."""
    buildah("push", "--quiet", "--disable-compression", image, f"dir:{folder}")
    manifest = json.loads((folder / "manifest.json").read_text())
    above = len(inspect(BASE)["rootfs"]["diff_ids"])
    return [folder / layer["digest"].removeprefix("sha256:") for layer in manifest["layers"][above:]]


def files(layer):
    """(path, content or None) of every plain file of a layer; the content only of small ones."""
    with tarfile.open(layer) as archive:
        for member in archive:
            if member.isfile():
                small = archive.extractfile(member) if member.size < 1_000_000 else None
                yield member.name, small.read() if small else None
