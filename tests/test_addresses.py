"""Addresses are said without what signs in."""

import json

import pytest

from mammogan.addresses import masked, sign_in_of
from mammogan.commands import options
from mammogan.config import PRESETS, override
from mammogan.features import densenet
from mammogan.launch.arguments import graph_arguments


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
        (
            "https://b.s3.amazonaws.com/w.pth?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F1&X-Amz-Signature=ab",
            "https://b.s3.amazonaws.com/w.pth?***",
        ),
        (
            "cannot fetch 'https://b/w?AWSAccessKeyId=AKIA&Signature=x%3D&Expires=1': 403",
            "cannot fetch 'https://b/w?***': 403",
        ),
        ("https://a.blob.core.windows.net/w?sv=2022&se=2026&sig=geheim", "https://a.blob.core.windows.net/w?***"),
        (
            "https://storage.googleapis.com/w?GoogleAccessId=x&X-Goog-Signature=y",
            "https://storage.googleapis.com/w?***",
        ),
        ("postgresql://db/mlflow?user=me&password=geheim", "postgresql://db/mlflow?***"),
        ("https://me:a@host/x?to%6ben=geheim and http://b/y?page=2", "https://***@host/x?*** and http://b/y?page=2"),
        ("http://host/?#/?access_token=geheim", "http://host/?***"),
        ("https://host/file?download=true", "https://host/file?download=true"),
        ("https://host/my weights.pth?X-Amz-Signature=geheim", "https://host/my weights.pth?***"),
        ("https://host/w.pth#token=geheim", "https://host/w.pth#***"),
        ("https://host/w.pth;sig=geheim", "https://host/w.pth;***"),
        ("https://host/a b?x=1&sig=geheim", "https://host/a b?x=1&***"),
        ("HTTPS:/me:geheim@host/w", "HTTPS:/***@host/w"),
        (
            "http://host/#/experiments/1/runs?viewStateShareKey=1&o=2",
            "http://host/#/experiments/1/runs?viewStateShareKey=1&o=2",
        ),
        ("http://host/#/runs?viewStateShareKey=1&token=geheim", "http://host/#/runs?viewStateShareKey=1&***"),
        ("http://host/#/experiments/1?orderByKey=attributes.start_time",) * 2,
        ("a;signed=yes;size=4 x.csv#author=me, 3 rows; b=1;monkey=2 ?assignee=bob html;session=x label;key=a",) * 2,
        (f"https://me:{'T' * 2700}@host/x", "https://***@host/x"),
        (f"https://{'T' * 2700}@host/x", "https://***@host/x"),
        ("a #token of mine; the key=value pairs", "a #token of mine; the key=value pairs"),
        ("C:/sets:1/x", "C:/sets:1/x"),
        ("http://host/pipeline/#/runs/details/1", "http://host/pipeline/#/runs/details/1"),
        ("", ""),
    ],
)
def test_user_and_password_are_not_reported(text, shown):
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


PRESIGNED = "https://host/weights.pth?X-Amz-Credential=AKIA&X-Amz-Signature=geheim"


def test_settings_are_recorded_without_what_signs_in():
    given = {"model.frozen_weights": PRESIGNED, "model.frozen_sha256": "0" * 64, "train.epochs": 7}
    given |= {"evaluate.lpips_weights": "https://me:geheim@host/l.pth", "evaluate.lpips_sha256": "1" * 64}
    chosen = override(PRESETS["demo"], given)
    public = chosen.public
    assert (public.model.frozen_weights, public.evaluate.lpips_weights) == (
        "https://host/weights.pth?***", "https://***@host/l.pth",
    )  # fmt: skip
    same = override(public, {name: given[name] for name in ("model.frozen_weights", "evaluate.lpips_weights")})
    assert same == chosen


@pytest.mark.parametrize("name", ["source", "labels", "store", "overrides"])
def test_the_graph_takes_no_address_that_signs_in(name):
    given = {"source": "phantom", "labels": "", "store": "", "overrides": {}}
    bad = {"model.frozen_weights": PRESIGNED, "model.frozen_sha256": "0" * 64} if name == "overrides" else PRESIGNED
    arguments = given | {name: bad}
    with pytest.raises(ValueError, match=r"\?\*\*\*': it carries what signs in") as refused:
        graph_arguments("demo", arguments.pop("overrides"), **arguments)
    assert "geheim" not in str(refused.value)


def test_json_output_says_no_signature(capsys):
    options.print_json({"fake": PRESIGNED, "real": "x"})
    assert json.loads(capsys.readouterr().out) == {"fake": "https://host/weights.pth?***", "real": "x"}


def test_frozen_weights_are_named_without_their_query(tmp_path, monkeypatch):
    monkeypatch.setattr(densenet.storage, "fetch", lambda *_: tmp_path / "file")
    monkeypatch.setattr(densenet, "read_trunk", lambda *_: None)
    monkeypatch.setattr(densenet, "FrozenDenseNet", lambda _: None)
    (tmp_path / "file").write_bytes(b"x")
    assert densenet.load_frozen(PRESIGNED, "0" * 64)[1].name == "weights.pth"
    assert densenet.load_frozen("folder/what?.pth")[1].name == "what?.pth"
