"""Files that ``torch.save`` wrote, read without running code."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What a whole file may raise too, where the machine is short: no fault of the file."""


def read_saved(file: str | PathLike[str] | IO[bytes], *, mmap: bool = False) -> Any:  # noqa: ANN401  (whatever was saved)
    """Content of a file of tensors and plain values, on the CPU.

    Raises ValueError of one line for any other content, where torch's own error is several and advises to run it, and
    for parts that are compressed, which ``torch.save`` never writes: they may be a thousand times as large. Tensors
    without values, which the device "meta" has, are no content either.
    """
    size = _require_stored(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except OUT_OF_MEMORY as error:
        if _is_short_of(2 * size):
            raise
        raise ValueError("it says that it holds more than it does") from error
    except OSError:
        raise
    except Exception as error:
        raise ValueError("torch cannot read it as tensors and plain values") from error
    if any(tensor.is_meta for tensor in _tensors(content)):
        raise ValueError("it holds tensors without values")
    return content


def _tensors(content: object) -> Iterator[Tensor]:
    """Every tensor in mappings and lists within one another, which may hold themselves."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, Mapping | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, Mapping) else item)


def _is_short_of(size: int) -> bool:
    """Whether this machine has not so many bytes left."""
    try:
        bytearray(size)
    except MemoryError:
        return True
    return False


def _require_stored(file: str | PathLike[str] | IO[bytes]) -> int:
    """Refuse a file with compressed parts; the size of one without, in bytes."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(Path(file).open("rb")) if isinstance(file, str | PathLike) else file
        start = stream.tell()
        packed = _packed(stream)
        size = stream.seek(0, io.SEEK_END) - start
        stream.seek(start)
    if packed:
        raise ValueError("it holds compressed parts, which torch.save does not write")
    return size


def _packed(stream: IO[bytes]) -> list[str]:
    """Names of the compressed parts of a file."""
    try:
        with zipfile.ZipFile(stream) as archive:
            return [item.filename for item in archive.infolist() if item.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):  # an older format, or none: torch says so
        return []


def require_shapes(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a file's weights are others than a network's, or of another shape.

    ``wanted`` may be on the device "meta", where a network takes no memory: what a file says of its network may be
    gigabytes away from the weights that it holds.
    """
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (wanted, given)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        network, file = (side.get(name) for side in shapes)
        if network != file:
            raise ValueError(f"{name} has the shape {file}, in its network {network}")
