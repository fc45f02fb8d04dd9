"""A run on Kubeflow by what a person calls it: ``latest``, its name, or the beginning of its id."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from mammogan.launch.submit import find_pipeline

if TYPE_CHECKING:
    import kfp_server_api

    from mammogan.launch.server import Server

logger = logging.getLogger(__name__)

LATEST = "latest"
"""Stands for the run of this graph that began last."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def find_run(server: Server, name: str) -> str:
    """Id of the run of this graph that ``name`` means, which is told; a whole id is taken as it is.

    So is what no run of this graph is called: whoever asks for it says that there is none. Raises ValueError where
    several are meant, and for ``latest`` where there is no run.
    """
    if _ID.fullmatch(name):
        return name
    runs = _of_this_graph(server)
    if name == LATEST:
        if not runs:
            raise ValueError(f"RUN_ID={name!r}: Kubeflow has no run of this graph yet")
        found = [max(runs, key=lambda run: run.created_at)]
    else:
        found = [run for run in runs if run.display_name == name] or [
            run for run in runs if name and run.run_id.startswith(name)
        ]
    if len(found) > 1:
        listed = ", ".join(f"{run.display_name} ({run.run_id})" for run in found)
        raise ValueError(f"RUN_ID={name!r}: {len(found)} runs are meant: {listed}; give more of the id")
    if not found:
        return name
    logger.info(f"{name} is run {found[0].run_id}, {found[0].display_name}")
    return found[0].run_id


def _of_this_graph(server: Server) -> list[kfp_server_api.V2beta1Run]:
    from mammogan.pipeline import experiment

    pipeline_id = find_pipeline(server, experiment.name)
    listed = server.all_items("list runs", server.runs.run_service_list_runs, "runs", **server.scope())
    return [
        run
        for run in listed
        if run.pipeline_version_reference and run.pipeline_version_reference.pipeline_id == pipeline_id
    ]
