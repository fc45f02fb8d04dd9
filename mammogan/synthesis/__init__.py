"""Synthetic images that fill up the rare class of a data set, as PNG and, where wanted, as DICOM."""

from mammogan.synthesis.balance import fill
from mammogan.synthesis.draws import draw_images
from mammogan.synthesis.sampling import Model, load_model

__all__ = ["Model", "draw_images", "fill", "load_model"]
