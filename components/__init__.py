"""The Kubeflow skin: one thin component a module, each a call into the library."""

import functools

from kfp import dsl

IMAGE = "python:3.11"
"""Stands in for the project's image, which ``compile`` fills in; the local runner needs none."""

step = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
"""Decorator of every component: the image holds kfp and the library, so nothing is installed at run time."""
