"""The subcommands of `python -m mammogan`: one group a module, no logic of their own."""
