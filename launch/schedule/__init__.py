"""Recurring runs as a file says: what is missing is created, what differs replaced, what is no longer there removed."""

from launch.schedule.cron import warning
from launch.schedule.entries import File, Schedule, read
from launch.schedule.reconciliation import forecast, reconcile

__all__ = ["File", "Schedule", "forecast", "read", "reconcile", "warning"]
