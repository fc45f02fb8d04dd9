"""``purge``: remove what runs left of patients' data, here, in a store and in MLflow."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan.commands.options import DryRun, SomeExperiment, Store

if TYPE_CHECKING:
    from mammogan.tracking.purge import Holdings

logger = logging.getLogger(__name__)

app = typer.Typer()

TRASH = (
    "the runs themselves, their numbers and models stay: delete them in MLflow, then `mlflow gc --backend-store-uri "
    "URI --artifacts-destination PLACE` empties its trash; Kubeflow's own store is emptied as docs/patients.md says"
)


@dataclass(frozen=True)
class _Item:
    """Something that can be removed."""

    description: str
    remove: Callable[[], None]


@app.command()
def purge(
    out: Annotated[Path | None, typer.Option(help="Folder of local runs, and what MLflow's file in it holds.")] = None,
    store: Store = "",
    experiment: SomeExperiment = "",
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", help="Pipeline run in MLflow; repeatable; all of the experiment's if none."),
    ] = None,
    mlflow: Annotated[str, typer.Option(help="Server or sqlite:/// file to search; no variable stands for it.")] = "",
    cache: Annotated[bool, typer.Option("--cache", help="Also features of real images in this user's cache.")] = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove for good what is listed.")] = False,
) -> None:
    """List what runs left of patients' data: images, key and index, data sets, pages; with --yes remove it."""
    from mammogan.data.replacement import put_back
    from mammogan.launch import local, remains

    if out is None and not store and not mlflow and not cache:
        raise ValueError("nothing to purge is named: give --out, --store, --mlflow or --cache")
    if dry_run and yes:
        raise ValueError("--dry-run --yes: give one of the two")
    if out:
        remains.require_runs(out, local.DATABASE)
    with local.exclusive(out.resolve()) if out else contextlib.nullcontext():
        if out and yes:
            put_back(out.resolve())
        holdings = _holdings(out, mlflow, experiment, runs or (), keep=not yes)
        items = [*_files(out, store, cache=cache), *_artifacts(holdings)]
        for item in items:
            if yes:
                item.remove()
            logger.info(f"{'removed' if yes else 'would remove'} {item.description}")
    if not items and not holdings.gone:
        logger.info("nothing is left of patients' data there")
    elif items and not yes and not dry_run:
        logger.info("nothing was removed; --yes removes it for good")
    if out or mlflow:
        logger.info(TRASH)
    _require_found(holdings)


def _files(out: Path | None, store: str, *, cache: bool) -> Iterator[_Item]:
    from mammogan.launch import remains

    places = remains.of_folder(out.resolve()) if out else []
    places += remains.of_cache() if cache else []
    places += remains.of_store(store) if store else []
    for place in places:
        yield _Item(f"{place.address} ({place.files} files)", place.remove)


def _holdings(out: Path | None, server: str, experiment: str, runs: Sequence[str], *, keep: bool) -> Holdings:
    """What MLflow keeps: the server that is named, else the database of the folder of runs, which ``keep`` only reads.

    Where that folder was moved, its addresses are to follow before anything is removed.
    """
    from mammogan import tracking
    from mammogan.launch import local
    from mammogan.tracking import purge as artifacts

    if server:
        return artifacts.held(experiment, runs, server)
    own = out.resolve() / local.DATABASE if out else None
    if own is None or not own.is_file():
        return artifacts.Holdings((), ())
    if keep:
        with tracking.followed_copy(own, own.parent / local.ARTIFACTS) as copy:
            return artifacts.held(experiment, runs, tracking.address_of(copy))
    local.follow(own.parent)
    return artifacts.held(experiment, runs, tracking.address_of(own))


def _artifacts(holdings: Holdings) -> Iterator[_Item]:
    from mammogan.tracking import purge as artifacts

    for item in holdings.items:
        description = f"{item.path} of run {item.run_name} ({item.run_id}) in MLflow"
        yield _Item(description, functools.partial(artifacts.remove, [item]))


def _require_found(holdings: Holdings) -> None:
    if holdings.gone:
        raise FileNotFoundError(
            f"artifacts of {len(holdings.gone)} runs are gone from {holdings.gone[0].parent}, and with them what they "
            "hold of patients; where that folder was moved with its whole --out, purge by --out, else restore it first"
        )
