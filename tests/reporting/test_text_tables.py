"""Tables on a terminal: within its width, nothing cut off; trials side by side, the winner marked."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_run import COLUMNS, measured, paper_run, winner_result

from mammogan.records import Findings
from mammogan.reporting import runs_table
from mammogan.reporting.measurement_table import measurement_table
from mammogan.reporting.text_table import NARROWEST, TextTable
from mammogan.reporting.trial_table import WINNER, trial_table
from mammogan.results import Omission, Unmeasured

WORDS = st.text("abc=,/ \n", max_size=60)


@given(
    st.integers(1, 7).flatmap(
        lambda count: st.tuples(
            st.tuples(*[WORDS] * count), st.lists(st.tuples(*[WORDS] * count), max_size=4), st.integers(1, count)
        )
    ),
    st.integers(60, 120),
)
def test_no_letter_is_lost_and_no_line_too_long(content, width):
    header, rows, fixed = content
    table = TextTable(header, tuple(rows), fixed=fixed)
    text = table.text(width)
    assert all(len(line) <= width for line in text.splitlines())
    for cell in (letter for row in (header, *rows) for item in row for letter in item if letter.isalnum()):
        assert cell in text
    wanted = sum(letter.isalnum() for row in (header, *rows) for item in row for letter in item)
    assert sum(letter.isalnum() for letter in text) >= wanted


def test_a_long_name_is_folded_and_not_cut():
    name = "kid/" + "x" * 100 + "/train"
    text = TextTable(("metric", "value"), ((name, "1.0"),), fixed=2).text(80)
    assert "".join(line.split()[0] for line in text.splitlines()[2:]) == name
    assert NARROWEST < 80


def test_text_is_folded_between_words_before_a_name_is():
    name, words = "n" * 50, " ".join(["word"] * 10)
    lines = TextTable(("metric", "value"), ((name, words),), fixed=2).text(80).splitlines()
    assert lines[2].startswith(f"{name}  word")
    assert all(len(line) <= 80 for line in lines)


def test_what_is_wider_than_the_screen_goes_on_below_with_its_names():
    header = ("metric", *(f"trial {number:02d} of the run" for number in range(9)))
    text = TextTable(header, (("KID", *(str(number) for number in range(9))),)).text(80)
    parts = text.split("\n\n")
    assert [part.count("trial") for part in parts] == [3, 3, 3]
    assert all(part.startswith("metric") and "\nKID" in part for part in parts)


def test_rows_have_a_cell_below_each_heading():
    with pytest.raises(ValueError, match="has 1 cells below 2 headings"):
        TextTable(("a", "b"), (("1",),))


def test_html_and_markdown_hold_text():
    table = TextTable(("<b>", "|"), (("a\nb", "`x`"),), notes=("<i>",))
    assert table.html() == (
        "<table><thead><tr><th>&lt;b&gt;</th><th>|</th></tr></thead>"
        "<tbody><tr><td>a<br>b</td><td>`x`</td></tr></tbody></table><p>&lt;i&gt;</p>"
    )
    assert table.markdown().splitlines()[2] == "| a<br>b | \\`x\\` |"
    assert table.markdown().splitlines()[0] == "| &lt;b&gt; | \\| |"


@pytest.fixture(scope="module")
def run():
    return paper_run()


def test_trials_are_columns_with_interval_reference_and_the_winner(run):
    table = trial_table([run])
    winner = run.decision.winner.trial.name.replace(",", "\n")
    assert [WINNER in heading for heading in table.header[2:]] == [
        heading.startswith(winner) for heading in table.header[2:]
    ]
    assert sum(WINNER in heading for heading in table.header) == 1
    rows = {row[0].partition("\n")[0]: row for row in table.rows}
    column = table.header.index(next(heading for heading in table.header if WINNER in heading))
    assert rows["KID"][column] == "0.1765\n0.1677 to 0.1853"
    assert rows["KID"][1] == "0.0100"
    assert rows["best epoch"][column] == "1000"
    fid_decides = dataclasses.replace(run.decision.winner, deciding=run.decision.winner.deciding[::-1])
    other = dataclasses.replace(run, decision=dataclasses.replace(run.decision, winner=fid_decides))
    names = [[row[0].partition("\n")[0] for row in trial_table([shown]).rows][1:3] for shown in (run, other)]
    assert names == [["KID", "FID"], ["FID", "KID"]]


def test_the_winners_column_is_the_snapshot_that_was_chosen_and_not_the_lowest(run):
    """A gate may refuse the snapshot with the lowest KID."""
    winner = run.decision.winner
    other = dataclasses.replace(winner, epoch=100)
    refused = dataclasses.replace(run, decision=dataclasses.replace(run.decision, winner=other, candidates=(other,)))
    (chosen,) = [trial for trial in run.trials if trial.trial == winner.trial]
    assert {item.epoch for item in runs_table.best(chosen, run)} == {winner.epoch}
    assert {item.epoch for item in runs_table.best(chosen, refused)} == {100}
    assert [row["epoch"] for _, row in runs_table.compare([refused]).iterrows() if row["seed"] == 0].count(100) == 1


def test_the_winners_figures_on_test_images_stand_in_its_column_alone(run):
    result = winner_result(None, run.decision.winner, looks=2)
    table = trial_table([dataclasses.replace(run, findings=Findings(result=result))])
    (row,) = [row for row in table.rows if row[0].startswith("KID of the winner")]
    assert row[2:] == tuple("0.210\n0.190 to 0.230" if WINNER in heading else "" for heading in table.header[2:])
    assert table.notes == ("this test set has been looked at 2 times",)
    lost = dataclasses.replace(result, unmeasured=Unmeasured.NO_IMAGES, reason="no test image", measurements=())
    table = trial_table([dataclasses.replace(run, findings=Findings(result=lost))])
    assert table.notes == ("not measured on test images: no test image",)


def test_what_was_lost_is_told_below():
    table = trial_table([paper_run(diverged=5.0)])
    assert table.notes == ("lambda=5,seed=0: FAILED: epoch 300: train/penalty is nan",)


def test_two_runs_have_the_names_and_the_settings_in_which_they_differ(run):
    other = dataclasses.replace(
        run,
        name="paper other",
        config=dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, batch_size=7)),
    )
    table = trial_table([run, other])
    assert len(table.header) == 2 + 6
    assert table.header[2].startswith("paper 1b2c3d4e\nlambda=")
    (row,) = [row for row in table.rows if row[0] == "train.batch_size"]
    assert row[2:] == ("16", "16", "16", "7", "7", "7")


def test_a_folders_measurements_stand_below_each_other_within_80_columns():
    items = [measured(100, name, 0.00032 if name == "kid" else 0.5) for name in COLUMNS]
    table = measurement_table(items, [Omission("inception/fid_test", "too few images")])
    lines = table.text(80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split("  ")[0] == "metric"
    assert table.rows[0] == (
        items[0].key, "0.320 (0.304 to 0.336) x 10^-3", "10.000 x 10^-3",
    )  # fmt: skip
    assert lines[-2:] == ["of 407 real and 1000 generated images: all", "left out: inception/fid_test: too few images"]
    assert table.notes[0].startswith("lower is better: kid_train, fid_train")
    others = [*items, dataclasses.replace(items[0], n_real=12)]
    assert measurement_table(others).notes[-1] == "of 12 real and 1000 generated images: kid_train"
    for item in items:
        assert any(line.startswith(item.key) for line in lines), "the name stands whole in its line"


def test_the_longest_measurement_is_one_line_of_80_columns():
    item = measured(100, "lpips_fake_fake", -0.3e-6)
    quantity = dataclasses.replace(item.quantity, extractor="lpips_random")
    item = dataclasses.replace(item, low=-4.4e-6, high=3.8e-6, reference=-2.25e-6, quantity=quantity)
    lines = measurement_table([item]).text(80).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "x 10^" in line] == [measurement_line(item)]


def measurement_line(item):
    key, *cells = measurement_table([item]).rows[0]
    assert len(key) == 35
    return "  ".join([key, *cells])
