"""Whether synthetic images give away the training images: copies, repetitions, and what an attacker could tell."""

from mammogan.audit.critic_scores import Reals
from mammogan.audit.inspection import audit_dataset, inspect

__all__ = ["Reals", "audit_dataset", "inspect"]
