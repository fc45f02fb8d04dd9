"""Close the run with its true status and write its report, whatever happened before."""

from kfp import dsl

from components import step


@step()
def finish(
    experiment: str,
    run_key: str,
    job_id: str,
    page: dsl.Output[dsl.HTML],
    status: dsl.PipelineTaskFinalStatus,
) -> None:
    """Build the report from MLflow alone, log it, close the parent run and what is left of its branches."""
    from pathlib import Path

    from mammogan import report

    report.close_with_report(
        experiment, run_key or job_id, status.state == "SUCCEEDED", status.error_message or "", Path(page.path)
    )
