"""Whether readers tell synthetic from real images: the blinded page that they answer on, and what the answers show."""

from mammogan.reader_study.answers import read_answers
from mammogan.reader_study.assembly import Design, make
from mammogan.reader_study.key import read_key
from mammogan.reader_study.scoring import Score, score

__all__ = ["Design", "Score", "make", "read_answers", "read_key", "score"]
