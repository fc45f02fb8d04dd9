"""What the pod's account may do, asked of Kubernetes as the pod itself: no right to impersonate is needed."""

from __future__ import annotations

from mammogan import cluster
from mammogan.cluster import Right

NEEDED = (
    Right("create", "argoproj.io", "workflowtaskresults"),
    Right("patch", "argoproj.io", "workflowtaskresults"),
    Right("get", "argoproj.io", "workflows"),
    Right("get", "", "pods"),
    Right("get", "", "configmaps", "kfp-launcher"),
    Right("get", "", "secrets", "mlpipeline-minio-artifact"),
)
"""Of Argo's executor, Kubeflow's launcher and the steps; what only the newer drivers need is not asked."""


def probe() -> str:
    """Ask whether the account has each right that a step needs; says how many there are.

    Raises RuntimeError in one line with the fix where one is missing, or where nobody can be asked.
    """
    answers = {right: cluster.may(right) for right in NEEDED}
    if None in answers.values():
        raise RuntimeError("Kubernetes cannot be asked from here; look at the pod's service account and its token")
    missing = [str(right) for right, allowed in answers.items() if not allowed]
    if missing:
        raise RuntimeError(
            f"the pod's account may not {', '.join(missing)}: no step would get to its end; apply k8s/steps in this "
            "namespace, or name another --service-account"
        )
    return f"the pod's account may do all {len(NEEDED)} things that a step's pod does"
