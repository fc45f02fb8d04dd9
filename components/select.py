"""Choose the best snapshot among all trials."""

from kfp import dsl

from mammogan.components import step


@step()
def select(
    settings: str,
    run: str,
    evaluations: dsl.Input[list[dsl.Metrics]],
    store: str,
    decision: dsl.Output[dsl.Metrics],
    chosen: dsl.Output[dsl.Model],
) -> bool:
    """Write the decision, the winning snapshot and its critic; return whether there is one to register.

    ``decision`` shows the first of them on Kubeflow's page; later steps read all from ``chosen``.
    """
    from pathlib import Path

    from mammogan import results
    from mammogan.steps import Chosen, StepContext, select

    context, folders = StepContext.of(settings, run), [Path(item.path) for item in evaluations]
    choice = select.run(context, folders, store, Chosen(Path(chosen.path)), Path(decision.path))
    for name, value in results.charted(choice.winner.decided_by() if choice.winner else ()).items():
        decision.log_metric(name, value)
    return choice.accepted
