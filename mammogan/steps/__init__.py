"""The steps of the graph, one module a node: what its component does, with everything it needs as arguments."""

from mammogan.steps.chosen import Chosen
from mammogan.steps.context import StepContext

__all__ = ["Chosen", "StepContext"]
