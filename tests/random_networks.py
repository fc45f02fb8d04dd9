"""The random VGG16, made once a module: its weights are of a fixed seed and frozen, and drawing them takes a while."""

import functools

import pytest

from mammogan.features import extractor


@pytest.fixture(scope="module", autouse=True)
def one_random_vgg():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "random_vgg", functools.cache(extractor.random_vgg))
        yield
