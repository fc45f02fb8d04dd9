"""Whether a pod can do what a step does: write to the object store, write to MLflow, compute on the accelerator.

Each part runs in a process of its own with a time limit, so that nothing hangs, and does not wait for servers that are
away as a step does. A part that could not be tried has not passed.
"""

from mammogan.probe.finding import Finding
from mammogan.probe.part import Part, look

__all__ = ["Finding", "Part", "look"]
