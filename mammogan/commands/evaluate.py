"""``evaluate``: the metrics of generated against real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan import codec
from mammogan.commands import options
from mammogan.config import EXTRACTORS, Config, EvaluateConfig, override
from mammogan.console import width

if TYPE_CHECKING:
    from torch import Tensor

    from mammogan.evaluation.image_sources import Source
    from mammogan.evaluation.snapshots import FolderComparison

app = typer.Typer()

Extractor = Annotated[
    str, typer.Option(help=f"Features: {', '.join(EXTRACTORS)}, an .onnx file or, by sha256, a .ts file.")
]
ExtractorWeights = Annotated[str, typer.Option(help="File of the Inception or RadImageNet weights.")]


@app.command()
def evaluate(
    real: Annotated[Path, typer.Option(help="Real images: a folder, or a data set with its two splits.")],
    fake: Annotated[
        str, typer.Option(help="Generated images: a folder, a filled data set, a snapshot .pt, or models:/NAME@ALIAS.")
    ],
    kind: options.Class = "",
    count: Annotated[int, typer.Option(min=2, help="Images drawn from a snapshot or model.")] = EvaluateConfig.fakes,
    extractor: Extractor = "auto",
    extractor_weights: ExtractorWeights = "",
    lpips_weights: options.LpipsWeights = "",
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Measure KID, FID, LPIPS, MS-SSIM, precision, recall, density and coverage, with references and intervals.

    Of a data set --real takes the real images and --fake the synthetic ones, of both classes unless --class names one;
    a snapshot or model, which knows one class, is compared with the rarer class of the train split.
    """
    from mammogan.evaluation.image_sources import open_source, read_fakes, read_reals
    from mammogan.evaluation.snapshots import evaluate_images

    shortcuts = {
        "evaluate.fakes": count,
        "evaluate.extractor": extractor,
        "evaluate.extractor_weights": extractor_weights,
        "evaluate.lpips_weights": lpips_weights,
    }
    config = override(Config(), options.overrides(settings, shortcuts)).evaluate
    real_source = open_source(real)
    fake_source = None if _is_drawn(fake) else real_source if Path(fake) == real else open_source(Path(fake))
    label = _label(real_source, fake_source, kind)
    reals = read_reals(real_source, label)
    fakes = _draw(fake, config) if fake_source is None else read_fakes(fake_source, label)
    classes, compared = _classes(real_source, fake_source, label), evaluate_images(reals, fakes, config)
    if as_json:
        given = {"real": str(real), "fake": fake, "classes": classes}
        keys = [{"key": item.key} for item in compared.measurements]
        measurements = [{**key, **_encoded(item)} for key, item in zip(keys, compared.measurements, strict=True)]
        options.print_json({**given, **_encoded(compared), "measurements": measurements})
    else:
        _print_table(compared, classes)


def _is_drawn(fake: str) -> bool:
    return fake.startswith("models:/") or fake.endswith(".pt")


def _label(real: Source, fake: Source | None, kind: str) -> int | None:
    """Label to which data sets are restricted: that of ``--class``, or the one that a generator has learnt.

    ``fake`` is None where the images are drawn from a generator.
    """
    from mammogan.data.dataset import Dataset
    from mammogan.data.minority import label_to_synthesise

    if kind and not (isinstance(real, Dataset) or isinstance(fake, Dataset)):
        raise ValueError(f"--class={kind!r}: neither --real nor --fake is a data set with classes; leave it out")
    if kind:
        return options.label_of(kind)
    if fake is None and isinstance(real, Dataset) and len(real.real):
        return label_to_synthesise(real.real)
    return None


def _classes(real: Source, fake: Source | None, label: int | None) -> dict[str, list[str] | None]:
    """Names of the classes on either side; None where no manifest tells them."""
    from mammogan.data.dataset import Dataset

    return {
        "real": real.real.of(label).classes if isinstance(real, Dataset) else None,
        "fake": fake.synthetic.of(label).classes if isinstance(fake, Dataset) else None,
    }


def _draw(generator: str, config: EvaluateConfig) -> Tensor:
    """Images (N, 1, H, W), uint8, of a snapshot or a registered model."""
    if generator.startswith("models:/"):
        import torch

        from mammogan import runs

        return torch.from_numpy(runs.generate(generator, config.fakes, seed=config.seed))[:, None]
    from mammogan.models.generator import load_generator, sample

    return sample(load_generator(Path(generator)), config.fakes, config.seed, config.batch_size)


def _encoded(value: object) -> dict[str, object]:
    content = codec.encode(value)
    assert isinstance(content, dict)
    return content


def _print_table(compared: FolderComparison, classes: Mapping[str, Sequence[str] | None]) -> None:
    from mammogan.reporting.measurement_table import measurement_table

    for side, names in classes.items():
        if names is not None:
            print(f"{side}: {' and '.join(names)}")
    print(measurement_table(compared.measurements, compared.omitted).text(width()))
