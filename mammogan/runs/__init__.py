"""A run in hand, for Python and notebooks: what ``import mammogan`` offers, and what the command line is made of.

>>> import mammogan
>>> run = mammogan.run("demo")                          # here; or mammogan.submit(...) on Kubeflow
>>> run.verdict, run.table(), run.plot(), run.samples(), run.link
>>> mammogan.generate("models:/mammogan@champion", 16, seed=0)

MLflow is asked as commands ask it: ``tracking_uri``, else ``$MLFLOW_TRACKING_URI``, else ``runs/mlflow.db``.
"""

from mammogan.runs.generation import generate
from mammogan.runs.pipeline_run import Picture, Run
from mammogan.runs.starting import find, run, submit

__all__ = ["Picture", "Run", "find", "generate", "run", "submit"]
