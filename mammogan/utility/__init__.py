"""Whether synthetic images help a classifier that must tell benign from malignant images of new patients."""

from mammogan.utility.blocks import Draw, drawn_by
from mammogan.utility.study import study

__all__ = ["Draw", "drawn_by", "study"]
