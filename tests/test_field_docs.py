"""The sentences below dataclass fields, read from the source."""

from dataclasses import dataclass, field

import pytest

from mammogan.config import Config
from mammogan.field_docs import field_docs
from mammogan.launch.pods import Pods


@dataclass(frozen=True)
class Base:
    """Not a field's sentence."""

    first: int = 1
    """The first,
    over two lines."""
    bare: int = 2
    replaced: int = 3
    """Said by the base."""
    commented: int = 4
    # a comment between does not part them
    """Below a comment."""


@dataclass(frozen=True)
class Derived(Base):
    """Inherits."""

    replaced: int = 5
    """Said by the derived class."""
    base: Base = field(default_factory=Base)
    """Of a nested dataclass its fields count."""

    def __post_init__(self):
        """No field."""
        inside: int = 1  # noqa: F841
        """Nor is this."""


def test_sentences_are_joined_inherited_replaced_and_nested():
    own = {"first": "The first, over two lines.", "commented": "Below a comment."}
    assert field_docs(Base) == {**own, "replaced": "Said by the base."}
    nested = {f"base.{name}": sentence for name, sentence in field_docs(Base).items()}
    assert field_docs(Derived) == {**own, "replaced": "Said by the derived class.", **nested}


def test_every_setting_of_the_experiment_and_of_the_pods_has_one():
    assert field_docs(Config).keys() == Config().flat().keys()
    assert {name.split(".")[0] for name in field_docs(Pods)} == set(Pods.__dataclass_fields__)
    for sentence in (*field_docs(Config).values(), *field_docs(Pods).values()):
        assert sentence[0] == sentence[0].upper()
        assert sentence.rstrip(")").endswith((".", "..."))


def test_a_class_without_source_is_an_error():
    namespace = {}
    exec("from dataclasses import dataclass\n@dataclass\nclass Made:\n    x: int = 1\n", namespace)
    with pytest.raises((OSError, TypeError)):
        field_docs(namespace["Made"])
