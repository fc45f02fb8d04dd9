"""A person who submits, follows, stops and schedules through a gateway that goes wrong, and what must hold after each.

Kubeflow behind the gateway is the recorded double or a real one; a ``World`` says what is on it, past the gateway.
"""

import random
import time
from collections import Counter
from typing import Protocol

from mammogan import pipeline
from mammogan.launch import following, schedule
from mammogan.launch.following import termination
from mammogan.launch.schedule.entries import File, Schedule
from mammogan.launch.submit import submit

SECRET = "geheim-0123456789"


class World(Protocol):
    """Kubeflow behind the gateway."""

    def names(self):
        """Names of all experiments, of all pipelines and of all versions: three lists."""

    def runs(self):
        """Ids of the runs of this session."""

    def recurring(self):
        """Pairs of each recurring run of this session: its name, and whether it is enabled."""

    def let_end(self, run_id, stopped):
        """Let a run come to an end that is about to be followed, or stopped."""

    def let_all_end(self):
        """Leave nothing in flight that a schedule would have to wait for."""


class Session:
    """One person's commands, chosen at random, each followed by a look past the gateway."""

    def __init__(self, world, server, arguments, pods, seed, longest_s, poll_s):
        self.world, self.server, self.arguments, self.pods = world, server, arguments, pods
        self.rng, self.seed, self.longest_s, self.poll_s = random.Random(seed), seed, longest_s, poll_s
        self.submitted = []

    def act(self, capfd):
        """One command; returns its name and what it raised, in words."""
        command = self.rng.choice([self.submit, self.submit, self.follow, self.stop, self.schedule, self.schedule])
        before, began = set(self.world.runs()), time.monotonic()
        message = ""
        try:
            command()
        except (RuntimeError, ValueError) as error:
            message = str(error)
        assert "\n" not in message, message
        took_s = time.monotonic() - began
        assert took_s < self.longest_s, f"{command.__name__} took {took_s:.0f} s"
        shown = message + "".join(capfd.readouterr())
        assert SECRET not in shown
        assert "Traceback" not in shown
        new = set(self.world.runs()) - before
        assert len(new) <= (command == self.submit), f"{command.__name__} made {len(new)} runs"
        if command == self.submit and not message:
            assert new == {self.submitted[-1]}
        self.never_two()
        return command.__name__, message

    def never_two(self):
        for names in self.world.names():
            assert not [name for name, count in Counter(names).items() if count > 1], names
        entries = Counter(name for name, enabled in self.world.recurring() if enabled)
        assert not [name for name, count in entries.items() if count > 1], entries

    def submit(self):
        self.submitted.append(submit(self.server, pipeline.experiment, self.arguments, self.pods))

    def follow(self):
        if self.submitted:
            run_id = self.rng.choice(self.submitted)
            self.world.let_end(run_id, stopped=False)
            following.follow(self.server, run_id, poll_s=self.poll_s)

    def stop(self):
        if self.submitted:
            run_id = self.rng.choice(self.submitted)
            self.world.let_end(run_id, stopped=True)
            termination.stop(self.server, run_id, poll_s=self.poll_s)

    def schedule(self):
        names = [
            f"{name}-{self.seed}" for name in self.rng.sample(["daily", "weekly", "monthly"], self.rng.randrange(4))
        ]
        file = File(f"imaging-{self.seed}", [self.entry(name) for name in names])
        now = self.rng.random() < 0.5
        self.world.let_all_end()
        schedule.reconcile(self.server, pipeline.experiment, file, now=now, show=lambda _: None)
        present = sorted(name for name, _ in self.world.recurring())
        assert present == sorted(names), (
            "what an earlier command left half done is fixed by one that says it is through"
        )

    def entry(self, name):
        return Schedule(
            name=name,
            cron=self.rng.choice(["0 0 3 * * 1", "0 30 4 1 * *"]),
            source="s3://bucket/cbis",
            labels="s3://bucket/csv",
            store="s3://bucket/store",
            experiment=self.arguments.experiment,
            pods={"image": self.pods.image},
            enabled=self.rng.random() < 0.7,
        )
