"""Loads the plugin; what it does stands in fixtures/."""

pytest_plugins = ["fixtures.plugin"]
