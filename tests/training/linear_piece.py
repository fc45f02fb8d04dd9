"""Which linear piece of a network an evaluation lay on, and the same piece again in another precision.

Rounding flips a rectifier whose input is within it of 0, and a maximum whose two largest are that close. Gradients jump
there, by more than the rounding: two precisions can be compared unit by unit on one and the same piece only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

RECTIFIERS = {"relu", "relu_", "leaky_relu"}
MAXIMA = {"_max_pool2d", "max_pool2d", "max_pool2d_with_indices"}


class Recorded(TorchFunctionMode):
    """Notes what every rectifier passed and every maximum took, in the order of evaluation."""

    def __init__(self):
        super().__init__()
        self.passed: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.__name__ in RECTIFIERS:
            self.passed.append(args[0].detach() > 0)
        if func.__name__ in MAXIMA:
            self.passed.append(winners(args[0], *args[1:4]))
        return func(*args, **kwargs)


class Replayed(TorchFunctionMode):
    """Moves each input that lies on another side than noted over to it; ``moved`` are by how much, ``units`` of all."""

    def __init__(self, recorded: Recorded):
        super().__init__()
        self._passed = iter(recorded.passed)
        self.moved: list[float] = []
        self.units = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.__name__ in RECTIFIERS:
            x, passed = args[0], next(self._passed)
            there = torch.where(passed, x.detach().abs().clamp_min(1e-300), -x.detach().abs())
            args = (self._move(x, there, func.__name__.endswith("_")), *args[1:])
        if func.__name__ in MAXIMA:
            x, passed = args[0], next(self._passed)
            args = (self._move(x, raised(x.detach(), passed, *args[1:4]), in_place=False), *args[1:])
        return func(*args, **kwargs)

    def finished(self) -> bool:
        """Whether all that was noted has been used."""
        return next(self._passed, None) is None

    def _move(self, x: Tensor, there: Tensor, in_place: bool) -> Tensor:
        step = there - x.detach()
        self.moved += step[step != 0].abs().tolist()
        self.units += step.numel()
        return x.add_(step) if in_place else x + step


def winners(x: Tensor, *window: int) -> Tensor:
    """Flat position of each maximum."""
    return functional.max_pool2d(x.detach(), *window, return_indices=True)[1]


def raised(x: Tensor, passed: Tensor, *window: int) -> Tensor:
    """X with the noted winners of other maxima raised to just above them."""
    top, now = functional.max_pool2d(x, *window, return_indices=True)
    flat, places = x.flatten(2).clone(), passed.flatten(2)
    lost = ((now != passed) & (top > 0)).flatten(2)
    flat.scatter_(2, places, torch.where(lost, top.flatten(2) * (1 + 1e-12), flat.gather(2, places)))
    return flat.view_as(x)
