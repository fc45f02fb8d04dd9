"""``probe``: whether the pod around it can do what a step does."""

from __future__ import annotations

from typing import Annotated

import typer

from mammogan import codec, mounted
from mammogan.commands.options import Json, Mounts, Source, Store, print_json
from mammogan.probe import Part, look
from mammogan.probe.finding import ACCELERATOR, MLFLOW, RIGHTS, SOURCE, STORE, Findings

app = typer.Typer()

STORE_S, MLFLOW_S, ACCELERATOR_S, RIGHTS_S = 60.0, 90.0, 120.0, 90.0
"""Limits of the parts, which run at the same time; half a core needs some twenty seconds to import PyTorch."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's client reads these when it asks; a step's own patience is far longer."""


@app.command()
def probe(
    store: Store = "",
    source: Source = "",
    accelerator: Annotated[bool, typer.Option("--accelerator", help="Compute on the accelerator too.")] = False,
    rights: Annotated[bool, typer.Option("--rights", help="Ask what the pod's account may do too.")] = False,
    mounts: Mounts = None,
    as_json: Json = False,
) -> None:
    """Try object store, MLflow and accelerator as a step uses them; exit 1 with what to fix."""
    if mounts is not None:
        mounted.read(mounts)
    findings = look(parts(store, source, accelerator=accelerator, rights=rights))
    if as_json:
        print_json(codec.encode(Findings(findings)))
    else:
        for item in findings:
            print(f"{'ok  ' if item.ok else 'FIX'} {item.what}: {item.said}")
    raise typer.Exit(0 if all(item.ok for item in findings) else 1)


def parts(store: str, source: str = "", *, accelerator: bool, rights: bool) -> list[Part]:
    """What is looked at: store and MLflow always, because what is not tried has not passed."""
    chosen = [
        Part(STORE, _store, (store,), STORE_S, "check AWS_ENDPOINT_URL_S3 and the NetworkPolicies"),
        Part(MLFLOW, _mlflow, (), MLFLOW_S, "check MLFLOW_TRACKING_URI and the NetworkPolicies", IMPATIENT),
    ]
    if source:
        chosen.append(Part(SOURCE, _source, (source,), STORE_S, "check AWS_ENDPOINT_URL_S3 and the NetworkPolicies"))
    if accelerator:
        chosen.append(Part(ACCELERATOR, _accelerator, (), ACCELERATOR_S, "check the node's driver"))
    if rights:
        chosen.append(Part(RIGHTS, _rights, (), RIGHTS_S, "check the NetworkPolicies between pods and Kubernetes' API"))
    return chosen


def _store(store: str) -> str:
    from mammogan.probe.store import probe

    return probe(store)


def _source(source: str) -> str:
    from mammogan.probe.store import probe_source

    return probe_source(source)


def _mlflow() -> str:
    from mammogan.tracking.probe import probe

    return probe()


def _rights() -> str:
    from mammogan.probe.rights import probe

    return probe()


def _accelerator() -> str:
    from mammogan.probe.accelerator import probe

    return probe()
