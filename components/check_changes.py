"""Find out whether training again can give anything new."""

from kfp import dsl

from components import step


@step()
def check_changes(
    preset: str,
    overrides: str,
    force: bool,
    run: dsl.Input[dsl.Artifact],
) -> bool:
    """Compare data, code and settings with the champion's and the challenger's; True to train, always by force."""
    from pathlib import Path

    from mammogan import config, registry

    settings = config.resolve(preset, overrides)
    return registry.check_changes(Path(run.path).read_text(), settings.select.model_name, force=force)
