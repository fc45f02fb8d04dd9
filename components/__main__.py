"""What a pod of a run starts: one step of this image.

    python3 -m mammogan.components STEP VERSION EXECUTOR_INPUT

The compiled pipeline names the step and carries none of its source; without names of options, its command is short.
Settings and secrets come as files below
``components.MOUNTS`` and become environment variables, because Kubeflow repeats all that a pod's description holds six
times in its workflow, which it can show up to 1 MB. kfp's own ``executor_main`` is not used: it loads a module under
its bare name from its own folder, where ``select`` would take the place of the standard library's.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mammogan import components, console, cores, mounted

PATIENCE_S = 600
"""How long a step waits for a server that is away, unless its pod says otherwise: a restart must not cost a run."""


def main(arguments: Sequence[str], mounts: Path = components.MOUNTS) -> int:
    """Run one step; the exit status is 2 where the image or its settings are not those that it needs."""
    parser = argparse.ArgumentParser(prog="python3 -m mammogan.components", allow_abbrev=False)
    for name, described in (
        ("step", "function of the step"),
        ("version", "components.version() of the steps that the pipeline was compiled for"),
        ("executor_input", "what Kubeflow's launcher hands to the step, as JSON"),
    ):
        parser.add_argument(name, help=described)
    given = parser.parse_args(arguments)
    try:
        mounted.read(mounts)
        os.environ.setdefault("MAMMOGAN_PATIENCE_S", str(PATIENCE_S))
        os.environ.setdefault(cores.VARIABLE, str(components.CORES))
        os.environ.setdefault("OMP_NUM_THREADS", str(cores.share()))  # before anything imports PyTorch
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    if refusal := _refusal(given.version):
        print(f"error: {refusal}", file=sys.stderr, flush=True)
        return 2
    _execute(given.step, given.executor_input)
    return 0


def _refusal(version: str) -> str:
    held = components.version()
    if version != held:
        return (
            f"this pipeline was compiled for other steps ({version}) than the image holds ({held}): submit from the "
            "checkout that the image was built of, or build the image anew and give its digest as --image"
        )
    missing = [name for name in components.REQUIRED_SETTINGS if not os.environ.get(name)]
    if missing:
        return (
            f"{missing[0]} is not set: apply k8s/steps in the namespace of the run's pods, "
            "and name its ConfigMap with --pods settings=NAME"
        )
    return ""


def _execute(name: str, executor_input: str) -> None:
    os.environ["_KFP_RUNTIME"] = "true"  # kfp then imports neither its compiler nor its client
    console.configure_step()
    from kfp.dsl.executor import Executor

    function = getattr(importlib.import_module(f"mammogan.components.{name}"), name)
    Executor(executor_input=json.loads(executor_input), function_to_execute=function).execute()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
