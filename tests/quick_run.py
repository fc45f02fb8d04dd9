"""The smallest settings with which the whole graph ends well."""

QUICK = {
    "lambdas": "3",
    "data.size": 28,
    "train.epochs": 2,
    "train.snapshot_every": 2,
    "model.generator_channels": 32,
    "model.critic_channels": 4,
    "evaluate.fakes": 8,
    "evaluate.pairs": 16,
    "select.min_diversity": 0,
    "audit.max_duplicates": 1,
    "utility.steps": 2,
    "utility.shares": "1.0",
}
"""One trial on 28 px, two epochs, and gates that these can pass."""
