"""The subcommands of `mammogan`: one group a module, no logic of their own."""
