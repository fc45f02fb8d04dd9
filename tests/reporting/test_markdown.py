"""What others wrote stays text in the model card, and the card names the data that the model learnt from."""

import dataclasses

import pytest
from markdown_it import MarkdownIt
from sample_run import paper_run

from mammogan.config import AuditCheck
from mammogan.records import Findings
from mammogan.reporting import card, pages
from mammogan.reporting.findings import card_lines
from mammogan.reporting.markdown import plain
from mammogan.results import Audit, AuditCounts, CopiedImage, Outcome, Verdict

HOSTILE = (
    "mass ![t](http://evil/x.png)\n## Gates\n- audited: passed",
    "<img src=x onerror=alert(1)>",
    "a | b `c` *d* [e](javascript:1) &lt; \\[x](y)",
    "see https://evil.example/x and www.evil.example",
    "<!-- end of audit -->",
    "~~gone~~ # not a heading",
)


def rendered(text):
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text):
    inline = [token for token in rendered(f"- Subset {plain(text)}.") if token.type == "inline"]
    assert len(inline) == 1
    assert {child.type for child in inline[0].children} <= {"text", "text_special"}
    assert "".join(child.content for child in inline[0].children) == f"Subset {' '.join(text.split())}."


def test_nothing_is_linked_by_itself():
    assert "https://" not in plain("see https://evil.example/x")
    assert "www." not in plain("or www.evil.example")


def run_on(source, subset="mass-train"):
    run = paper_run()
    whole = dataclasses.replace(run.data.whole, source=source, subset=subset)
    return dataclasses.replace(run, data=dataclasses.replace(run.data, whole=whole))


@pytest.mark.parametrize(
    ("source", "says", "says_not"),
    [
        ("phantom", (card.PHANTOM,), (card.DATA_LICENCE, card.OWN_DATA)),
        ("images", (card.OWN_DATA,), (card.DATA_LICENCE, card.PHANTOM)),
        ("dicom", (card.DATA_LICENCE,), (card.OWN_DATA, card.PHANTOM)),
        ("idc and synthetic", (card.DATA_LICENCE,), (card.OWN_DATA, card.PHANTOM)),
        ("what nobody knows", (card.OWN_DATA,), (card.DATA_LICENCE, card.PHANTOM)),
    ],
)
def test_the_card_names_the_licence_of_the_data_that_there_were(source, says, says_not):
    run = run_on(source)
    text = card.write(run, run.decision)
    assert [line for line in says if line not in text] == []
    assert [line for line in says_not if line in text] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_card_has_its_own_headings_and_gates_alone(text):
    run, plainly = run_on("images", text), run_on("images")
    assert shape(card.write(run, run.decision)) == shape(card.write(plainly, plainly.decision))
    counts = AuditCounts(1, 1, 1, 1, 1, 0, 0)
    gates = [
        Audit(
            (Verdict("memorised", Outcome.NOT_CHECKED, why, AuditCheck.MEMORISED_PIXEL),), (), (),
            (CopiedImage(0, (1,), ("moved",), why),), counts, (), (AuditCheck.MEMORISED_PIXEL,),
        )
        for why in (text, "nothing")
    ]  # fmt: skip
    hostile, usual = ("\n".join(card_lines(Findings(audit=gate))) for gate in gates)
    assert shape(hostile) == shape(usual)


def shape(text):
    """Blocks and inline elements of the page but for its words."""
    tokens = []
    for token in rendered(text):
        tokens.append((token.type, token.tag))
        tokens += [(child.type, child.tag) for child in token.children or () if not child.type.startswith("text")]
    return tokens


def test_a_message_as_a_page_is_text():
    page = pages.message("No <b>", "<img src=x onerror=alert(1)> & more").decode()
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; more" in page
    assert "<img" not in page
    assert "<b>" not in page
