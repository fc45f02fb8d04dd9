"""Bring MLflow's database to the schema of this image's MLflow, the accounts' tables too.

MLflow's own commands, called from here because they take the address, which holds a password, on their command line.
"""

import os

from mlflow.db import upgrade
from mlflow.server.auth.db.cli import upgrade as upgrade_accounts

if __name__ == "__main__":
    address = os.environ["MLFLOW_BACKEND_STORE_URI"]
    upgrade.main([address], standalone_mode=False)
    upgrade_accounts.main(["--url", address], standalone_mode=False)
