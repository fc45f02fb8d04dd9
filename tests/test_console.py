"""A log gets plain, few lines; a person gets a bar."""

from mammogan import console


def test_plain_progress_says_little_and_ends_with_the_total(capsys, monkeypatch):
    monkeypatch.setattr(console, "PLAIN_INTERVAL_S", 0.0)
    with console.progress("train", 3, done=1) as advance:
        advance(note="loss 1.5")
        advance()
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[0].startswith("train: 2/3 in 0 s")
    assert lines[0].endswith("loss 1.5")
    assert lines[-1].startswith("train: 3/3")


def test_say_marks_its_lines_for_the_local_runner(capsys, monkeypatch):
    monkeypatch.setenv("MAMMOGAN_SAY_PREFIX", "» ")
    console.say("hello")
    assert capsys.readouterr().err == "» hello\n"
