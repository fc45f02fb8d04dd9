"""Networks of random weights, drawn once a module: their seeds are fixed, they are frozen, and drawing takes long."""

import copy
import functools

import pytest

from mammogan.features import densenet, extractor


@pytest.fixture(scope="module", autouse=True)
def one_random_vgg():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "random_vgg", functools.cache(extractor.random_vgg))
        yield


@pytest.fixture(scope="module", autouse=True)
def one_random_frozen():
    """Each gets a copy, because a critic takes it apart."""
    drawn = functools.cache(densenet.random_frozen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(densenet, "random_frozen", lambda: copy.deepcopy(drawn()))
        yield
