"""One verdict on the lambdas: the decision, the report and the command say it in the same words."""

import html
import json
import re

from typer.testing import CliRunner

from mammogan import codec, tracking
from mammogan.command_line import app
from mammogan.reporting import report
from mammogan.results import LambdaComparison
from mammogan.selection.comparison import sentence


def test_report_command_and_decision_use_the_same_words(measured_run, tmp_path):
    decision = tracking.read_run(measured_run).decision
    shown = CliRunner().invoke(app, ["compare", measured_run])
    page = html.unescape(re.sub(r"<[^>]+>", "", report.build(tracking.read_run(measured_run), tmp_path).read_text()))
    words = [sentence(item) for item in decision.comparisons]
    assert [text.partition(" (")[0] for text in words] == [
        "lambda=0.5 is better than lambda=3",
        "no significant difference between lambda=0.5 and lambda=5",
        "no significant difference between lambda=3 and lambda=5",
    ]
    for text in [decision.verdict, *words]:
        assert text in shown.stdout
        assert text in page
    answer = json.loads(CliRunner().invoke(app, ["compare", measured_run, "--json"]).stdout)
    assert list(answer["lambdas"]) == [measured_run]
    assert [codec.decode(LambdaComparison, item) for item in answer["lambdas"][measured_run]] == list(
        decision.comparisons
    )
