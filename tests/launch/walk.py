"""Kubeflow's part, played: run the steps of a compiled pipeline in order, each by its own command.

The commands and their executor input are those that Kubeflow's launcher gives to a pod; what runs them is the real
``kfp.dsl.executor_main``. ``run`` starts one command, in this environment or inside an image.
"""

import json
import re

BEFORE = ("start", "ingest", "filter-minority")
AFTER = ("evaluate-winner", "register", "synthesise", "audit", "promote", "utility", "finish")
ORDER = (*BEFORE, "train", "evaluate", "select", *AFTER)


class Walk:
    """One run of the graph. ``uri`` is the artifacts' root as the executor sees it, ``folder`` where that is here."""

    def __init__(self, graph, parameters, uri, folder, run):
        self.graph, self.uri, self.folder, self.run = graph, uri, folder, run
        self.parameters = {
            name: definition.get("defaultValue")
            for name, definition in graph["root"]["inputDefinitions"]["parameters"].items()
        } | parameters
        self.artifacts = {}
        self.outputs = {}

    def step(self, name, **more):
        """Run one step; its outputs are inputs of those that follow."""
        component = self.graph["components"][f"comp-{name}"]
        given = self.executor_input(name, component, more)
        container = self.graph["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        fill = json.dumps(given)
        command = [*container["command"], *(fill if item == "{{$}}" else item for item in container["args"])]
        self.run(name, command)
        output = self.folder / name / "executor_output.json"
        result = json.loads(output.read_text()) if output.is_file() else {}
        self.outputs[name] = result.get("parameterValues", {}).get("Output")

    def executor_input(self, name, component, more):
        """What the launcher passes: values, and artifacts with their addresses."""
        inputs, outputs = component.get("inputDefinitions", {}), component.get("outputDefinitions", {})
        (self.folder / name).mkdir()
        artifacts = {key: self.artifact(name, key, kind) for key, kind in outputs.get("artifacts", {}).items()}
        self.artifacts |= artifacts
        wanted = {key: self.value(key, more) for key in inputs.get("parameters", {})}
        return {
            "inputs": {
                "parameterValues": {key: value for key, value in wanted.items() if value is not None},
                "artifacts": {key: {"artifacts": self.artifacts_of(key)} for key in inputs.get("artifacts", {})},
            },
            "outputs": {
                "parameters": {key: {"outputFile": self.path(name, key)} for key in outputs.get("parameters", {})},
                "artifacts": {key: {"artifacts": [item]} for key, item in artifacts.items()},
                "outputFile": self.path(name, "executor_output.json"),
            },
        }

    def value(self, key, more):
        known = {**self.parameters, "run": "walk-1", "version": self.outputs.get("register"), **more}
        return known.get(key)

    def artifacts_of(self, key):
        """An artifact by its name; the plural is the one of each trial."""
        key = {"evaluations": "evaluation"}.get(key, key)
        return [self.artifacts[key]]

    def artifact(self, step, key, kind):
        return {"name": key, "type": kind["artifactType"], "uri": f"{self.uri}/{step}/{key}", "metadata": {}}

    def path(self, step, key):
        """Local path of an address, by the executor's own rule: minio://bucket is /minio/bucket."""
        return re.sub(r"^(minio|s3|gs)://", lambda match: f"/{match[1]}/", f"{self.uri}/{step}/{key}")

    def all_steps(self, trial):
        """Every step of one trial, in the order of the graph."""
        status = {
            "state": "RUNNING",
            "error": {},
            "pipelineJobResourceName": "walk",
            "pipelineTaskName": "experiment",
        }
        for name in ORDER:
            self.step(name, trial=trial, status=status)
