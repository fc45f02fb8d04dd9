"""Which linear piece of a network an evaluation lay on, and the same piece again in another precision.

Rounding flips a rectifier whose input is within it of 0, and a maximum whose two largest are that close. Gradients jump
there, by more than the rounding: two precisions can be compared weight by weight on one and the same piece only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

RECTIFIERS = {"relu", "relu_", "leaky_relu"}
MAXIMA = {"_max_pool2d", "max_pool2d", "max_pool2d_with_indices", "_max_pool2d_with_indices"}
WINDOW = ("kernel_size", "stride", "padding")


class Recorded(TorchFunctionMode):
    """Notes, in the order of evaluation, what every rectifier passed (bool) and where every maximum was (int64)."""

    def __init__(self):
        super().__init__()
        self.taken: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in RECTIFIERS:
            self.taken.append(args[0].detach() > 0)
        if func.__name__ in MAXIMA:
            self.taken.append(winners(args[0].detach(), window(args, kwargs or {})))
        return func(*args, **(kwargs or {}))


class Replayed(TorchFunctionMode):
    """Moves each input that lies on another side than noted just over to it.

    ``moved`` are by how much, ``units`` the number of all inputs, ``left`` what was noted and is yet to come.
    """

    def __init__(self, taken: list[Tensor]):
        super().__init__()
        self.left = list(taken)
        self.moved: list[float] = []
        self.units = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.__name__ in RECTIFIERS:
            x, passed = args[0], self.left.pop(0)
            there = torch.where(passed, x.detach().abs().clamp_min(1e-300), -x.detach().abs())
            args = (self._move(x, there, func.__name__.endswith("_")), *args[1:])
        if func.__name__ in MAXIMA:
            x, places = args[0], self.left.pop(0)
            args = (self._move(x, raised(x.detach(), places, window(args, kwargs)), in_place=False), *args[1:])
        return func(*args, **kwargs)

    def _move(self, x: Tensor, there: Tensor, in_place: bool) -> Tensor:
        step = there - x.detach()
        self.moved += step[step != 0].abs().tolist()
        self.units += step.numel()
        return x.add_(step) if in_place else x + step


def window(args, kwargs):
    """Kernel, stride and padding of a call, wherever they stand in it."""
    return {**dict(zip(WINDOW, args[1:], strict=False)), **{name: kwargs[name] for name in WINDOW if name in kwargs}}


def winners(x: Tensor, pooling: dict) -> Tensor:
    """Flat position of each maximum."""
    return functional.max_pool2d(x, **pooling, return_indices=True)[1]


def raised(x: Tensor, places: Tensor, pooling: dict) -> Tensor:
    """X with each noted winner that is not the maximum raised to just above it; raises where that does not suffice."""
    for _ in range(5):
        top, now = functional.max_pool2d(x, **pooling, return_indices=True)
        # where nothing is above 0 the rectifier before has closed, and which of the zeros won says nothing
        lost = (now != places) & (top > 0)
        if not lost.any():
            return x
        above = torch.where(lost, top * (1 + 1e-12), -torch.inf).flatten(2)
        x = x.flatten(2).scatter_reduce(2, places.flatten(2), above, "amax").view_as(x)
    raise AssertionError("maxima that are tied with several others")
