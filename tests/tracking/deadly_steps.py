"""The steps of the graph, one trial, each in a process of its own that dies by SIGKILL after its n-th write to MLflow.

    python deadly_steps.py FOLDER

For every step: a process that dies after its first write, one that dies after its second, and so on until one gets
through; then all steps again, as when the graph is run again. Prints a JSON line a step: how often it died. One
process imports everything once and forks the others.
"""

import functools
import itertools
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import lpips
import matplotlib.figure
import mlflow.pyfunc
import sklearn.linear_model
import torchvision
from mlflow import MlflowClient

from mammogan import registry
from mammogan.components.audit import audit
from mammogan.components.evaluate import evaluate
from mammogan.components.evaluate_winner import evaluate_winner
from mammogan.components.filter_minority import filter_minority
from mammogan.components.finish import finish
from mammogan.components.ingest import ingest
from mammogan.components.promote import promote
from mammogan.components.register import register
from mammogan.components.select import select
from mammogan.components.start import start
from mammogan.components.synthesise import synthesise
from mammogan.components.train import train
from mammogan.components.utility import utility
from mammogan.config import settings_text
from mammogan.evaluation import snapshots
from mammogan.reporting import findings, report
from mammogan.selection import ranking
from mammogan.steps import audit as audit_step
from mammogan.steps import evaluate_winner as evaluate_winner_step
from mammogan.steps import finish as finish_step
from mammogan.steps import promote as promote_step
from mammogan.steps import synthesise as synthesise_step
from mammogan.steps import utility as utility_step
from mammogan.training import trial as trial_training

IMPORTED_ONCE = (lpips, matplotlib.figure, mlflow.pyfunc, sklearn.linear_model, torchvision)
IMPORTED_ONCE += (audit_step, evaluate_winner_step, finish_step, promote_step, synthesise_step, utility_step)
IMPORTED_ONCE += (snapshots, findings, registry, report, ranking, trial_training)
TRIAL = "lambda=3,seed=0"
EXPERIMENT, RUN_KEY = "mammogan", "killed"
SETTINGS = {
    "settings": settings_text(
        "demo",
        {
            "lambdas": "3", "data.size": 28, "model.generator_channels": 16, "model.critic_channels": 4,
            "train.epochs": 3, "train.snapshot_every": 3, "evaluate.fakes": 16, "evaluate.pairs": 16,
            "select.min_diversity": 0, "audit.max_duplicates": 1, "utility.steps": 2, "utility.shares": "1.0",
        },
    ),
}  # fmt: skip
WRITES = ("create_", "update_", "set_", "log_", "delete_", "finalize_", "restore_")


def steps(folder):
    """Name of each step to a call of it; what it returns is written beside its artifacts."""
    at = functools.partial(artifact, folder)
    settings, data = {**SETTINGS, "run": RUN_KEY}, {"dataset": at("dataset")}
    minority, trained, measured = at("minority"), at("trained"), at("evaluation")
    trial = {**settings, "trial": TRIAL, "minority": minority}
    chosen = {"chosen": at("chosen")}
    over = SimpleNamespace(state="RUNNING", error_message=None, pipeline_job_resource_name="mammogan-x")
    return {
        "start": lambda: start.python_func(**settings, experiment=EXPERIMENT, source="phantom", link=at("link")),
        "ingest": lambda: ingest.python_func(**settings, source="phantom", labels="", store="", work="", **data),
        "filter-minority": lambda: filter_minority.python_func(**settings, **data, minority=minority, force=False),
        "train": lambda: train.python_func(**trial, store=str(folder / "store"), trained=trained),
        "evaluate": lambda: evaluate.python_func(
            **trial, store=str(folder / "store"), trained=trained, evaluation=measured
        ),
        "select": lambda: select.python_func(
            **settings, store=str(folder / "store"), evaluations=[measured], decision=at("decision"), **chosen
        ),
        "evaluate-winner": lambda: evaluate_winner.python_func(
            **settings, minority=minority, **chosen, result=at("result")
        ),
        "register": lambda: register.python_func(**settings, **chosen, result=at("result")),
        "synthesise": lambda: synthesise.python_func(
            **settings, version=version(folder), **data, minority=minority, **chosen, filled=at("filled")
        ),
        "audit": lambda: audit.python_func(
            **settings, version=version(folder), filled=at("filled"), **chosen, privacy=at("privacy")
        ),
        "promote": lambda: promote.python_func(**settings, version=version(folder), minority=minority),
        "utility": lambda: utility.python_func(
            **settings, version=version(folder), filled=at("filled"), benefit=at("benefit")
        ),
        "finish": lambda: finish.python_func(run=RUN_KEY, page=at("page"), status=over),
    }


def artifact(folder, name):
    return SimpleNamespace(path=str(folder / "artifacts" / name), log_metric=lambda *_: None)


def version(folder):
    return json.loads((folder / "register.json").read_text())


def die_after(count):
    """Let the process kill itself when it has made ``count`` writes to MLflow."""
    left = itertools.count(count - 1, -1)

    def deadly(write):
        @functools.wraps(write)
        def call(*arguments, **named):
            try:
                return write(*arguments, **named)
            finally:
                if next(left) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    for name in dir(MlflowClient):
        if name.startswith(WRITES):
            setattr(MlflowClient, name, deadly(getattr(MlflowClient, name)))


def killed(name, folder, writes):
    """Run a step in a process that dies after so many writes, or never for 0; whether it died. Raises if it fails."""
    process = os.fork()
    if process == 0:
        try:
            if writes:
                die_after(writes)
            returned = steps(folder)[name]()
            (folder / f"{name}.json").write_text(json.dumps(returned))
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(process, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        raise RuntimeError(f"step {name} failed when it was to die after {writes} writes")
    return os.WIFSIGNALED(status)


def main():
    folder = Path(sys.argv[1])
    (folder / "artifacts").mkdir()
    for name in steps(folder):
        deaths = next(writes - 1 for writes in itertools.count(1) if not killed(name, folder, writes))
        print(json.dumps({"step": name, "deaths": deaths}), flush=True)
    for name in steps(folder):
        killed(name, folder, 0)


if __name__ == "__main__":
    main()
