"""The champion measured once more, where it was measured on other data or otherwise, so that the two can be compared.

New images change the protocol: the figure that the champion was registered with says nothing of them. Its generator is
at hand, so it draws again and is measured as the challenger was.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from mammogan import storage, tracking
from mammogan.config import Config
from mammogan.registry.model import snapshot_of
from mammogan.registry.promotion import CHAMPION, Incumbent, alias_version, candidate_of
from mammogan.results import Candidate, Evaluation, TrialStatus
from mammogan.selection import gates, ranking

logger = logging.getLogger(__name__)


def reevaluate_champion(version: str, dataset: Path, config: Config, tracking_uri: str = "") -> Incumbent | None:
    """The champion measured on ``dataset`` as ``version`` was; None where there is no need, or no way.

    ``dataset`` is the data set folder that the version was measured on, ``config.data.size`` the side of its images. A
    champion that draws images of another size cannot be measured there; any error of the measurement is raised,
    and ValueError where the files of either are not those that were registered.
    """
    client, model = tracking.client(tracking_uri), config.select.model_name
    champion = alias_version(client, model, CHAMPION)
    if champion is None or champion == version:
        return None
    new, old = (candidate_of(model, number, tracking_uri) for number in (version, champion))
    if new is None or old is None or not (difference := gates.protocol_difference(new, old)):
        return None
    from mammogan.models.generator import load_generator  # with PyTorch, which takes seconds; rarely needed

    with tempfile.TemporaryDirectory() as folder:
        snapshot = snapshot_of(f"models:/{model}/{champion}", Path(folder, "model"), tracking_uri)
        side = load_generator(snapshot).size
        if side != config.data.size:
            logger.info(
                f"champion version {champion} cannot be measured again: it draws {side} px, the images have "
                f"{config.data.size}"
            )
            return None
        logger.info(f"champion version {champion} is measured again: {difference}")
        measured = _measure(snapshot, old, new.data_digest, dataset, config)
    return Incumbent(champion, measured[0]) if measured else None


def _measure(snapshot: Path, known: Candidate, data_digest: str, dataset: Path, config: Config) -> list[Candidate]:
    """Candidates of a trial that has the registered snapshot and no other."""
    from mammogan.evaluation.snapshots import evaluate_snapshots

    begun = Evaluation(
        gp_lambda=known.gp_lambda,
        seed=known.seed,
        status=TrialStatus.FINISHED,
        data_digest=data_digest,
        train_s=known.train_s,
    )
    with tempfile.TemporaryDirectory() as folder:
        by_epoch, out = Path(folder, f"epoch_{known.epoch:04d}.pt"), Path(folder, "evaluation")
        storage.write_bytes(str(by_epoch), snapshot.read_bytes())
        measured = evaluate_snapshots(begun, [by_epoch], dataset, config.evaluate, out, lambda *_: None)
    candidates, _ = ranking.candidates_of([measured], config.select)
    return candidates
