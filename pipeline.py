"""The experiment as one graph; ``mammogan run`` runs it here, ``mammogan submit`` on Kubeflow.

start -> ingest -> filter_minority; if there is something to train, for each (lambda, seed):
      train -> evaluate; then select; if there is a winner: evaluate_winner -> register -> synthesise -> audit ->
      promote, and utility beside them; whatever happens: finish
"""

import runpy

from kfp import dsl

from mammogan.components.audit import audit
from mammogan.components.evaluate import evaluate
from mammogan.components.evaluate_winner import evaluate_winner
from mammogan.components.filter_minority import filter_minority
from mammogan.components.finish import finish
from mammogan.components.ingest import ingest
from mammogan.components.promote import promote
from mammogan.components.register import register
from mammogan.components.select import select
from mammogan.components.start import start
from mammogan.components.synthesise import synthesise
from mammogan.components.train import train
from mammogan.components.utility import utility


@dsl.pipeline(
    name="mammogan",
    description="Synthetic mammograms of the rare class: one WGAN-GP per gradient-penalty weight and seed.",
)
def experiment(
    trials: list[str],
    settings: str = "preset=paper",
    source: str = "",
    labels: str = "",
    store: str = "",
    work: str = "",
    experiment: str = "mammogan",
    force: bool = True,
) -> None:
    """Run one experiment from source images to a registered generator.

    Every step finds the run's record in MLflow by Kubeflow's id of the run, which takes less room in Kubeflow's
    workflow than handing on an artifact.
    """
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    given = {"settings": settings, "run": run}

    closing = finish(run=run)
    with dsl.ExitHandler(closing, name="experiment"):
        opened = start(**given, experiment=experiment, source=source)

        ingested = ingest(**given, source=source, labels=labels, store=store, work=work).after(opened)
        kept = filter_minority(**given, force=force, dataset=ingested.outputs["dataset"])

        with dsl.If(kept.outputs["Output"] == True, name="changed"):  # noqa: E712  (KFP builds the condition)
            with dsl.ParallelFor(trials, name="trials") as trial:  # ty: ignore[invalid-argument-type]  (a channel here)
                trained = train(
                    **given,
                    trial=trial,
                    store=store,
                    minority=kept.outputs["minority"],
                )
                evaluated = evaluate(
                    **given,
                    trial=trial,
                    store=store,
                    minority=kept.outputs["minority"],
                    trained=trained.outputs["trained"],
                )

            chosen = select(
                **given,
                store=store,
                evaluations=dsl.Collected(evaluated.outputs["evaluation"]),
            )
            with dsl.If(chosen.outputs["Output"] == True, name="accepted"):  # noqa: E712
                picked = {**given, "chosen": chosen.outputs["chosen"]}
                measured = evaluate_winner(**picked, minority=kept.outputs["minority"])
                registered = register(**picked, result=measured.outputs["result"])
                filled = synthesise(
                    **picked,
                    version=registered.output,
                    dataset=ingested.outputs["dataset"],
                    minority=kept.outputs["minority"],
                )
                released = {**given, "version": registered.output}
                audited = audit(**released, filled=filled.outputs["filled"], chosen=chosen.outputs["chosen"])
                promoted = promote(**released, minority=kept.outputs["minority"]).after(audited)
                compared = utility(**released, filled=filled.outputs["filled"])

    for task in (closing, opened, ingested, kept, trained, evaluated, chosen, registered):
        task.set_caching_options(False)
    for task in (measured, filled, audited, promoted, compared):
        task.set_caching_options(False)


if __name__ == "__main__":
    runpy.run_module("mammogan", run_name="__main__")
