"""Files that ``torch.save`` wrote, read without running code."""

from __future__ import annotations

from os import PathLike
from typing import IO, Any

import torch


def read_saved(file: str | PathLike[str] | IO[bytes], *, mmap: bool = False) -> Any:  # noqa: ANN401  (whatever was saved)
    """Content of a file of tensors and plain values, on the CPU.

    Raises ValueError of one line for any other content, where torch's own error is several and advises to run it.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:
        raise ValueError("torch cannot read it as tensors and plain values") from error
