"""Addresses are said without what signs in."""

import pytest

from mammogan.addresses import masked, sign_in_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:geheim@mlflow.example.org/x", "https://***@mlflow.example.org/x"),
        ("postgresql+psycopg2://me:ge%40heim@db:5432/mlflow", "postgresql+psycopg2://***@db:5432/mlflow"),
        ("http://token@host", "http://***@host"),
        ("http://me:a@b@host/x", "http://***@host/x"),
        ("http://us er:geheim@host:1", "http://***@host:1"),
        ("s3://AKIA:gehe im@b/x", "s3://***@b/x"),
        ("http://host:8080 does not answer; write to a@b", "http://host:8080 does not answer; write to a@b"),
        (
            "no answer from https://me:geheim@host/x; and http://a:b@c",
            "no answer from https://***@host/x; and http://***@c",
        ),
        ("https://host/models:/name@champion", "https://host/models:/name@champion"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("https://host?user=a@b", "https://host?user=a@b"),
        ("sqlite:///runs/mlflow.db", "sqlite:///runs/mlflow.db"),
        ("", ""),
    ],
)
def test_user_and_password_are_not_said(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("https://me:ge%40heim@host:5000/x", ("https://host:5000/x", "me", "ge@heim")),
        ("https://host:5000/x", ("https://host:5000/x", "", "")),
        ("http://me@host", ("http://host", "me", "")),
    ],
)
def test_an_address_is_taken_apart(address, parts):
    assert sign_in_of(address) == parts
