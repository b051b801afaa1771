"""Wires the plugins together; what they do stands in fixtures/."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.parallel_benchmark",
    "fixtures.session",
    "fixtures.progress",
    "fixtures.crashed_workers",
    "fixtures.cases",
    "fixtures.artifacts",
    "fixtures.measurement",
    "fixtures.acceptance",
    "fixtures.gate",
    "fixtures.speed",
    "fixtures.peak_memory",
    "fixtures.results",
]
