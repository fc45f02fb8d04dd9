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
    from mammogan import config, registry, tracking
    from mammogan.graph import Step

    settings = config.resolve(preset, overrides)
    parent_id = tracking.parent_of(run)
    with tracking.step(parent_id, Step.CHECK_CHANGES) as progress:
        progress.goes_on = registry.check_changes(parent_id, settings.select.model_name, force=force)
    return progress.goes_on
