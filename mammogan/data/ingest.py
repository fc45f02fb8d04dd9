"""Ingest: from a source of mammograms to a data set that is complete or absent.

Finished images gather in a work folder that outlives an interruption and in a store that outlives the machine, so
running again does only what is missing.
The pixels and the digest depend on the source's content and the settings alone.
"""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import shutil
import signal
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan import console, cores, lock, storage
from mammogan.config import DataConfig, digest
from mammogan.data import manifest, quarantine, sources, split, summary, worker
from mammogan.data.duplicates import without_duplicates
from mammogan.data.finished import Finished, FinishedImage, sweep
from mammogan.data.patients import Patients, hidden_rows
from mammogan.data.quarantine import RejectedImage
from mammogan.data.replacement import replaced_folder
from mammogan.data.sources import Job, Located
from mammogan.data.summary import Sides, Summary

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

PIXEL_SETTINGS = ("images", "size", "fit", "intensity", "region", "orientation", "window")
"""Fields of DataConfig on which a finished image depends."""
FORMAT = 5
"""Raised when the same settings give other pixels than before, or refuse what they made."""
CORES_PER_PROCESS = 4
"""Cores that the threads of one process keep busy before Python's lock holds them back."""
JOBS_PER_PROCESS = 128
"""Fewer images than this are not worth a process of their own, which takes a second to start."""
BATCH = 32
"""Images that a process takes at a time."""


def ingest(
    source: str,
    labels: str,
    config: DataConfig,
    out: Path,
    work: Path | None = None,
    workers: int = 0,
    store: str = "",
    patients: Patients | None = None,
) -> Summary:
    """Make the data set ``out`` from ``source`` and the case CSVs in ``labels``, and return its summary.

    ``source`` is in one of the layouts of ``sources``, or ``phantom``. ``work`` keeps finished images across
    attempts; left out, a hidden folder beside ``out`` does, and goes when ``out`` is complete. ``workers`` is the
    number of cores to use, 0 for all that suit the work. Below ``store/images``, a folder's or an ``s3://`` address,
    each finished image is kept for other machines, which read only the others from the same source; the data set is
    the same without. With ``patients`` it names nobody: pseudonyms stand for all that may tell whose an image is, and
    what they mean is kept beside their key. Raises ValueError for input that cannot be used as a whole, OSError for a
    source or store that cannot be reached, RuntimeError when more than ``config.max_bad`` of the images are bad; the
    good ones then stay; and where ``work`` is left out, while another process writes ``out``.
    """
    _check_out(out)
    with lock.out_folder(out) if work is None else contextlib.nullcontext():  # which would remove it from under us
        return _ingested(source, labels, config, out, work, workers, store, patients)


def _ingested(
    source: str,
    labels: str,
    config: DataConfig,
    out: Path,
    work: Path | None,
    workers: int,
    store: str,
    patients: Patients | None,
) -> Summary:
    kept = work or out.parent / f".{out.name}.work"
    images = _finished_images(kept, store, config)
    folder = _phantom(kept) if source == "phantom" else source
    located = sources.locate(folder, labels if source != "phantom" else "", config)
    finished, bad = _make_images(located, config, images, workers)
    if (lost := _lost(located, len(finished), config)) is not None:
        table = _set_aside(bad, kept, patients)
        raise RuntimeError(
            f"data.max_bad={config.max_bad:g}: {lost} of {located.expected} images cannot be used; see {table}, fix "
            "them or raise the share, and run again: the good ones are kept"
        )
    kind = "phantom" if source == "phantom" else located.kind
    try:
        written = _publish(finished, bad, config, images.folder, out, kind, patients)
    except ValueError as error:  # the split refuses what is left
        set_aside = f" ({len(bad)} rows are set aside in {_set_aside(bad, kept, patients)})" if bad else ""
        raise ValueError(f"{error}{set_aside}") from error
    _tell(written, out, patients)
    if work is None:
        shutil.rmtree(kept)
    return written


def _set_aside(bad: list[RejectedImage], folder: Path, patients: Patients | None) -> str:
    """Write what cannot be used, in full, where it stays with the data; returns the table's address."""
    return patients.quarantine(bad) if patients else quarantine.write(bad, folder)


def _check_out(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / summary.FILE).is_file():
        raise ValueError(f"out={str(out)!r}: the folder holds something else than a data set; choose another")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out={str(out)!r}: a file stands there; choose another folder")


def _finished_images(work: Path, store: str, config: DataConfig) -> Finished:
    pixels = digest([FORMAT, *(getattr(config, name) for name in PIXEL_SETTINGS)])
    images = Finished(work / pixels, storage.join(store, "images", pixels) if store else "")
    images.folder.mkdir(parents=True, exist_ok=True)
    sweep(work)
    return images


def _phantom(work: Path) -> str:
    from mammogan.data import phantom

    folder = work / "phantom"
    if not folder.is_dir():
        with replaced_folder(folder) as part:
            phantom.write_phantom(part)
    return str(folder)


def _make_images(
    located: Located, config: DataConfig, images: Finished, workers: int
) -> tuple[list[FinishedImage], list[RejectedImage]]:
    """Every image that could be made, by earlier attempts or now, and what could not."""
    jobs = sources.listed(located.jobs)
    finished, todo = images.restore(jobs)
    bad = list(located.bad)
    doubted = {job.spec.image_id for job in jobs if job.spec.doubt}
    start = time.monotonic()
    with console.progress("ingest", len(jobs), done=len(finished), unit="images") as advance:
        results = _results(todo, config, images, workers or _suitable_workers(len(todo)))
        for number, result in enumerate(results, start=1):
            if isinstance(result, FinishedImage):
                finished.append(result)
            elif result.image_id not in doubted:  # whose rows stand there already
                bad.append(result)
            advance(note=f"{number / max(time.monotonic() - start, 1e-9):.1f} images/s")
    kept, twice = without_duplicates(finished)
    return kept, bad + twice


def _suitable_workers(jobs: int) -> int:
    return min(cores.share(), CORES_PER_PROCESS * max(1, jobs // JOBS_PER_PROCESS))


def _results(
    jobs: list[Job], config: DataConfig, images: Finished, workers: int
) -> Iterator[FinishedImage | RejectedImage]:
    """Result of each job, at most two batches a process under way, so memory stays flat."""
    if workers <= CORES_PER_PROCESS:
        yield from worker.finish_each(jobs, config, images, workers)
        return
    processes = math.ceil(workers / CORES_PER_PROCESS)
    cores = math.ceil(workers / processes)
    batches = (jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH))
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's and MLflow's threads
    try:
        stop = context.Event()
    except OSError as error:
        raise OSError(
            f"workers={workers}: this machine lets processes share nothing ({error.strerror}; is /dev/shm there?); "
            f"run again with at most {CORES_PER_PROCESS} workers"
        ) from error
    pool = ProcessPoolExecutor(processes, context, initializer=worker.prepare, initargs=(stop,))
    running: deque[Future[list[FinishedImage | RejectedImage]]] = deque()
    try:
        while True:
            with _interrupts_held():
                wanted = islice(batches, 2 * processes - len(running))
                running.extend(pool.submit(worker.finish_batch, batch, config, images, cores) for batch in wanted)
            if not running:
                return
            yield from running.popleft().result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"workers={workers}: a worker process died, perhaps out of memory; run again with fewer workers "
            "(a script of your own must call ingest below `if __name__ == '__main__':`)"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Generator[None]:
    """Ctrl-C waits until the block ends; a process started in it never gets one, not even while it still imports."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lost(located: Located, finished: int, config: DataConfig) -> int | None:
    """Images that are lost, where these are too many. Raises ValueError where none was asked for."""
    if not located.expected and located.kind == "images":
        raise ValueError(f"source: its {manifest.FILE} has a header and no row below it; add one for each image")
    if not located.expected:
        raise ValueError(
            f"source: a {located.kind} source without a single row of data.subset={config.subset}; add some"
        )
    lost = located.expected - finished
    return None if finished and lost <= config.max_bad * located.expected else lost


def _tell(result: Summary, out: Path, patients: Patients | None) -> None:
    """What a person should look at; who it is stands in the files alone."""
    if result.quarantined:
        place = storage.join(patients.home if patients else str(out), quarantine.FILE)
        logger.info(f"{result.quarantined} rows set aside in {place}")
    if result.burned_in:
        logger.warning(
            f"{len(result.burned_in)} images say that text is burnt into them (BurnedInAnnotation); {summary.FILE} in "
            f"{out} names them: look at them before anybody else does"
        )


def _publish(
    images: list[FinishedImage],
    bad: list[RejectedImage],
    config: DataConfig,
    cache: Path,
    out: Path,
    kind: str,
    patients: Patients | None,
) -> Summary:
    import pandas as pd

    frame = pd.DataFrame([image.cells() for image in images]).sort_values("image_id", ignore_index=True)
    given = split.is_given(frame)
    frame["split"] = split.assign(frame, config)
    shown = patients.hidden(frame) if patients else frame
    result = _summary(shown, images, bad, config, kind, split.describe(frame, given=given))
    if patients:
        patients.keep(frame, shown, result.data_digest)
        _set_aside(bad, out, patients)
    with replaced_folder(out) as part:
        (part / "images").mkdir()
        with storage.named(cache):
            for image_id, file in zip(frame["image_id"], shown["file"], strict=True):
                shutil.copyfile(cache / f"{image_id}.png", part / file)
        manifest.write(shown, part)
        quarantine.write(hidden_rows(bad) if patients else bad, part)
        summary.write(result, str(part))
    return result


def _summary(
    frame: pd.DataFrame,
    images: list[FinishedImage],
    bad: list[RejectedImage],
    config: DataConfig,
    kind: str,
    sides: Sides,
) -> Summary:
    """What the rows of a manifest say, ``images`` being those of its rows, by the name in the source."""
    ordered = sorted(images, key=lambda image: image.spec.image_id)
    return Summary(
        **vars(split.count(frame)),
        source=kind,
        subset="+".join(sorted(set(frame["subset"]))),
        splits=sides,
        data_digest=manifest.data_digest(frame),
        mixed_labels=sum(image.spec.mixed for image in images),
        quarantined=len(bad),
        settings=config,
        burned_in=tuple(
            sorted(name for name, image in zip(frame["image_id"], ordered, strict=True) if image.conversion.burned_in)
        ),
    )
