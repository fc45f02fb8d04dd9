"""Commands on what an experiment left in MLflow: its models, reports, comparison, lineage and clean-up."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan import codec, mounted
from mammogan.commands.options import (
    RUN,
    DryRun,
    Json,
    ModelAddress,
    Mounts,
    OneRun,
    Patients,
    SomeExperiment,
    StoreUri,
    Why,
    a_seed,
    print_json,
)
from mammogan.console import plain, progress, width, wrapped

if TYPE_CHECKING:
    from rich.tree import Tree

    from mammogan.results import Move
    from mammogan.tracking.lineage import Data, Lineage

logger = logging.getLogger(__name__)

app = typer.Typer()

Model = Annotated[str, typer.Option(help="Registered model's name.")]
SOURCES_SHOWN = 5
TREE_COLUMNS = 240


@app.command()
def generate(
    model: ModelAddress,
    out: Annotated[Path, typer.Option(help="Folder for the PNGs, made if it is missing.")],
    count: Annotated[int, typer.Option(min=1, help="Images to make.")] = 100,
    seed: Annotated[
        int, typer.Option(callback=a_seed, help="Seed of the latents; image i of a seed is always the same.")
    ] = 0,
    truncation: Annotated[float, typer.Option(help="Latents are multiplied by this, above 0 and up to 1.")] = 1.0,
    tracking_uri: StoreUri = "",
) -> None:
    """Write COUNT synthetic images as PNGs, and beside their folder a contact sheet of the first ones."""
    from mammogan import runs, storage
    from mammogan.serving import contact_sheet, png_bytes

    pictures = runs.generate(model, count, seed=seed, truncation=truncation, tracking_uri=tracking_uri)
    with progress("generate", count, unit="images") as advance:
        for index, picture in enumerate(pictures):
            storage.write_bytes(str(out / f"seed{seed}_{index:06d}.png"), png_bytes(picture))
            advance()
    folder = out.resolve()
    sheet = out.with_name(f"{folder.name}_seed{seed}.png") if out.name else folder.with_name(f"{folder.name}.png")
    storage.write_bytes(str(sheet), png_bytes(contact_sheet(pictures)))
    logger.info(f"{count} images of {model} in {out}; the first ones side by side: {sheet}")


@app.command()
def export(
    model: ModelAddress,
    out: Annotated[Path, typer.Option(help="Folder for generator.ts, generator.onnx and exports.json.")],
    tracking_uri: StoreUri = "",
) -> None:
    """Write a registered generator as TorchScript and ONNX, each checked against the original."""
    import tempfile

    from mammogan.registry import exports, snapshot_of

    with tempfile.TemporaryDirectory() as folder:
        errors = exports.export(snapshot_of(model, Path(folder, "model"), tracking_uri), out)
    logger.info(
        f"exported to {out}; worst errors: {', '.join(f'{name} {error:.1g}' for name, error in errors.items())}"
    )


@app.command()
def report(
    run: OneRun = "latest",
    out: Annotated[Path, typer.Option(help="Folder for the page and its pictures.")] = Path("report"),
    tracking_uri: StoreUri = "",
) -> None:
    """Build the report of a run again, from MLflow alone."""
    from mammogan import runs

    logger.info(f"report: {runs.find(run, tracking_uri=tracking_uri).report(out)}")


@app.command()
def claim(
    run: OneRun = "latest",
    out: Annotated[Path, typer.Option(help="Folder for claim.html.")] = Path("claim"),
    as_json: Json = False,
    tracking_uri: StoreUri = "",
) -> None:
    """Fill in the CLAIM 2024 checklist of a run as far as its record goes; the rest is left to the authors."""
    from mammogan import runs
    from mammogan.reporting import claim as checklists

    record = runs.find(run, tracking_uri=tracking_uri).record
    items = checklists.checklist(record)
    if as_json:
        print_json(codec.encode(items))
        return
    page = checklists.build(record, out)
    print(f"{page}: {len(items)} items, {checklists.summary(items)}")


@app.command(name="runs")
def runs_(
    experiment: SomeExperiment = "",
    most: Annotated[int, typer.Option(min=1, help="Runs to list.")] = 20,
    as_json: Json = False,
    tracking_uri: StoreUri = "",
) -> None:
    """List the pipeline runs, the latest first: the names and ids that other commands take."""
    from mammogan import numbers, tracking
    from mammogan.reporting.text_table import TextTable

    listed = tracking.list_runs(tracking_uri, experiment, most)
    if as_json:
        print_json({"runs": [dataclasses.asdict(item) for item in listed]})
        return
    rows = [
        (
            f"{item.name}\n{item.run_id[: tracking.SHORT]}",
            numbers.date(item.started_ms).replace(" ", "\n", 1),
            item.status,
            item.version,
            item.verdict,
        )
        for item in listed
    ]
    print(TextTable(("name and id", "began", "status", "model", "verdict"), tuple(rows), fixed=5).text(width()))


@app.command()
def compare(
    runs: Annotated[list[str] | None, typer.Argument(help=f"Each {RUN}; the latest if none.")] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG to draw: KID and FID over epochs, a line a trial.")] = None,
    as_json: Json = False,
    tracking_uri: StoreUri = "",
) -> None:
    """Show trials side by side, a column each with its best snapshot, and each run's lambdas in blocks by seed."""
    from mammogan import storage
    from mammogan.reporting import figures, runs_table
    from mammogan.reporting.trial_table import trial_table
    from mammogan.runs import find
    from mammogan.selection import comparison

    found = [find(run, tracking_uri=tracking_uri) for run in runs or ("latest",)]
    by_id = {run.run_id: run for run in found}  # two trials of one run are one run
    records = [run.record for run in by_id.values()]
    if plot is not None:
        storage.write_bytes(str(plot), figures.comparison_figure(records))
        logger.info(f"drawn to {plot}")
    comparisons = {record.run_id: comparison.compare_run(record) for record in records}
    if as_json:
        table = runs_table.compare(records)
        print_json({"trials": json.loads(str(table.to_json(orient="records"))), "lambdas": codec.encode(comparisons)})
        return
    print(trial_table(records).text(width()))
    for record in records:
        verdict = record.decision.verdict if record.decision else "no decision was reached"
        print("", *wrapped(f"{record.name} {record.run_id[:8]}: {verdict}"), sep="\n")
        for item in comparisons[record.run_id]:
            print(*wrapped(comparison.sentence(item), first="- ", rest="  "), sep="\n")
        if comparisons[record.run_id]:
            design = comparison.describe_design(comparisons[record.run_id][0].design)
            print(*wrapped(design, first="  ", rest="  "), sep="\n")


@app.command()
def lineage(
    target: Annotated[
        str, typer.Argument(help=f"models:/NAME@ALIAS, data:DIGEST, source:SHA256, source:UID, or a run: {RUN}.")
    ],
    experiment: SomeExperiment = "",
    patients: Patients = "",
    as_json: Json = False,
    tracking_uri: StoreUri = "",
) -> None:
    """Walk from a model to its run, image, code, data and source files, and back."""
    from mammogan import tracking
    from mammogan.data import patients as pseudonyms
    from mammogan.tracking.lineage import lineage as walk

    index = pseudonyms.read_index(patients) if patients else {}
    kind, _, text = target.partition(":")
    if not text:
        target = tracking.find_run(target, tracking_uri, experiment)
    if kind == "source" and any(image.source_uid == text for image in index.values()):
        target = f"source:{pseudonyms.Patients.at(patients).pseudonym('series', text)}"
    ancestry = walk(target, experiment, tracking_uri)
    if as_json:
        print_json(codec.encode(ancestry.named(index)))
    else:
        plain(width=TREE_COLUMNS).print(_tree(ancestry.named(index)))  # narrower, rich would cut off the sha256


def _tree(ancestry: Lineage) -> Tree:
    from rich.tree import Tree

    root = Tree(ancestry.target)
    for item in ancestry.runs:
        run = root.add(f"run {item.run.name} ({item.run.status.lower()}) {item.run.run_id}")
        for model in item.models:
            aliases = "".join(f" @{alias}" for alias in model.aliases)
            run.add(f"model {model.name} version {model.version}{aliases}: {model.trial}, epoch {model.epoch}")
        for trial in item.trials:
            run.add(f"trial {trial.trial} ({trial.status.lower()}) {trial.run_id}")
        run.add(f"image {item.image or 'none: it ran without a container'}")
        dirty = " with uncommitted changes" if item.code.dirty == "true" else ""
        run.add(f"code {item.code.commit or 'unknown'}{dirty}")
        _add_data(run, item.data)
    return root


def _add_data(run: Tree, data: Data) -> None:
    sources = data.sources
    node = run.add(f"data {data.digest or 'none recorded'}: {len(sources)} images")
    for source in sources[:SOURCES_SHOWN]:
        node.add(f"{source.image_id}: {source.source_uid or source.source} sha256 {source.source_sha256}")
    if len(sources) > SOURCES_SHOWN:
        node.add(f"... {len(sources) - SOURCES_SHOWN} more; --json lists them all")


@app.command()
def relocate(
    out: Annotated[Path, typer.Option(help="Folder that was an --out of runs, where it is now.")] = Path("runs"),
) -> None:
    """Make MLflow find the artifacts of a folder of runs that was moved or copied; a run there does the same."""
    from mammogan.launch import local

    moved = local.relocate(out)
    logger.info(f"{out}: {sum(item.addresses for item in moved)} addresses followed")


@app.command()
def ui(
    run: OneRun = "latest",
    out: Annotated[Path | None, typer.Option(help="Folder of runs; runs if none and no MLflow is named.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on this machine; the first free one from 5000 on.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the page's address, open nothing.")] = False,
    tracking_uri: StoreUri = "",
) -> None:
    """Open a run in MLflow: the pages of a server, or of a folder of runs, which are served until they are stopped."""
    from mammogan.launch import ui as pages

    pages.open_run(run, pages.address_of(out, tracking_uri), port, browser=not no_browser)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Model version to make the champion.")],
    why: Why,
    model: Model = "mammogan",
    dataset: Annotated[
        Path | None,
        typer.Option(help="Data set on whose test patients it is measured beside the champion; one look."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Promote although the gate refuses.")] = False,
    tracking_uri: StoreUri = "",
) -> None:
    """Make a version @champion, and the present one @previous, if the gate lets it pass."""
    from mammogan import registry

    contests = registry.contests_of_run(model, version, dataset, tracking_uri) if dataset else ()
    move = registry.promote(model, version, why, force=force, contests=contests, tracking_uri=tracking_uri)
    _tell(model, move, tracking_uri)


@app.command()
def rollback(
    why: Why,
    model: Model = "mammogan",
    tracking_uri: StoreUri = "",
) -> None:
    """Make @previous the champion again."""
    from mammogan import registry

    _tell(model, registry.rollback(model, why, tracking_uri), tracking_uri)


def _tell(model: str, move: Move, tracking_uri: str) -> None:
    from mammogan.steps import presentation

    if not move.moved:
        raise RuntimeError(f"model {model} version {move.version}: {move.why}")
    logger.info(f"{model}@champion is version {move.version}, was {move.before or 'none'}: {move.why}")
    presentation.update_after(model, move.version, tracking_uri)


@app.command()
def janitor(
    experiment: SomeExperiment = "",
    silent_hours: Annotated[float, typer.Option(min=0, help="Longest silence of a living run.")] = 12.0,
    dry_run: DryRun = False,
    mounts: Mounts = None,
    as_json: Json = False,
    tracking_uri: StoreUri = "",
) -> None:
    """End runs that say RUNNING although nothing works on them any more."""
    from mammogan.tracking import janitor as cleaning

    if mounts is not None:
        mounted.read(mounts)
    act = cleaning.dead_runs if dry_run else cleaning.sweep
    dead = act(experiment, silent_hours * 3600, tracking_uri)
    if as_json:
        print_json({"ended": not dry_run, "runs": [dataclasses.asdict(item) for item in dead]})
        return
    for item in dead:
        logger.info(f"{'would end' if dry_run else 'ended'} {item.name} ({item.run_id}): {item.why}")
    logger.info(f"{len(dead)} dead runs in {f'experiment {experiment}' if experiment else 'all experiments'}")
