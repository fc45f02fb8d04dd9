"""How often a test set was looked at, by the runs of a tracking server.

A figure on test images is honest the first time. Whoever changes the settings because of it, and measures again on the
same images, begins to fit them (Dwork et al. 2015, Science 349:636). Nobody can forbid that, so it is counted: each run
that measures on test images carries the digest of the files that they were made from, from before the measurement on,
and the number of such runs stands beside every figure. A run that resumes is one look; one in the trash is one too.
Whatever is told of a look may be told again, after a kill or because an answer was lost, and is the same look.
"""

from __future__ import annotations

import uuid

from mlflow.entities import ViewType

from mammogan.tracking.server import KIND, PARENT, RUN_NAME, client, experiments, find_runs

TEST_SET = "mammogan.test_set"
"""Tag of a run with the digest of the test images that it measured on (``Dataset.source_digest``)."""
EARLIER_TEST_SET = "mammogan.test_set."
"""Before the digest of a test set on which a run measured before it was made anew on other data: name of a tag."""
MEASURED = "measured"
TEST_LOOKS = "mammogan.test_looks"
"""Tag of a run, and of the version that it registered: how often its test set had been looked at, it included."""
LOOK = "look"
"""Kind of a run that stands for a measurement made by hand."""
LOOK_KEY = "mammogan.look_key"
"""Tag of such a run with a number of its own."""


def look(run_id: str, digest: str, tracking_uri: str = "") -> int:
    """Mark a pipeline run as one that measures on that test set; how many have by now, this one included.

    A run that was made anew on other data keeps its look at the earlier test set, as a tag of that set's own.
    """
    mlflow = client(tracking_uri)
    earlier = mlflow.get_run(run_id).data.tags.get(TEST_SET, digest)
    if earlier != digest:
        mlflow.set_tag(run_id, f"{EARLIER_TEST_SET}{earlier}", MEASURED)
    mlflow.set_tag(run_id, TEST_SET, digest)
    return count(digest, tracking_uri)


def look_by_hand(parent_id: str, digest: str, name: str, tracking_uri: str = "") -> int:
    """Leave a run called ``name`` beside the pipeline run ``parent_id`` that stands for a measurement made by hand.

    It has ended when this returns. How many runs have measured on that test set by now, this one included.
    """
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    key = {LOOK_KEY: uuid.uuid4().hex}
    run_id = mlflow.create_run(experiment, tags={RUN_NAME: name, KIND: LOOK, PARENT: parent_id, **key}).info.run_id
    for twin in find_runs(mlflow, [experiment], key):  # made by a first request, whose answer was lost
        if twin.info.run_id != run_id:
            mlflow.delete_run(twin.info.run_id)
    mlflow.set_tag(run_id, TEST_SET, digest)  # of one alone: those in the trash count
    mlflow.set_terminated(run_id, "FINISHED")
    return count(digest, tracking_uri)


def count(digest: str, tracking_uri: str = "") -> int:
    """Runs that measured on that test set, in all experiments; those in the trash have looked too."""
    mlflow = client(tracking_uri)
    everywhere = experiments(mlflow, view=ViewType.ALL)
    looked = [
        run.info.run_id
        for tags in ({TEST_SET: digest}, {f"{EARLIER_TEST_SET}{digest}": MEASURED})
        for run in find_runs(mlflow, everywhere, tags, ViewType.ALL)
    ]
    return len(set(looked))
