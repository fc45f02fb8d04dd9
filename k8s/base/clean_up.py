"""Remove for good what was deleted in MLflow: mlflow gc with its options and the database of the environment.

The command takes that address, which holds a password, on its command line alone; so it is called from here.
"""

import os
import sys

from mlflow.cli import gc

if __name__ == "__main__":
    gc.main([*sys.argv[1:], "--backend-store-uri", os.environ["MLFLOW_BACKEND_STORE_URI"]], standalone_mode=False)
