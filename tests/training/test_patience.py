import pytest

from mammogan.training import patience
from mammogan.training.patience import patiently


class Flaky:
    """Fails the first ``failures`` calls."""

    def __init__(self, failures, error):
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.fixture
def slept(monkeypatch):
    pauses = []
    monkeypatch.setattr(patience.time, "sleep", pauses.append)
    return pauses


def test_a_store_that_is_away_for_a_minute_is_waited_for(slept, capsys):
    work = Flaky(6, ConnectionError("refused"))
    assert patiently(work, "s3://bucket/key") == "done"
    assert sum(slept) == 60
    assert capsys.readouterr().err.count("trying again") == 6


def test_a_store_that_stays_away_raises_what_it_said(slept):
    work = Flaky(99, ConnectionError("refused"))
    with pytest.raises(ConnectionError, match="refused"):
        patiently(work, "s3://bucket/key")
    assert work.calls == len(patience.PAUSES_S) + 1


@pytest.mark.parametrize(
    ("uri", "error"),
    [("/disk/key", OSError(28, "No space left on device")), ("s3://bucket/key", FileNotFoundError("no object"))],
)
def test_what_waiting_cannot_mend_is_raised_at_once(slept, uri, error):
    with pytest.raises(type(error)):
        patiently(Flaky(1, error), uri)
    assert slept == []
