"""The steps after registration as the graph runs them: components, MLflow, the model's card, and the way back."""

import shutil
import subprocess
import sys

import pytest
import torch
from kfp import dsl
from markupsafe import escape
from mlflow import MlflowClient

from mammogan import config, registry, results, storage, tracking
from mammogan.components.audit import audit
from mammogan.components.promote import promote
from mammogan.components.synthesise import synthesise
from mammogan.components.utility import utility
from mammogan.data import manifest
from mammogan.data.minority import filter_minority
from mammogan.features.densenet import load_frozen
from mammogan.models.critic import Critic
from mammogan.models.critic_file import save_critic
from mammogan.models.generator import load_generator, save_snapshot
from mammogan.records import Findings
from mammogan.registry import contents, notes
from mammogan.registry.model import save
from mammogan.registry.versions import ensure_registered_model
from mammogan.reporting import findings
from mammogan.results import AUC_GAIN, MEMORISED, Audit, Utility
from mammogan.selection.gates import audit_summary
from mammogan.steps import Chosen
from mammogan.tracking.findings import read_findings
from mammogan.tracking.relocation import local_path

SETTINGS = {
    "evaluate.extractor": "random", "utility.seeds": 2, "utility.steps": 2, "utility.batch_size": 4,
    "utility.shares": "1", "data.size": 28,
}  # fmt: skip
GIVEN = {"settings": config.settings_text("demo", SETTINGS)}


def version_of(client, snapshot, folder, *, champion=True):
    """Version of the model ``mammogan`` that holds a snapshot."""
    save(snapshot, folder, metadata={})
    ensure_registered_model(client, "mammogan")
    tags = {contents.SNAPSHOT: storage.sha256_of(snapshot)}
    version = str(client.create_model_version("mammogan", str(folder), description="# Card\n", tags=tags).version)
    if champion:
        registry.promote("mammogan", version, "for the test", force=True)
    return version


def chosen(snapshot, folder):
    """What select hands on, with this snapshot as the winner."""
    files = Chosen(folder / "chosen")
    files.folder.mkdir()
    shutil.copyfile(snapshot, files.winner)
    return dsl.Model(uri=str(files.folder))


@pytest.fixture(scope="module")
def released(dataset, snapshot, empty_database, little_code, tmp_path_factory):
    """All three components, one after the other, on a model with a champion before it."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copyfile(empty_database, folder / 'mlflow.db')}")
        tracking.ensure_experiment("mammogan", str(folder / "artifacts"))
        client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        parent = tracking.open_parent("mammogan", "key", config.parse(GIVEN["settings"]), tags={})
        digest = filter_minority(dataset, "malignant", folder / "minority").data_digest
        versions = [version_of(client, snapshot, folder / name) for name in ("first", "second")]
        places = {}
        for name in ("filled", "privacy", "benefit"):
            places[name] = dsl.Dataset(uri=str(folder / name))
        given = {**GIVEN, "version": versions[1], "run": "key"}
        synthesise.python_func(
            **given, dataset=dsl.Dataset(uri=str(dataset)), minority=dsl.Dataset(uri=str(folder / "minority")),
            chosen=chosen(snapshot, folder), filled=places["filled"],
        )  # fmt: skip
        frozen, identity = load_frozen("random")
        torch.manual_seed(0)
        save_critic(
            Critic(28, 4, frozen), Chosen(folder / "chosen").critic,
            frozen_sha256=identity.sha256, data_digest=digest,
        )  # fmt: skip
        handed = dsl.Model(uri=str(folder / "chosen"))
        audit.python_func(**given, filled=places["filled"], chosen=handed, privacy=places["privacy"])
        utility.python_func(**given, filled=places["filled"], benefit=places["benefit"])
        yield folder, client, parent, versions


def test_the_filled_set_is_marked_with_the_registered_version(released):
    folder, _, _, versions = released
    made = manifest.read(folder / "filled").query("source == 'synthetic'")
    assert len(made) == 18
    assert made["image_id"].str.startswith(f"synthetic-mammogan-v{versions[1]}-s0-").all()


@pytest.mark.parametrize("step", ["synthetic", "audit", "utility"])
def test_a_result_that_somebody_wrote_over_is_not_shown(released, step):
    _, client, parent, _ = released
    file = local_path(client.get_run(parent).info.artifact_uri) / "findings" / step / f"{step}.json"
    kept = file.read_text()
    file.write_text(kept.replace(" 0", " 1", 1) if step != "audit" else kept.replace("false", "true", 1))
    assert file.read_text() != kept
    try:
        with pytest.raises(ValueError, match=rf"{step}.json is not the one that the run recorded"):
            read_findings(parent)
        file.unlink()
        with pytest.raises(FileNotFoundError, match=rf"findings/{step}/{step}.json is gone"):
            read_findings(parent)
    finally:
        file.write_text(kept)
    assert read_findings(parent)


def test_mlflow_holds_numbers_files_and_tags_of_the_parent_run(released):
    _, client, parent, _ = released
    run = client.get_run(parent)
    findings = read_findings(parent)
    assert findings.audit.memorised == max(
        item.value for item in findings.audit.measures if item.statistic == "memorised"
    )
    assert findings.utility.auc_gain == findings.utility.tests[0].value
    assert run.data.metrics == {MEMORISED: findings.audit.memorised, AUC_GAIN: findings.utility.auc_gain}
    assert run.data.tags["mammogan.audit"].startswith(("passed", "refused"))
    tables = [client.load_table(run.info.experiment_id, path, [parent]) for path in (
        "findings/audit/audit_table.json", "findings/utility/utility_table.json",
    )]  # fmt: skip
    assert {"memorised", "nearer", "membership by the critic"} <= set(tables[0]["check"])
    assert len(tables[0]) == len(findings.audit.measures)
    assert set(tables[1]["what"]) == {"value", "effect", "test"}
    assert {item.path for item in client.list_artifacts(parent, "findings/utility")} >= {
        "findings/utility/utility.json", "findings/utility/curve.png",
    }  # fmt: skip


def test_the_report_s_section_is_made_from_mlflow_alone(released):
    folder, _, parent, _ = released
    records = read_findings(parent)
    assert records.audit == results.read(Audit, folder / "privacy" / "audit.json")
    assert records.utility == results.read(Utility, folder / "benefit" / "utility.json")
    assert records.utility.counts.synthetic_sets == 2  # the filled set's, and those of the registered generator
    assert set(records.pictures) == {"closest", "effects", "curve", "calibration"}
    counts = records.audit.counts
    assert (counts.fakes, counts.drawn, counts.exact_repeats) == (60, 42, 0)  # another seed than the set's
    html = findings.page("Findings", records).decode()
    assert "42 of them drawn for the audit alone" in html
    for heading in ("Synthetic images", "Do the synthetic images copy?", "Do the synthetic images help a classifier?"):
        assert heading in html


def test_the_model_card_has_each_section_once(released):
    _, client, _, versions = released
    notes.write("mammogan", versions[1], "audit", "passed", "## Privacy\n\nagain")
    text = client.get_model_version("mammogan", versions[1]).description
    assert text.startswith("# Card")
    assert text.count("## Privacy") == text.count("## Utility") == 1
    assert "again" in text


def test_a_section_that_a_person_changed_stays_and_no_card_is_longer_than_the_database_keeps(released):
    """PostgreSQL and MySQL refuse a longer description, which SQLite keeps."""
    _, client, _, versions = released
    before = client.get_model_version("mammogan", versions[1]).description
    theirs = before.replace("## Utility", "## Utility, as Anna sees it")
    client.update_model_version("mammogan", versions[1], theirs)
    notes.write("mammogan", versions[1], "utility", "helps", "## Utility\n\nours")
    assert "as Anna sees it" in client.get_model_version("mammogan", versions[1]).description
    card = notes.described("# Card\n" + "a line\n" * 680)
    client.update_model_version("mammogan", versions[1], card + before)
    for step in ("audit", "winner"):
        notes.write("mammogan", versions[1], step, "passed", f"## {step}\n\n" + "- a check\n" * 900)
    text = client.get_model_version("mammogan", versions[1]).description
    assert len(text) <= 5000
    assert "the rest is in `model_card.md`" in text
    assert "## audit" in text
    assert "## winner" in text
    assert "<!-- end of winner -->" in text
    for theirs in ("Anna: ask me first.\n" * 240, card.replace("# Card", "# Card, as Anna sees it")):
        client.update_model_version("mammogan", versions[1], theirs)
        notes.write("mammogan", versions[1], "winner", "passed", "## Winner\n\n" + "- a check\n" * 100)
        assert theirs.strip() in client.get_model_version("mammogan", versions[1]).description
    client.update_model_version("mammogan", versions[1], before)


def test_a_version_that_the_audit_refused_is_not_promoted(released, tmp_path, dataset, snapshot):
    """A generator whose last layer is scaled to nothing repeats one flat image."""
    folder, client, parent, _ = released
    flat = load_generator(snapshot)
    flat.last.weight.data *= 0
    flat.last.bias.data.fill_(0.3)
    save_snapshot(flat, 1, tmp_path / "flat.pt")
    before = client.get_model_version_by_alias("mammogan", "champion").version
    version = version_of(client, tmp_path / "flat.pt", tmp_path / "model", champion=False)
    given = {**GIVEN, "version": version, "run": "key"}
    filled = dsl.Dataset(uri=str(tmp_path / "filled"))
    synthesise.python_func(
        **given, dataset=dsl.Dataset(uri=str(dataset)), minority=dsl.Dataset(uri=str(folder / "minority")),
        chosen=chosen(tmp_path / "flat.pt", tmp_path), filled=filled,
    )  # fmt: skip
    handed = dsl.Model(uri=str(folder / "chosen"))
    audit.python_func(**given, filled=filled, chosen=handed, privacy=dsl.Artifact(uri=str(tmp_path / "privacy")))
    promote.python_func(**given, minority=dsl.Dataset(uri=str(folder / "minority")))
    assert client.get_model_version_by_alias("mammogan", "champion").version == before
    assert client.get_model_version("mammogan", version).tags["mammogan.audit"].startswith("refused: repeated")
    assert client.get_run(parent).data.tags["mammogan.promotion"].startswith("refused: audited: the audit refused")


def test_a_run_without_findings_has_none(released):
    other = tracking.open_parent("mammogan", "another", config.parse(GIVEN["settings"]), tags={})
    assert read_findings(other) == Findings()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["synthesise", "--model", "{snapshot}", "--count", "3", "--out", "{out}/made"], 0, "3 synthetic malignant"),
        (["synthesise", "--model", "{snapshot}", "--out", "{out}/none"], 2, "synthesise.count=0"),
        (["synthesise", "--model", "{snapshot}", "--class", "mild", "--out", "{out}/x"], 2, "--class='mild'"),
        (
            ["audit", "--dataset", "{dataset}", "--fake", "{dataset}/images", "--out", "{out}/a"],
            1,
            "refused      memorised (pixel): ",
        ),
        (["utility", "--dataset", "{dataset}", "--out", "{out}/u"], 2, "holds no synthetic images"),
        (
            [
                "utility",
                "--dataset",
                "{dataset}",
                "--fake",
                "{dataset}/images",
                "--model",
                "{snapshot}",
                "--out",
                "{out}/u",
                "--set",
                "utility.steps=1",
                "--set",
                "utility.seeds=2",
                "--set",
                "utility.shares=1",
            ],
            0,
            "a small test set, with fewer than 100 patients of a class; 12 of 12 trainings used up",
        ),
    ],
)
def test_commands(dataset, snapshot, tmp_path, arguments, status, words):
    from typer.testing import CliRunner

    from mammogan.command_line import app

    given = [item.format(snapshot=snapshot, dataset=dataset, out=tmp_path) for item in arguments]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == status, done.output
    assert words in done.output


def test_the_audit_says_of_each_gate_and_of_all_what_was_found(dataset, tmp_path):
    from typer.testing import CliRunner

    from mammogan.command_line import app

    given = ["audit", "--dataset", str(dataset), "--fake", str(dataset / "images"), "--out", str(tmp_path)]
    lines = CliRunner().invoke(app, given, catch_exceptions=False).output.splitlines()
    assert "not checked  membership by the critic: no critic was given" in lines
    assert lines[-1].startswith("refused: exact copies, memorised (pixel)")


def test_the_command_line_starts_without_heavy_imports():
    code = (
        "import mammogan.commands.synthetic, sys; print([m for m in ('torch', 'mlflow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_report_holds_the_section(released, tmp_path):
    from mammogan.reporting import report

    _, _, parent, _ = released
    record = tracking.read_run(parent)
    page = report.build(record, tmp_path).read_text()
    for words in (audit_summary(record.findings.audit), record.findings.utility.verdict):
        assert str(escape(words)) in page
    assert record.findings == read_findings(parent)
    for kind, result in ((Audit, record.findings.audit), (Utility, record.findings.utility)):
        assert results.parse(kind, results.document(result), "again") == result
