"""Recurring runs as a file says: what is missing is created, what differs replaced, what is no longer there removed."""

from mammogan.launch.schedule.cron import warning
from mammogan.launch.schedule.entries import File, Schedule, read
from mammogan.launch.schedule.reconciliation import forecast, reconcile

__all__ = ["File", "Schedule", "forecast", "read", "reconcile", "warning"]
