"""Loads the plugin, and what only runs of this repository have; what they do stands in fixtures/."""

pytest_plugins = ["fixtures.plugin", "fixtures.parallel_benchmark"]
