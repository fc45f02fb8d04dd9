"""Before MLflow's server starts: who may sign in, as the Secrets say. Run by its init container, in MLflow's image.

The administrator's and the steps' account are made, and a password that differs is set, so that the Secrets decide. The
steps' account is no administrator: it may do everything with the experiments and models that it makes, and read the
rest. What an MLflow from before its sign-in holds is the steps' too, because nobody else can have made it.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

SETTINGS = {
    "default_permission": "READ",  # of whoever signs in, on what others made
    "auth_cache_ttl_seconds": "60",  # checking a password takes tens of milliseconds; a changed one counts that late
}


def main() -> None:
    """Write the server's settings and bring the accounts in line; the server itself makes none."""
    address = os.environ["MLFLOW_BACKEND_STORE_URI"]
    admin, admin_password = (os.environ[f"MLFLOW_AUTH_ADMIN_{name}"] for name in ("USERNAME", "PASSWORD"))
    steps, steps_password = (os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    if steps == admin:
        raise SystemExit("mammogan-s3 names the administrator's account; give the steps an account of their own")
    write_settings(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]), address, admin)
    held = holdings(address)  # before the accounts' tables: it refuses a database of another MLflow's version

    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # which reads the settings

    accounts = SqlAlchemyStore()
    accounts.init_db(address)
    require(accounts, admin, admin_password, is_admin=True)
    if require(accounts, steps, steps_password, is_admin=False):
        for kind, name in held:
            accounts.grant_user_permission(steps, kind, name, "MANAGE")
        print(f"made the account {steps}, to which {len(held)} experiments and models belong")


def write_settings(path: Path, address: str, admin: str) -> None:
    """The file in which MLflow looks for the accounts' database; no variable can name that."""
    settings = configparser.ConfigParser(interpolation=None)
    # MLflow reads it with interpolation, for which a % of the address stands twice
    settings["mlflow"] = SETTINGS | {"database_uri": address.replace("%", "%%"), "admin_username": admin}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        settings.write(file)


def holdings(address: str) -> list[tuple[str, str]]:
    """Kind and id of every experiment and registered model; the tables are made where the database is empty."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(address, address)
    found, token = [], None
    while token != "":
        page = client.search_experiments(ViewType.ALL, page_token=token)
        found += [("experiment", item.experiment_id) for item in page]
        token = page.token or ""
    token = None
    while token != "":
        models = client.search_registered_models(page_token=token)
        found += [("registered_model", item.name) for item in models]
        token = models.token or ""
    return found


def require(accounts, name: str, password: str, *, is_admin: bool) -> bool:  # noqa: ANN001  (MLflow's store)
    """Make an account, or give it this password and role; whether it was made."""
    if not accounts.has_user(name):
        accounts.create_user(name, password, is_admin=is_admin)
        return True
    if not accounts.authenticate_user(name, password) or accounts.get_user(name).is_admin != is_admin:
        accounts.update_user(name, password, is_admin)
    return False


if __name__ == "__main__":
    main()
