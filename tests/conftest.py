"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    """Development data beside the checkout: real mammograms, case CSVs, weights."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip(f"development data is not at {SHARED}")
    return SHARED
