"""Find out whether training again can give anything new."""

from mammogan.components import step


@step()
def check_changes(
    preset: str,
    overrides: str,
    force: bool,
    run: str,
) -> bool:
    """Compare data, code and settings with the champion's and the challenger's; True to train, always by force."""
    from mammogan.steps import StepContext, check_changes

    return check_changes.run(StepContext.of(preset, overrides, run), force=force)
