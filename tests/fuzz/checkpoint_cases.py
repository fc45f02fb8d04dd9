"""Files of torch: snapshots, critics, weights, checkpoints, with code in them, sizes that lie and other tensors."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import torch
from cases import Kind, LossError
from mutation import NUMBERS, changed, damaged

from mammogan import codec, config
from mammogan.config import Trial
from mammogan.features.densenet import random_frozen
from mammogan.features.weights import read_state
from mammogan.models.critic_file import load_critic
from mammogan.models.generator import Generator, load_generator, sample, save_snapshot
from mammogan.training.checkpoint import FORMAT, Checkpoints, Progress
from mammogan.training.trainer import Trainer

torch.set_num_threads(1)
SETTINGS = config.override(
    config.PRESETS["demo"],
    {"data.size": 28, "model.generator_channels": 8, "model.critic_channels": 4, "model.latent_dim": 8},
)


class Attack:
    """What runs code where a pickle is read without care."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Leave a file behind."""
        import os

        return os.system, ("touch ran",)


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _loaded(content: bytes) -> dict[str, object]:
    return torch.load(io.BytesIO(content), weights_only=True)


def _trainer() -> Trainer:
    images = torch.randint(0, 255, (8, 1, 28, 28), dtype=torch.uint8)
    return Trainer(images, SETTINGS, Trial(3.0, 0), random_frozen(), torch.device("cpu"))


def _specimens() -> dict[str, bytes]:
    from tempfile import TemporaryDirectory

    from mammogan.models.critic_file import save_critic

    with TemporaryDirectory() as folder:
        path = Path(folder, "a.pt")
        save_snapshot(Generator(28, 8, 8), 4, path)
        specimens = {"snapshot.pt": path.read_bytes()}
        save_critic(TRAINER.critic, path, frozen_sha256="0" * 64, data_digest="d")
        specimens["critic.pt"] = path.read_bytes()
    specimens["weights.pt"] = _saved(Generator(28, 8, 8).state_dict())
    specimens["trainer"] = TRAINER.state()
    return specimens


TRAINER = _trainer()
SPECIMENS = _specimens()
TREES = {name: _loaded(content) for name, content in SPECIMENS.items()}
PROGRESS = Progress(history="", epoch_s=1.0, epochs_done=1, train_s=2.0, images_seen=3, files=())


def _write(rng: random.Random, folder: Path) -> None:
    name = rng.choice(sorted(SPECIMENS))
    content = SPECIMENS[name]
    step = rng.random()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if step < 0.5:
            content = _saved(_tree(rng, TREES[name]))
        elif step < 0.7:
            content = _rezipped(rng, content)
        elif step < 0.75:
            content = rng.choice(
                (pickle.dumps(Attack()), pickle.dumps({"a": [Attack()]}), _saved({"state_dict": Attack()}), _old(name))
            )
    if step > 0.75 or rng.random() < 0.2:
        content = damaged(rng, content)
    if name == "trainer":
        line = codec.line(PROGRESS, FORMAT)
        content = (damaged(rng, line) if rng.random() < 0.2 else line) + content
        digest = hashlib.sha256(content).hexdigest()
        content = damaged(rng, content) if rng.random() < 0.2 else content
        name = f"step_{rng.randrange(99):09d}.{digest}.checkpoint"
    (folder / name).write_bytes(content)


def _old(name: str) -> bytes:
    buffer = io.BytesIO()
    torch.save(TREES[name], buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _tree(rng: random.Random, tree: dict[str, object]) -> object:
    if rng.random() < 0.5:
        return _with_tensor(rng, copy.deepcopy(tree))
    if rng.random() < 0.4 and "size" in tree:
        key = rng.choice(("size", "latent_dim", "channels", "epoch", "format", "data_digest"))
        return {**tree, key: rng.choice((*NUMBERS, 0.5, "28", None, 10**6, 28 * 2**14))}
    return changed(rng, dict(tree.items()))


def _with_tensor(rng: random.Random, tree: dict[str, object]) -> dict[str, object]:
    """One tensor of another shape, type, layout or value."""
    places = [(node, key) for node in _nodes(tree) for key, value in node.items() if isinstance(value, torch.Tensor)]
    node, key = rng.choice(places)
    tensor = node[key]
    assert isinstance(tensor, torch.Tensor)
    finite = tensor.is_floating_point()
    node[key] = rng.choice(
        (
            torch.zeros(()),
            torch.zeros(0),
            torch.zeros(1).expand(1 << 40),
            torch.zeros(1).expand(tensor.shape) if tensor.dim() else tensor,
            torch.zeros(3, 3).to_sparse(),
            torch.full_like(tensor, float("nan")) if finite else tensor,
            torch.empty(tensor.shape, device="meta"),
            torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
            tensor.double(),
            tensor.to(torch.complex64),
            tensor.to(torch.bfloat16),
            tensor.reshape(-1),
            "x",
            None,
            [1],
            3,
        )
    )
    return tree


def _nodes(tree: object) -> list[dict]:
    if isinstance(tree, dict):
        return [tree, *(node for value in tree.values() for node in _nodes(value))]
    return [node for value in tree for node in _nodes(value)] if isinstance(tree, list | tuple) else []


def _rezipped(rng: random.Random, content: bytes) -> bytes:
    """Members of the archive swapped, grown, deflated, doubled, renamed or replaced by a pickle with code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(buffer, "w") as after:
        names = before.namelist()
        chosen, other = rng.choice(names), rng.choice(names)
        for name in names:
            member, step = before.read(name), rng.random()
            method = zipfile.ZIP_STORED
            if name == chosen:
                if step < 0.2:
                    member = before.read(other)
                elif step < 0.4:
                    member, method = b"\0" * (1 << 27), zipfile.ZIP_DEFLATED
                elif step < 0.6:
                    name = rng.choice(("../../ran", "/ran", f"{name}x", "archive/data.pkl"))
                elif step < 0.8:
                    member = damaged(rng, member)
                else:
                    member = pickle.dumps(Attack())
            if name.endswith("data.pkl") and rng.random() < 0.3:
                member = rng.choice((pickle.dumps(Attack()), damaged(rng, member), b"\x80\x02" + b"]" * 100_000 + b"."))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                after.writestr(name, member, method)
    return buffer.getvalue()


def _read(folder: Path, _out: Path) -> None:
    (path,) = folder.iterdir()
    if path.name == "snapshot.pt":
        generator = load_generator(path)
        images = sample(generator, 1, 0)
        if images.shape[2:] != (generator.size,) * 2:
            raise LossError(f"images of {tuple(images.shape)} from a generator of {generator.size}")
    elif path.name == "critic.pt":
        load_critic(path).critic(TRAINER.critic.frozen, "0" * 64)
    elif path.name == "weights.pt":
        read_state(path)
    else:
        checkpoint = Checkpoints(str(folder)).latest()
        if checkpoint is not None:
            TRAINER.load_state(checkpoint.trainer)
            dataclasses.asdict(checkpoint.progress)


KINDS = (Kind("checkpoints", _write, _read),)
