"""What a person sees of a run on MLflow's pages: views, notes, colours, links; what a person wrote is left alone."""

import base64
import json
import re
import zlib
from pathlib import Path

import mlflow as mlflow_package
import pytest
from sample_run import grid, rare_class, snapshot_evaluation, training

from mammogan import results, tracking
from mammogan.config import PRESETS, Trial, override
from mammogan.data import summary
from mammogan.results import Quantity
from mammogan.selection.ranking import select
from mammogan.steps import presentation
from mammogan.tracking import authorship, links, notes, saved_view, spool, views
from mammogan.tracking.saved_view import PREFIX, TRIED, Chart, Kind, SavedView, Section
from mammogan.tracking.server import KIND, NOTE, PARENT, REFERENCE_KIND, VERDICT

CONFIG = override(PRESETS["demo"], {"lambdas": "0.5,3"})
NEW_MLFLOW = (
    "MLflow's page is of version {}, saved views were tried on {}: open a run's link in a browser, read the page's "
    "JavaScript where it differs (mammogan/tracking/saved_view.py says where), then raise TRIED"
)


@pytest.fixture(scope="module", autouse=True)
def mlflow(database, tmp_path_factory):
    """Client of a database of the module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", database)
        patch.setenv("MAMMOGAN_SPOOL", str(tmp_path_factory.mktemp("spool")))
        patch.delenv("MLFLOW_UI_URL", raising=False)
        patch.setattr(spool, "SEND_EVERY_S", 0.02)
        patch.setattr("mammogan.tracking.runs.YOUNG_S", 0.0)
        tracking.ensure_experiment("views", str(tmp_path_factory.mktemp("artifacts")))
        yield tracking.client()


def decided(folder, key, kids):
    """A pipeline run with a trial for each lambda, whose KID at epoch 2 is as given, and a decision; its id."""
    parent = tracking.open_parent("views", key, CONFIG, {})
    (folder / "manifest.csv").write_text("image_id\n")
    summary.write(rare_class("d1g357"), str(folder))
    tracking.log_dataset(parent, folder, rare_class("d1g357"))
    (folder / "epoch_0002.png").write_bytes(grid(0, 28))
    evaluations = []
    for gp_lambda, kid in kids.items():
        trial = Trial(gp_lambda, 0)
        with tracking.trial_log(parent, trial, CONFIG, step="train") as log:
            log.metrics(1, {results.WASSERSTEIN: 1.0, "train/penalty": 0.1})
            log.grid(2, folder / "epoch_0002.png")
            log.finish(training(trial))
        evaluated = snapshot_evaluation(trial, 2, kid)
        with tracking.trial_log(parent, trial, CONFIG, step="evaluate") as log:
            log.metrics(2, results.charted(evaluated.measurements))
            log.finish(evaluated)
        evaluations.append(evaluated)
    tracking.log_decision(parent, select(evaluations, CONFIG.select))
    tracking.log_measurements(parent, evaluations)
    presentation.update(parent)
    return parent


@pytest.fixture(scope="module")
def parent(mlflow, tmp_path_factory):
    return decided(tmp_path_factory.mktemp("first"), "first", {0.5: 0.2, 3.0: 0.1})


def experiment(mlflow):
    return mlflow.get_experiment_by_name("views")


def state(tag):
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def children(mlflow, parent):
    found = mlflow.search_runs([experiment(mlflow).experiment_id], f"tags.`{PARENT}` = '{parent}'")
    return {run.info.run_name: run for run in found}


# The page.


def test_mlflows_page_is_the_one_whose_views_were_tried():
    """Its version stands in its own JavaScript, whatever the package's says."""
    bundles = [*Path(mlflow_package.__file__).parent.glob("server/js/build/static/js/main.*.js")]
    assert len(bundles) == 1, NEW_MLFLOW.format("unknown", TRIED)
    (bundle,) = bundles
    script = bundle.read_text()
    found = re.search(r'="(\d+\.\d+\.\d+)",\w+="https://www\.mlflow\.org/docs', script)
    version = found[1] if found else "unknown"
    assert version == TRIED, NEW_MLFLOW.format(version, TRIED)
    view = SavedView("", "", "", True, (), (Section("", (Chart(Kind.LINE, "a/b"), Chart(Kind.IMAGES, "c"))),), "lambda")
    content = json.loads(saved_view.document(view, [], None))
    shown = state(json.dumps(content))
    parts = [name for part in (*shown["compareRunCharts"], *shown["compareRunSections"]) for name in part]
    names = {PREFIX, "viewStateShareKey", "deflate;", *shown, *parts, "groupByKeys", "groupByData", "FIRST_20_RUNS"}
    script += "".join(path.read_text() for path in bundle.parent.glob("*.chunk.js"))
    unknown = sorted(name for name in names if name not in script)
    assert not unknown, f"{unknown}: {NEW_MLFLOW.format(version, TRIED)}"


def test_a_view_shows_what_was_asked_for_and_hides_every_other_metric():
    sections = (Section("Better?", (Chart(Kind.LINE, "x/kid"), Chart(Kind.LOG_LINE, "x/fid"))),)
    view = SavedView("A view", "tags.a = 'b'", "metrics.`x/kid`", True, ("params.`lambda`",), sections, "lambda")
    content = state(saved_view.document(view, ["x/kid", "train/a", "train/b"], None))
    shown = {card["metricKey"]: card["deleted"] for card in content["compareRunCharts"]}
    assert shown == {"x/kid": False, "x/fid": False, "train/a": True, "train/b": True}
    assert [card.get("scaleType") for card in content["compareRunCharts"][:2]] == ["linear", "log"]
    assert content["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "lambda"}]


def test_without_a_view_the_page_begins_with_the_kid_that_decided(mlflow, parent):
    """Whose charts are those of the runs that are not folded into another one, sections in the order of their names."""
    decision = tracking.read_run(parent).decision
    tracking.log_decision(parent, decision)  # as a step does that is tried again
    metrics = mlflow.get_run(parent).data.metrics
    decided_by = {item.key: item.value for item in decision.winner.decided_by()}
    assert metrics.items() >= decided_by.items()
    first = min(metrics).partition("/")[0]
    assert [key for key in metrics if key.startswith(f"{first}/kid_")]
    for key in decided_by:
        assert [point.step for point in mlflow.get_metric_history(parent, key)] == [decision.winner.epoch]


def test_a_view_that_is_too_long_is_refused():
    charts = tuple(Chart(Kind.LINE, f"{number}/{hash(str(number))}") for number in range(1500))
    with pytest.raises(ValueError, match=r"view='v': \d+ characters, MLflow takes 20000"):
        saved_view.document(SavedView("v", "", "", True, (), (Section("s", charts),)), [], None)


# What is saved.


def test_a_run_has_a_view_of_its_own_and_the_latest_has_the_shared_ones(mlflow, parent):
    tags = experiment(mlflow).tags
    names = {tag.removeprefix(PREFIX): json.loads(text)["name"] for tag, text in tags.items() if tag.startswith(PREFIX)}
    assert names.pop("first").startswith("Run demo first")
    assert {key: names[key] for key in views.SHARED} == {
        "latest": "Latest run",
        "lambdas": "Lambdas: mean and range over seeds",
        "samples": "Trials and their samples",
        "retrainings": "Retrainings over time",
    }
    own = state(tags[f"{PREFIX}first"])
    assert f"'{parent}'" in own["searchFilter"]
    assert own["orderByKey"] == f"metrics.`{Quantity('kid', 'inception', 'train').key}`"
    assert own["compareRunCharts"][0]["metricKey"] == Quantity("kid", "inception", "train").key
    assert {card.get("step") for card in own["compareRunCharts"] if card["type"] == "IMAGE"} == {2}
    assert {card["metricKey"] for card in own["compareRunCharts"] if card["deleted"]} >= {"train/penalty"}
    assert own["groupBy"] is None  # one seed: the trials are the lambdas
    assert state(tags[f"{PREFIX}lambdas"])["groupBy"]


def test_an_older_run_that_ends_later_takes_no_shared_view(mlflow, parent, tmp_path):
    later = tracking.open_parent("views", "later", CONFIG, {})
    presentation.update(later)
    assert f"'{later}'" in state(experiment(mlflow).tags[f"{PREFIX}latest"])["searchFilter"]
    presentation.update(parent)
    assert f"'{later}'" in state(experiment(mlflow).tags[f"{PREFIX}latest"])["searchFilter"]
    mlflow.delete_run(later)
    presentation.update(parent)
    tags = experiment(mlflow).tags
    assert f"'{parent}'" in state(tags[f"{PREFIX}latest"])["searchFilter"]
    assert f"{PREFIX}later" not in tags


def test_another_version_of_mlflow_gets_the_plain_link_and_no_view(mlflow, parent, monkeypatch):
    assert views.path("1", "first") == saved_view.address("1", "first")
    monkeypatch.setattr(views, "VERSION", "3.99.0")
    assert views.path("1", "first") == "#/experiments/1/runs"
    other = tracking.open_parent("views", "untried", CONFIG, {})
    presentation.update(other)
    assert f"{PREFIX}untried" not in experiment(mlflow).tags
    assert links.link(other).startswith(
        f"http://127.0.0.1:5000/#/experiments/{experiment(mlflow).experiment_id}/runs ("
    )
    mlflow.delete_run(other)


def test_trials_of_a_lambda_share_a_colour_and_real_images_are_a_grey_line(mlflow, parent):
    runs = children(mlflow, parent)
    colours = {name: run.data.tags["mlflow.runColor"] for name, run in runs.items()}
    assert colours == {"lambda=0.5,seed=0": "#0072B2", "lambda=3,seed=0": "#D55E00", "real against real": "#8a8a8a"}
    again = [snapshot_evaluation(Trial(gp_lambda, 0), 2, kid) for gp_lambda, kid in ((0.5, 0.2), (3.0, 0.1))]
    tracking.log_measurements(parent, again)
    reference = runs["real against real"]
    assert (reference.data.tags[KIND], reference.info.status) == (REFERENCE_KIND, "FINISHED")
    points = mlflow.get_metric_history(reference.info.run_id, "inception/kid_train")
    assert [(point.step, point.value) for point in points] == [(2, 0.01)]
    assert [trial.trial.name for trial in tracking.read_run(parent).trials] == ["lambda=0.5,seed=0", "lambda=3,seed=0"]


def test_a_trial_says_what_it_is_of_which_data_and_whose(mlflow, parent):
    run = children(mlflow, parent)["lambda=3,seed=0"]
    assert (run.data.params["lambda"], run.data.params["seed"]) == ("3", "0")
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["nbia calc-train, malignant"]
    assert {"mlflow.user", "mlflow.source.name"} <= run.data.tags.keys()


def test_intervals_and_references_are_a_table_that_is_written_once(mlflow, parent, tmp_path):
    run = children(mlflow, parent)["lambda=3,seed=0"]
    assert set(run.data.metrics) >= {"inception/kid_train", "inception/fid_train"}
    assert not [key for key in run.data.metrics if key.count("/") != 1]
    for run_id, rows in ((run.info.run_id, 3), (parent, 6)):
        table = mlflow.load_table(mlflow.get_run(run_id).info.experiment_id, "metrics.json", [run_id])
        assert len(table) == rows
        kid = table[(table["metric"] == "inception/kid_train") & (table["trial"] == "lambda=3,seed=0")].iloc[0]
        figures = kid[["value", "low", "high", "real against real"]].tolist()
        assert figures == pytest.approx([0.1, 0.095, 0.105, 0.01])
    assert json.loads(mlflow.get_run(parent).data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "metrics.json", "type": "table"}
    ]


# Notes.


def test_the_experiments_first_line_answers_and_the_runs_description_is_a_table(mlflow, parent):
    first = experiment(mlflow).tags[NOTE].splitlines()[0]
    assert first.startswith("**λ = 3 has the lowest KID")
    assert "one seed is not enough to tell it from λ = 0.5.**" in first
    assert "nbia calc-train, malignant" in first
    assert "In production: nothing." in first
    assert f"({saved_view.address(experiment(mlflow).experiment_id, 'first')})" in first
    description = mlflow.get_run(parent).data.tags[NOTE]
    assert description.startswith("| question | answer |\n|---|---|\n")


def test_the_report_is_linked_once_it_is_there(mlflow, parent, tmp_path):
    """It comes hours after the decision, or never where a run is killed."""
    assert "report.html" not in experiment(mlflow).tags[NOTE] + mlflow.get_run(parent).data.tags[NOTE]
    (tmp_path / "report.html").write_text("<p>A report</p>")
    tracking.log_artifact(parent, tmp_path, tracking.REPORT)
    presentation.update(parent)
    link = f"[Report](#/experiments/{experiment(mlflow).experiment_id}/runs/{parent}/artifacts/report/report.html)"
    assert link in experiment(mlflow).tags[NOTE].splitlines()[0]


def test_what_a_person_wrote_is_never_overwritten(mlflow, parent, tmp_path):
    identity = experiment(mlflow).experiment_id
    trial = children(mlflow, parent)["lambda=3,seed=0"].info.run_id
    own, before = f"{PREFIX}first", experiment(mlflow).tags[f"{PREFIX}first"]
    changed = json.dumps({**json.loads(before), "name": "Anna's"})
    theirs = {own: changed, f"{PREFIX}retrainings": "{}", NOTE: "Ask Anna before you delete."}
    for name, text in theirs.items():
        mlflow.set_experiment_tag(identity, name, text)
    mlflow.set_tag(parent, NOTE, "")
    mlflow.set_tag(trial, "mlflow.runColor", "#123456")
    tracking.open_trial(parent, Trial(3.0, 0), CONFIG)
    presentation.update(parent)
    assert {name: experiment(mlflow).tags[name] for name in theirs} == theirs
    assert mlflow.get_run(parent).data.tags[NOTE] == ""
    assert mlflow.get_run(trial).data.tags["mlflow.runColor"] == "#123456"
    for name in theirs:
        mlflow.delete_experiment_tag(identity, name)
    presentation.update(parent)
    assert "Anna" not in json.dumps(experiment(mlflow).tags)


def test_a_note_of_an_older_run_does_not_replace_that_of_a_later_decision(mlflow, parent):
    later = tracking.open_parent("views", "decides", CONFIG, {VERDICT: "later"})
    before = experiment(mlflow).tags.get(NOTE)
    notes.describe_experiment(parent, "older")
    assert experiment(mlflow).tags.get(NOTE) == before
    mlflow.delete_run(later)


@pytest.mark.parametrize("limit", [60, 200, 5000])
def test_a_sealed_text_fits_and_is_known_again_until_somebody_changes_it(limit):
    text = authorship.sealed("\n".join(f"line {number}" for number in range(400)), limit)
    assert len(text) <= limit
    assert authorship.is_ours(text)
    assert authorship.is_ours(None)
    for theirs in (text + "x", text.replace("line 0", "line zero"), "", "Anna's", text.rpartition("<!--")[0]):
        assert not authorship.is_ours(theirs)


# Links.


@pytest.mark.parametrize(
    ("uri", "address", "command"),
    [
        ("https://anna:secret@mlflow.example.org/", "https://mlflow.example.org", ""),
        ("http://localhost:5000", "http://localhost:5000", ""),
        (
            "http://mlflow.team.svc.cluster.local:5000",
            "http://localhost:5000",
            "kubectl port-forward -n team service/mlflow 5000:5000",
        ),
        ("http://mlflow.team.svc", "http://localhost:8080", "kubectl port-forward -n team service/mlflow 8080:80"),
        ("sqlite:////data/my runs/mlflow.db", "http://127.0.0.1:5000", "mammogan ui --out 'my runs'"),
    ],
)
def test_a_link_comes_with_the_command_that_makes_it_work(uri, address, command, monkeypatch):
    reach = links.reach(uri)
    assert reach.address == address
    assert reach.command.endswith(command)
    assert bool(reach.command) == bool(command)
    monkeypatch.setenv("MLFLOW_UI_URL", "https://ui.example.org/")
    assert links.reach(uri).link("#/x") == "https://ui.example.org/#/x"


def test_the_link_of_a_run_opens_its_view(mlflow, parent, monkeypatch):
    monkeypatch.setenv("MLFLOW_UI_URL", "https://ui.example.org")
    identity = experiment(mlflow).experiment_id
    query = "viewStateShareKey=first&compareRunsMode=CHART&workflowType=machine_learning"
    assert links.link(parent) == f"https://ui.example.org/#/experiments/{identity}/runs?{query}"
