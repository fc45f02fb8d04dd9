"""A few steps of a trial, by one process or by those of torchrun; the leader writes what came of them.

torchrun --nproc-per-node 2 rank_process.py FILE STEPS [SETTINGS_JSON]
"""

import io
import json
import sys
from pathlib import Path

import torch
from trial_process import OVERRIDES, blobs

from mammogan.config import Trial, overrides_text, resolve
from mammogan.features.densenet import random_frozen
from mammogan.features.saved import read_saved
from mammogan.training.ranks import init_distributed
from mammogan.training.trainer import Trainer


def outcome(ranks, steps, settings):
    """Gradients of the last step, weights, buffers and sums after ``steps`` steps."""
    config = resolve("demo", overrides_text(OVERRIDES | settings))
    trainer = Trainer(blobs(), config, Trial(3.0, 0), random_frozen(), torch.device("cpu"), ranks)
    for _ in range(steps):
        trainer.advance()
    gradients = {
        f"{part}.{name}": weight.grad
        for part, network in (("generator", trainer.generator), ("critic", trainer.critic))
        for name, weight in network.named_parameters()
        if weight.grad is not None
    }
    state = read_saved(io.BytesIO(trainer.state()))
    return {"gradients": gradients, "state": state, "means": trainer.take_means()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    settings = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    with init_distributed() as ranks:
        assert ranks.world > 1
        record = outcome(ranks, int(sys.argv[2]), settings)
        # BatchNorm and the sums must be the same everywhere, not only where they are written
        mean = record["state"]["generator"]["norm.0.running_mean"].double().sum().item()
        assert ranks.broadcast({"mean": mean}) == {"mean": mean}
        if ranks.is_main:
            torch.save(record, Path(sys.argv[1]))
