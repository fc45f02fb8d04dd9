"""Close the run with its true status and write its report, whatever happened before."""

from kfp import dsl

from mammogan.components import step


@step()
def finish(run: str, page: dsl.Output[dsl.HTML], status: dsl.PipelineTaskFinalStatus) -> None:
    """Close the run by the record of its steps, and build the report from MLflow alone.

    Of the status only the workflow's name counts: its state is never SUCCEEDED, and RUNNING also after failures.
    """
    from pathlib import Path

    from mammogan.steps import finish

    finish.run(run, status.pipeline_job_resource_name or "", Path(page.path))
