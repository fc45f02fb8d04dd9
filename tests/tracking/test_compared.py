"""One verdict on the lambdas: the decision, the report and the command say it in the same words."""

import html
import json
import re

import pytest
from sample_run import snapshot_evaluation
from typer.testing import CliRunner

from mammogan import codec, tracking
from mammogan.command_line import app
from mammogan.config import override, resolve
from mammogan.reporting import report
from mammogan.results import LambdaComparison
from mammogan.selection.comparison import sentence
from mammogan.selection.ranking import select

CONFIG = override(resolve("demo"), {"lambdas": "0.5,3,5", "seeds": "0,1"})
KID = {0.5: (0.1, 0.2), 3.0: (0.2, 0.3), 5.0: (0.165, 0.235)}


@pytest.fixture(scope="module")
def run(database, tmp_path_factory):
    """A run of three lambdas with two seeds each, and its decision."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", database)
        patch.setenv("MAMMOGAN_SPOOL", str(folder / "spool"))
        tracking.ensure_experiment("mammogan", str(folder / "artifacts"))
        parent = tracking.open_parent("mammogan", "key", CONFIG, {})
        evaluations = []
        for trial in CONFIG.trials:
            evaluations.append(snapshot_evaluation(trial, 1, KID[trial.gp_lambda][trial.seed]))
            with tracking.trial_log(parent, trial, CONFIG, step="evaluate") as log:
                log.finish(evaluations[-1])
        tracking.log_decision(parent, select(evaluations, CONFIG.select))
        yield parent


def test_report_command_and_decision_use_the_same_words(run, tmp_path):
    decision = tracking.read_run(run).decision
    shown = CliRunner().invoke(app, ["compare", run])
    page = html.unescape(re.sub(r"<[^>]+>", "", report.build(tracking.read_run(run), tmp_path).read_text()))
    words = [sentence(item) for item in decision.comparisons]
    assert [text.partition(" (")[0] for text in words] == [
        "lambda=0.5 is better than lambda=3",
        "no significant difference between lambda=0.5 and lambda=5",
        "no significant difference between lambda=3 and lambda=5",
    ]
    for text in [decision.verdict, *words]:
        assert text in shown.stdout
        assert text in page
    answer = json.loads(CliRunner().invoke(app, ["compare", run, "--json"]).stdout)
    assert list(answer["lambdas"]) == [run]
    assert [codec.decode(LambdaComparison, item) for item in answer["lambdas"][run]] == list(decision.comparisons)
