"""What was measured, in the words of the field: metric, images compared, and what counts as good."""

from __future__ import annotations

from mammogan.config import lambda_text
from mammogan.results import Direction, Quantity

ACRONYMS = {"kid": "KID", "fid": "FID", "lpips": "LPIPS", "ms_ssim": "MS-SSIM"}
METRICS = {
    **ACRONYMS,
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
}
PAIRS = {"real_fake": "real–fake", "fake_fake": "fake–fake", "real_real": "real–real"}
AIMS = {
    Direction.LOWER: "lower is better",
    Direction.HIGHER: "higher is better",
    Direction.MATCH_REFERENCE: "best near the reference",
}


def weight(gp_lambda: float) -> str:
    """A gradient-penalty weight, which no line break divides: ``λ = 3``."""
    return f"λ\u00a0=\u00a0{lambda_text(gp_lambda)}"


def title(quantity: Quantity) -> str:
    """The metric's name; its own where it has no other: ``KID``, ``MS-SSIM``."""
    return METRICS.get(quantity.metric, quantity.metric)


def images(quantity: Quantity) -> str:
    """The images that were compared: ``train images``, ``real–fake pairs``."""
    return images_of(quantity.pairing)


def images_of(pairing: str) -> str:
    """As ``images``, of a pairing by itself."""
    return f"{PAIRS[pairing]} pairs" if pairing in PAIRS else f"{pairing} images"
