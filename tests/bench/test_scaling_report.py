"""What is wrong with large graphs is told, in a table and in sentences; and the graphs are what they are said to be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.conftest import _mebibytes
from bench.report.scaling import scaling_table
from bench.scaling import CHANNELS, CLASSES, measure, plant_on_disk
from bench.test_scaling import ending, faults, measured

LIMIT = 1000


def one(edges: int, **change: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"nodes": edges // 10, "edges": edges, "cpu_s": edges / 1e6, "peak_bytes": 900, "error": None} | change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"peak_bytes": None}, None),
        ({"peak_bytes": 1001}, "1001 bytes were taken, and --memory-limit is 1000"),
        ({"error": 1e-4}, "differ from the whole by 0.0001"),
        ({"error": float("nan")}, "differ from the whole by nan"),
        ({"cpu_s": 4.5}, "an edge takes 4.50 times as long as of 100,000"),
    ],
)
def test_faults_are_told(change: dict[str, Any], said: str | None) -> None:
    reasons = faults("GCNConv", LIMIT, [one(10**4, cpu_s=1.0), one(10**5), one(10**6, **change)])
    assert len(reasons) == (said is not None)
    assert said is None or said in reasons[0]


def test_the_table_has_time_and_memory_per_edge() -> None:
    rows = [
        {"model": "GCNConv", "memory_limit": 2**20, **row}
        for row in (one(10**6, error=2e-7), one(10**5, peak_bytes=None))
    ]
    text = scaling_table(rows).text()
    first, second = (line.split() for line in text.splitlines() if line.startswith("GCNConv"))
    assert first == ["GCNConv", "10,000", "100,000", "1,000", "-", "-", "-", "1"]
    assert second == ["GCNConv", "100,000", "1,000,000", "1,000", "0.0", "0", "2e-07", "1"]


def test_how_a_process_ended_is_told() -> None:
    assert "was ended by SIGKILL: it said nothing" in ending("GCNConv", -9, "")
    assert ending("GCNConv", 1, "why\n") == "GCNConv on large graphs ended with status 1: why"
    with pytest.raises(pytest.fail.Exception, match=r"status 1: memory_limit is 100 bytes, .*; give \d+ or more$"):
        measured("SAGEConv", 100, (1000,))


@pytest.mark.parametrize("text", ["0", "-1", "64MB", ""])
def test_a_memory_limit_is_a_number_of_mebibytes(text: str) -> None:
    assert _mebibytes("64") == 64
    with pytest.raises(Exception, match="is no memory limit"):
        _mebibytes(text)


def test_planted_graphs_have_classes_and_hubs(tmp_path: Path) -> None:
    x, (source, target) = plant_on_disk(tmp_path, 20_000)
    assert x.shape == (2000, CHANNELS)
    assert 0.75 < (source % CLASSES == target % CLASSES).mean() < 0.95
    degrees = np.bincount(target, minlength=2000)
    assert degrees.max() > 20 * np.median(degrees)
    assert 0.8 < x[np.arange(2000), np.arange(2000) % CLASSES].mean() < 1.2


def test_a_small_graph_is_measured() -> None:
    (found,) = measure("SAGEConv", 2**26, [1000])
    assert found["edges"] == 1000
    assert found["cpu_s"] > 0
    assert found["error"] <= 1e-5
