"""Whether synthetic images give away the training images: copies, repetitions, and what an attacker could tell."""

from mammogan.audit.inspection import Reals, audit_dataset, inspect

__all__ = ["Reals", "audit_dataset", "inspect"]
