"""The page as a reader uses it, in Chromium: from the first page to kappa."""

import json
import stat
import time

import pytest

from mammogan.reader_study import read_answers, score

browser = pytest.importorskip("browser", reason="websocket-client is not installed; make setup brings it")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.CHROMIUM, reason="no Chromium; apt-get install chromium"),
]
READING = "!document.getElementById('reading').hidden"
GREYS = """(() => {
    const canvas = document.getElementById("image");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((_, index) => index % 4 === 0).reduce((sum, grey) => sum + grey, 0) / pixels.length * 4;
})()"""


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def tab(tmp_path, downloads):
    profile = tmp_path / "profile"
    profile.mkdir()
    with browser.browser(profile, downloads) as opened:
        opened.size(1280, 800)
        yield opened
        assert opened.problems == []
        assert {url.partition(":")[0] for url in opened.requests} <= {"file", "blob"}


def begin(tab, page, reader):
    tab.open(page)
    tab.wait("!document.getElementById('start').hidden")
    assert "This page holds images of real patients." in tab.text("#start")
    tab.click("#reader")
    tab.type(reader)
    tab.press("Enter")
    for _ in range(4):
        assert tab.text("#where").startswith("Practice")
        tab.press("r", "1", "Enter")
    assert tab.text("#interlude-title") == "Now the study begins"
    tab.click("#interlude-go")


def saved(downloads, count=1):
    """Files that the browser has finished saving."""
    ends = time.monotonic() + 30
    while len(files := sorted(downloads.glob("answers-*.json"))) < count:
        assert time.monotonic() < ends, "nothing was saved"
        time.sleep(0.05)
    return files


def answer_all(tab, keys, count):
    for number in range(count):
        tab.press(*keys(number), "Enter")


def test_from_the_first_page_to_kappa(tab, study, key, downloads):
    """One reader by keys alone, with a pause and a mistake that is put right; the other by mouse."""
    begin(tab, study.page, "Dr. Ada  Reader")
    assert tab.text("#where") == "Image 1 of 22"
    answer_all(tab, lambda number: ("s" if number % 2 else "r", "4"), 10)
    tab.press("Backspace", "5", "Enter")  # the tenth again: synthetic, now certain
    tab.press("p")
    assert "10 of 22 images are answered" in tab.text("#interlude")
    tab.open(study.page)  # closed and opened again
    tab.wait("document.querySelector('#resumable button') !== null")
    assert tab.text("#resumable button") == "Go on as Dr. Ada Reader: 10 of 22 answered"
    tab.click("#resumable button")
    tab.click("#interlude-go")
    assert tab.text("#where") == "Image 11 of 22"
    answer_all(tab, lambda number: ("r", "2"), 12)
    tab.click("#save")

    begin(tab, study.page, "Bernhard")
    for number in range(22):
        tab.click(f"[data-kind={'real' if number % 3 else 'synthetic'}]")
        tab.click(f"[data-confidence='{number % 5 + 1}']")
        tab.click("#next")
    assert "All images are answered" in tab.text("#done")
    tab.click("#save")
    files = saved(downloads, 2)

    assert [path.name for path in files] == [f"answers-{key.study[:8]}-bernhard.json",
                                             f"answers-{key.study[:8]}-dr-ada-reader.json"]  # fmt: skip
    bernhard, ada = read_answers(files, key)
    assert [item.answer for item in ada.answers[:11]] == ["real", "synthetic"] * 5 + ["real"]
    assert [item.confidence for item in ada.answers[8:11]] == [4, 5, 2]
    assert [item.case for item in ada.answers] != [item.case for item in bernhard.answers]  # each an order of their own
    assert all(0 <= item.seconds < 60 for item in ada.answers)
    result = score(key, [ada, bernhard])
    assert [reader.missing + reader.missing_repeats for reader in result.readers] == [0, 0]
    assert -1 <= result.pooled.agreement.kappa.value < 1
    assert result.readers[0].own_agreement.images == 6


def test_a_saved_file_goes_on_elsewhere(tab, study, key, downloads):
    begin(tab, study.page, "Ada")
    answer_all(tab, lambda number: ("s", "3"), 5)
    tab.press("p")
    tab.click("#interlude-save")
    (part,) = saved(downloads)
    assert stat.S_ISREG(part.stat().st_mode)
    assert len(json.loads(part.read_text())["answers"]) == 5
    tab.evaluate("localStorage.clear()")
    tab.open(study.page)
    assert tab.evaluate("document.querySelector('#resumable button')") is None
    other = downloads / "other.json"
    other.write_text(part.read_text().replace(key.study, "0" * 16))
    field = tab.call("Runtime.evaluate", expression="document.getElementById('continue-file')")["result"]["objectId"]
    tab.call("DOM.setFileInputFiles", files=[str(other)], objectId=field)
    tab.wait("document.getElementById('who-problem').textContent.includes('another study')")
    tab.call("DOM.setFileInputFiles", files=[str(part)], objectId=field)
    tab.wait("!document.getElementById('interlude').hidden")
    assert "5 of 22 images are answered" in tab.text("#interlude")
    tab.click("#interlude-go")
    assert tab.text("#where") == "Image 6 of 22"


def test_zoom_window_and_inversion_change_the_picture_and_each_image_begins_plain(tab, study):
    begin(tab, study.page, "Ada")
    plain = tab.evaluate(GREYS)
    tab.press("i")
    assert tab.evaluate(GREYS) == pytest.approx(255 - plain, abs=1)
    tab.press("0", "ArrowUp", "ArrowUp")
    assert tab.evaluate(GREYS) > plain + 8
    tab.press("0")
    assert tab.evaluate(GREYS) == pytest.approx(plain)
    tab.turn_wheel("#image", -100)
    tab.wait("document.getElementById('zoom').textContent === '120%'")
    tab.press("+")
    assert tab.text("#zoom") == "180%"
    before = tab.evaluate(GREYS)
    tab.drag("#image", 150, 100)
    assert tab.evaluate(GREYS) != before
    tab.drag("#image", 0, -60, button="right")
    assert tab.evaluate("Number(document.getElementById('brightness').value)") == 30
    tab.press("r", "3", "Enter")
    assert (tab.text("#zoom"), tab.evaluate("document.getElementById('brightness').value")) == ("100%", "0")


def test_nothing_can_be_skipped_and_nothing_is_answered_by_chance(tab, study):
    begin(tab, study.page, "Ada")
    tab.press("Enter")
    tab.press("r", "Enter")
    assert tab.text("#where") == "Image 1 of 22"
    assert tab.text("#hint") == "How sure are you?"
    tab.click("[data-kind=synthetic]")
    tab.press("2", "Enter")  # Enter after a click means the next image
    assert tab.text("#where") == "Image 2 of 22"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_all_that_an_answer_needs_is_seen_at_once(tab, study, width, height):
    tab.size(width, height, mobile=width < 500)
    begin(tab, study.page, "Ada")
    boxes = tab.evaluate("""["#image", "#next", "#confidences", "#pause", "#contrast"].map((name) => {
        const box = document.querySelector(name).getBoundingClientRect();
        return [box.left, box.top, box.right, box.bottom];
    })""")
    for left, top, right, bottom in boxes:
        assert -1 <= left < right <= width + 1
        assert -1 <= top < bottom <= height + 1
    assert boxes[0][2] - boxes[0][0] >= min(width, 600) - 1
    assert tab.evaluate("document.documentElement.scrollWidth") == width


def test_the_policy_stops_a_script_that_is_not_the_pages_own(tab, study, tmp_path):
    changed = tmp_path / "changed.html"
    changed.write_text(study.page.read_text().replace("</body>", "<script>document.title = 'stolen'</script></body>"))
    tab.open(changed)
    assert tab.evaluate("document.title").startswith("Reader study")
    (problem,) = tab.problems
    assert "Content Security Policy" in problem
    tab.problems.clear()
