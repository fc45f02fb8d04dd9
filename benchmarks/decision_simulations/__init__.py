"""Simulations of what the project decides, a module each with ``simulate(setting) -> Iterator[Claim]``.

Each plays a world whose truth it knows through the project's own functions, and beside them the rule that they replaced
(``earlier_rules``). ``benchmarks/decisions.py`` runs the modules that it names.
"""
