"""``reader-study make`` and ``reader-study score``: whether readers tell synthetic from real images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mammogan import codec
from mammogan.commands.options import Class, Json, OneLineErrors, a_seed, label_of, print_json
from mammogan.console import plain

app = typer.Typer()
study = typer.Typer(cls=OneLineErrors, no_args_is_help=True)
app.add_typer(
    study,
    name="reader-study",
    help="Ask readers whether images are real or synthetic, on a blinded page, and score their answers.",
    rich_help_panel="Synthetic images",
)

SHOWS_REALS = "this page holds images of real patients: keep it as you keep their records, never upload or publish it"


@study.command()
def make(
    real: Annotated[Path, typer.Option(help="Data set whose real images are shown, one of each patient.")],
    synthetic: Annotated[Path, typer.Option(help="Folder of synthetic images, or a data set that holds some.")],
    out: Annotated[Path, typer.Option(help="New folder of this machine for reader_study.html and key.json.")],
    kind: Class = "malignant",
    images: Annotated[int, typer.Option(help="Images of each kind, real and synthetic, that are judged.")] = 50,
    repeats: Annotated[int, typer.Option(help="Those of each kind that are shown a second time.")] = 10,
    practice: Annotated[int, typer.Option(help="Images of each kind for practice, which are not judged.")] = 3,
    seed: Annotated[
        int | None, typer.Option(callback=a_seed, help="Chooses the images; never their order, which stays secret.")
    ] = None,
) -> None:
    """Write a blinded page for readers, which works offline, and the key by which their answers are scored."""
    from mammogan import reader_study

    design = reader_study.Design(images, repeats, practice)
    written = reader_study.make(real, synthetic, label_of(kind), out, design, seed)
    print(f"{written.page}: {written.images} images in {written.showings} showings")
    print(f"  {SHOWS_REALS}")
    print(f"{written.key}: which are real; keep it from readers, and keep it: without it no answer can be scored")


@study.command()
def score(
    key: Annotated[Path, typer.Argument(help="key.json that make wrote.")],
    answers: Annotated[list[Path], typer.Argument(help="Files that readers saved from the page, one a reader.")],
    as_json: Json = False,
) -> None:
    """Score readers' answers: accuracy, areas under ROC curves and agreement, with intervals."""
    from mammogan import reader_study
    from mammogan.reader_study import table

    secret = reader_study.read_key(key)
    result = reader_study.score(secret, reader_study.read_answers(answers, secret))
    if as_json:
        print_json(codec.encode(result))
        return
    console = plain(width=table.WIDTH)
    console.print(table.heading(result))
    console.print()
    console.print(table.readers_table(result))
    for note in table.notes(result):
        console.print()
        console.print(note)
