"""kubectl, asked for what Kubernetes alone tells, for a pod's log, or to remove a pod."""

from __future__ import annotations

import json
import subprocess

from mammogan.document import Document

QUICK_S = 10.0
PATIENT_S = 60.0


def ask(*arguments: str, stdin: str = "", timeout_s: float = QUICK_S) -> Document:
    """What kubectl answers as JSON. Raises LookupError, with kubectl's own words, where it cannot be asked."""
    return Document(json.loads(_run((*arguments, "--output=json"), stdin, timeout_s) or "{}"))


def log(pod: str, namespace: str, container: str) -> str:
    """What a container wrote. Raises LookupError as ``ask`` does."""
    return _run(("logs", pod, "--namespace", namespace, "--container", container), "", PATIENT_S)


def remove(pod: str, namespace: str) -> None:
    """Remove a pod if it is there, and wait until it is gone. Raises LookupError as ``ask`` does."""
    wait = ("--ignore-not-found", "--wait=true", "--grace-period=5")
    _run(("delete", "pod", pod, "--namespace", namespace, *wait), "", PATIENT_S)


def _run(arguments: tuple[str, ...], stdin: str, timeout_s: float) -> str:
    try:
        done = subprocess.run(  # noqa: S603  (kubectl, with arguments of ours)
            ["kubectl", *arguments],  # noqa: S607
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    except OSError as error:
        raise LookupError("kubectl is not installed; install it and point it at the cluster") from error
    except subprocess.TimeoutExpired as error:
        raise LookupError(f"kubectl had no answer in {timeout_s:.0f} s; check the way to the cluster") from error
    if done.returncode:
        raise LookupError(f"kubectl {' '.join(arguments[:3])}: {' '.join(done.stderr.split())[:400]}")
    return done.stdout
