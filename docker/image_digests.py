"""Writes the digest beside the tag of each image that this repository names: `make pin`.

A tag can be moved to another image, a digest cannot. The images are the bases that docker/Dockerfile names, below
k8s/ the `images` of kustomizations and each `image` with a tag, and the `container` of a workflow. A registry is asked
for the manifest of the tag (OCI Distribution Specification 1.1, "Pulling manifests"), and the digest is computed from
the bytes that it sends. All registries are asked before anything is written; an image whose registry does not answer
keeps its line, and the exit status is 1. The tag stays where it is, so that the same command pins the next build.
"""

import argparse
import hashlib
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import oras.defaults
import requests
import yaml
from oras.auth import get_auth_backend
from oras.container import Container

from mammogan import storage

TIMEOUT_S = 20.0
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""The index of an image for several machines first: its digest is right for each of them."""
IMAGE = re.compile(r"(?P<tagged>[^\s@]+/[^\s@:/]+:\w[\w.-]{0,127})(@sha256:[0-9a-f]{64})?")
BASE = re.compile(rf"^ARG \w+=(?P<image>{IMAGE.pattern})$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a digest belongs: characters `start` to `end` of `file`, which become `before` + digest."""

    file: Path
    start: int
    end: int
    before: str
    image: str
    """NAME:TAG"""


def base_images(dockerfile: Path) -> list[Place]:
    """The bases that a Dockerfile's arguments name."""
    found = BASE.finditer(dockerfile.read_text())
    return [Place(dockerfile, *match.span("image"), f"{match['tagged']}@", match["tagged"]) for match in found]


def manifest_images(manifest: Path) -> list[Place]:
    """The images of a YAML file: of its containers or jobs, and those that a kustomization puts in place of names."""
    documents = yaml.compose_all(manifest.read_text(), Loader=yaml.SafeLoader)
    return [place for document in documents if document for place in _places(manifest, document)]


def _places(file: Path, node: yaml.Node) -> list[Place]:
    if isinstance(node, yaml.SequenceNode):
        return [place for item in node.value for place in _places(file, item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    fields = {key.value: value for key, value in node.value}
    places = [place for value in fields.values() for place in _places(file, value)]
    for image in (fields.get("image"), fields.get("container")):
        if isinstance(image, yaml.ScalarNode) and (match := IMAGE.fullmatch(image.value)):
            tagged = match["tagged"]
            places.append(Place(file, image.start_mark.index, image.end_mark.index, f"{tagged}@", tagged))
    if {"newName", "newTag"} <= fields.keys():
        places.append(_replacement(file, node, fields))
    return places


def _replacement(file: Path, node: yaml.MappingNode, fields: dict[str, yaml.Node]) -> Place:
    """Where the digest of an entry of a kustomization's `images` stands, or would stand: below its tag."""
    image = f"{fields['newName'].value}:{fields['newTag'].value}"
    if digest := fields.get("digest"):
        return Place(file, digest.start_mark.index, digest.end_mark.index, "", image)
    end = fields["newTag"].end_mark.index
    column = node.value[0][0].start_mark.column
    return Place(file, end, end, ", digest: " if node.flow_style else f"\n{' ' * column}digest: ", image)


def digest_of(image: str) -> str:
    """The digest of NAME:TAG, as its registry has it; with the sign-in of `docker login`, if there is one.

    Raises:
        ValueError: The registry does not answer, refuses, has no such tag, or contradicts itself.

    """
    container = Container(image)
    if container.registry == oras.defaults.registry.index_name:
        container.registry = oras.defaults.registry.default_v2_registry["host"]
    try:
        answer = _ask(container)
    except requests.RequestException as error:
        raise ValueError(f"{image}: its registry does not answer ({type(error).__name__})") from error
    if answer.status_code != requests.codes.ok:
        raise ValueError(f"{image}: its registry says {answer.status_code} {answer.reason}")
    kind = answer.headers.get("Content-Type", "")
    if kind.split(";")[0] not in MANIFESTS:
        raise ValueError(f"{image}: its registry sends {kind or 'something'}, not a manifest")
    digest = "sha256:" + hashlib.sha256(answer.content).hexdigest()
    if answer.headers.get("Docker-Content-Digest", digest) != digest:
        raise ValueError(f"{image}: its registry says {answer.headers['Docker-Content-Digest']} but sends {digest}")
    return digest


def _ask(container: Container) -> requests.Response:
    """The registry's answer to who wants the manifest; without TLS on this machine alone, as Docker has it."""
    local = container.registry.split(":")[0] in ("localhost", "127.0.0.1")
    address = f"{'http' if local else 'https'}://{container.manifest_url()}"
    session = requests.Session()
    for prefix in ("https://", "http://"):
        session.mount(prefix, _Bounded())
    headers = {"Accept": ", ".join(MANIFESTS)}
    answer = session.get(address, headers=headers)
    if challenge := answer.headers.get("WWW-Authenticate", ""):
        basic = challenge.lower().startswith("basic")
        sign_in = get_auth_backend("basic" if basic else "token", session, insecure=local)
        sign_in.load_configs(container)
        if basic and not hasattr(sign_in, "_basic_auth"):
            return answer
        headers, _ = sign_in.authenticate_request(answer, headers)
        answer = session.get(address, headers=headers)
    return answer


class _Bounded(requests.adapters.HTTPAdapter):
    """Waits for an answer for so long and no longer."""

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:
        return super().send(request, **(options | {"timeout": TIMEOUT_S}))


def write(places: list[Place], digests: dict[str, str]) -> list[Path]:
    """Write the digests that are known to where they belong; the files that are other than they were."""
    changed = []
    for file in sorted({place.file for place in places}):
        text = old = file.read_text()
        for place in sorted((p for p in places if p.file == file), key=lambda p: p.start, reverse=True):
            if digest := digests.get(place.image):
                text = text[: place.start] + place.before + digest + text[place.end :]
        if text != old:
            storage.write_bytes(str(file), text.encode())
            changed.append(file)
    return changed


def main(root: Path) -> int:
    """Pin the images that the files below `root` name; 0 if each of them has its digest now."""
    manifests = [*sorted((root / "k8s").rglob("*.yaml")), *sorted((root / ".github").rglob("*.yml"))]
    places = base_images(root / "docker" / "Dockerfile")
    places += [place for manifest in manifests for place in manifest_images(manifest)]
    digests, reasons = {}, []
    for image in sorted({place.image for place in places}):
        try:
            digests[image] = digest_of(image)
        except ValueError as error:
            reasons.append(str(error))
    changed = write(places, digests)
    for image, digest in digests.items():
        print(f"{image} is {digest}")
    if reasons:
        print(f"error: not pinned: {'; '.join(reasons)}", file=sys.stderr)
    names = ", ".join(str(file.relative_to(root)) for file in changed)
    if digests:
        print(f"written: {names}" if names else "all of them are written already")
    return 1 if reasons else 0


if __name__ == "__main__":
    logging.getLogger("oras").addHandler(logging.NullHandler())  # what it has to say is in the answer
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the checkout")
    sys.exit(main(parser.parse_args().root))
