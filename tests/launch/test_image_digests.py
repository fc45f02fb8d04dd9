"""`make pin`, against a double of a registry and, where it is installed, Debian's docker-registry."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import registries
import yaml
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "docker"))
image_digests = pytest.importorskip("image_digests", reason="oras is not installed; make setup brings it")

NAMES = ("mammogan", "mammogan-mlflow", "library/postgres", "library/python")
CONTENTS = {name: registries.index(name) for name in NAMES}
TAGS = {
    f"{name}:{tag}": CONTENTS[name][0]
    for name in NAMES
    for tag in ("0.1.0", "17.5-bookworm", "3.11-slim-bookworm", "3.11-bookworm")
}


def digest(name):
    return CONTENTS[name][1]


@pytest.fixture
def checkout(tmp_path):
    """The files of this checkout that name images; `of` puts a registry in place of those that they name."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "k8s", root / "k8s")
    shutil.copytree(ROOT / ".github", root / ".github")
    (root / "docker").mkdir()
    shutil.copy(ROOT / "docker" / "Dockerfile", root / "docker")

    def of(address):
        for file in [root / "docker" / "Dockerfile", *root.rglob("*.y*ml")]:
            text = file.read_text().replace("registry.example.org", address)
            file.write_text(text.replace("docker.io/", f"{address}/"))
        return root

    return of


@pytest.fixture(params=["double", "docker-registry"])
def registry(request, tmp_path):
    if request.param == "double":
        with registries.double(TAGS) as address:
            yield address
        return
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed; Debian's package brings it")
    (tmp_path / "registry").mkdir()
    with registries.docker_registry(TAGS, tmp_path / "registry", free_port()) as address:
        yield address


def contents(root):
    return {path: path.read_text() for path in root.rglob("*") if path.is_file()}


def test_every_image_that_is_named_by_a_tag_gets_its_digest(checkout, registry, capsys):
    root = checkout(registry)
    before = contents(root)
    assert image_digests.main(root) == 0
    for folder, name in (("steps", "mammogan"), ("base", "mammogan-mlflow")):
        (image,) = yaml.safe_load((root / "k8s" / folder / "kustomization.yaml").read_text())["images"]
        wanted = {"name": name, "newName": f"{registry}/{name}", "newTag": "0.1.0", "digest": digest(name)}
        assert image == wanted
    postgres = (root / "k8s/base/postgres.yaml").read_text()
    assert f"image: {registry}/library/postgres:17.5-bookworm@{digest('library/postgres')}\n" in postgres
    dockerfile = (root / "docker/Dockerfile").read_text()
    assert f"IMAGE={registry}/library/python:3.11-slim-bookworm@{digest('library/python')}\n" in dockerfile
    changed = {str(path.relative_to(root)) for path, text in contents(root).items() if text != before[path]}
    assert changed == {
        "k8s/steps/kustomization.yaml",
        "k8s/base/kustomization.yaml",
        "k8s/base/postgres.yaml",
        "docker/Dockerfile",
        ".github/workflows/ci.yml",
    }
    assert sum(len(text) for text in contents(root).values()) - sum(map(len, before.values())) == (
        2 * len(f"  digest: {digest('mammogan')}\n") + 3 * len(f"@{digest('mammogan')}")
    ), "and nothing else is changed"
    pinned = contents(root)
    assert image_digests.main(root) == 0
    assert contents(root) == pinned
    assert capsys.readouterr().out.endswith("all of them are written already\n")


def test_a_tag_that_was_moved_is_pinned_anew(checkout):
    content, moved = registries.index("moved")
    with registries.double(tags := dict(TAGS)) as address:
        root = checkout(address)
        assert image_digests.main(root) == 0
        pinned = contents(root)
        tags |= dict.fromkeys(tags, content)
        assert image_digests.main(root) == 0
    for path, text in contents(root).items():
        for name in NAMES:
            pinned[path] = pinned[path].replace(digest(name), moved)
        assert text == pinned[path]


def test_without_a_registry_nothing_is_changed_and_one_line_says_why(checkout, capsys):
    root = checkout(f"127.0.0.1:{free_port()}")
    before = contents(root)
    assert image_digests.main(root) == 1
    assert contents(root) == before
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("error: not pinned: ")
    assert output.err.count("its registry does not answer (ConnectionError)") == len(NAMES) + 1, (
        "Python in two versions"
    )


@pytest.mark.parametrize(
    ("tags", "claim", "reason"),
    [
        ({}, "", "its registry says 404 Not Found"),
        (TAGS, "sha256:" + "0" * 64, f"its registry says sha256:{'0' * 64} but sends sha256:"),
    ],
    ids=["no such tag", "bytes of another digest"],
)
def test_what_a_registry_does_not_vouch_for_is_not_written(checkout, capsys, tags, claim, reason):
    with registries.double(tags, claim=claim) as address:
        root = checkout(address)
        before = contents(root)
        assert image_digests.main(root) == 1
    assert contents(root) == before
    assert capsys.readouterr().err.count(reason) == len(NAMES) + 1, "Python in two versions"


@pytest.mark.parametrize("way", ["Basic", "Bearer"])
def test_a_registry_that_wants_a_sign_in_gets_that_of_docker_login(tmp_path, monkeypatch, way):
    monkeypatch.setenv("HOME", str(tmp_path))
    with registries.double(TAGS, sign_in=way) as address:
        with pytest.raises(ValueError, match="its registry says 401"):
            image_digests.digest_of(f"{address}/mammogan:0.1.0")
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {address: {"auth": registries.PASSWORD}}}))
        assert image_digests.digest_of(f"{address}/mammogan:0.1.0") == digest("mammogan")


def test_docker_hub_is_asked_where_its_registry_is(monkeypatch):
    assert image_digests.oras.defaults.registry.default_v2_registry["host"] != "docker.io"
    with registries.double(TAGS) as address:
        monkeypatch.setitem(image_digests.oras.defaults.registry.default_v2_registry, "host", address)
        assert image_digests.digest_of("docker.io/library/python:3.11-slim-bookworm") == digest("library/python")


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        (
            "images:\n- {name: a, newName: h/a, newTag: v1}\n",
            "images:\n- {name: a, newName: h/a, newTag: v1, digest: D}\n",
        ),
        (
            "images:\n- newTag: 'v1'  # ours\n  newName: h/a\n",
            "images:\n- newTag: 'v1'\n  digest: D  # ours\n  newName: h/a\n",
        ),
        ("images:\n- newName: h/a\n  digest: x\n  newTag: v1", "images:\n- newName: h/a\n  digest: D\n  newTag: v1"),
        ("jobs:\n  t:\n    container: h/a:v1\n", "jobs:\n  t:\n    container: h/a:v1@D\n"),
        ("container: {image: h/a:v1}\n", "container: {image: h/a:v1@D}\n"),
        ("a: 1\n---\nb: [{image: 'h:5/a:v1'}]\n", "a: 1\n---\nb: [{image: h:5/a:v1@D}]\n"),
        ("image: mammogan\n", "image: mammogan\n"),
        ("image: h/a@sha256:" + 64 * "0", "image: h/a@sha256:" + 64 * "0"),
        ("é: ü\nimage: h/a:v1\n", "é: ü\nimage: h/a:v1@D\n"),
    ],
)
def test_digests_go_where_the_tag_stands_and_nothing_else_moves(tmp_path, text, pinned):
    file = tmp_path / "some.yaml"
    file.write_text(text)
    places = image_digests.manifest_images(file)
    image_digests.write(places, {place.image: "D" for place in places})
    assert file.read_text() == pinned
