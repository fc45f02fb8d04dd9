"""Measuring generated images against real ones: the networks, the measures, a trial's snapshots, two folders."""
