"""Fixtures of the networks."""

from random_networks import one_random_vgg  # noqa: F401
