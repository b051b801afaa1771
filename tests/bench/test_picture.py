"""The picture of a results file, from records made by hand."""

import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from bench.report.picture import COLORS, LABELS, draw, main
from gnn.errors import GnnError

Record = dict[str, Any]
MACHINE = {"cpu": "a processor", "instruction_set": "AVX9"}


def record(method: str, size_ratio: float, mean: float, *, fine_tune: bool = False, std: float | None = 0.01) -> Record:
    return {
        "method": method,
        "model": "spline",
        "task": "a-task",
        "seeds": [0, 1, 2],
        "settings": {"fine_tune": fine_tune},
        "size_ratio": size_ratio,
        "accuracy": {"mean": mean, "std": std},
    }


RECORDS = [
    record("dense", 0.85, 0.91),
    record("dense", 0.85, 0.99, fine_tune=True),
    *(record("global", ratio, mean) for ratio, mean in ((0.4, 0.90), (0.1, 0.80), (0.2, 0.85))),
    record("global", 0.3, 0.89, fine_tune=True),
    record("fine-grained", 0.25, 0.7, std=None),
]


def axes_of(records: list[Record]) -> Axes:
    (axes,) = draw(records, MACHINE).axes
    return axes


def points(axes: Axes, label: str) -> list[tuple[float, float]]:
    (container,) = [found for found in axes.containers if found.get_label() == label]
    line = container[0]
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_every_method_has_a_line_for_each_kind_of_training_and_a_colour() -> None:
    expected = [f"{label}, {words}" for label in LABELS.values() for words in ("fine-tuned", "not fine-tuned")]
    assert [container.get_label() for container in axes_of(RECORDS).containers] == expected
    assert LABELS.keys() == COLORS.keys()


def test_a_line_goes_through_the_means_in_the_order_of_the_sizes() -> None:
    axes = axes_of(RECORDS)
    assert points(axes, "global magnitude pruning, not fine-tuned") == [(0.1, 0.80), (0.2, 0.85), (0.4, 0.90)]
    assert points(axes, "global magnitude pruning, fine-tuned") == [(0.3, 0.89)]
    assert points(axes, "fine-grained pruning, not fine-tuned") == [(0.25, 0.7)]


def test_the_bars_are_standard_deviations_and_one_seed_has_none() -> None:
    bars = {str(container.get_label()): container[2][0] for container in axes_of(RECORDS).containers}
    low, high = bars["global magnitude pruning, fine-tuned"].get_segments()[0]
    assert (low[1], high[1]) == pytest.approx((0.88, 0.90))
    missing = bars["fine-grained pruning, not fine-tuned"].get_segments()
    assert all(math.isnan(end[1]) for segment in missing for end in segment)


def test_the_dense_line_is_that_of_the_model_that_was_not_trained_longer() -> None:
    (line,) = [line for line in axes_of(RECORDS).get_lines() if line.get_label() == "dense"]
    assert np.asarray(line.get_ydata()).tolist() == [0.91, 0.91]


def test_the_picture_says_what_it_shows_and_where_it_was_measured() -> None:
    axes = axes_of(RECORDS)
    for words in ("spline", "a-task", "a processor", "AVX9"):
        assert words in axes.get_title()
    assert "3 seeds" in axes.get_ylabel()
    assert axes.get_xscale() == "log"


def test_the_command_writes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, picture = tmp_path / "results.json", tmp_path / "picture.svg"
    results.write_text(json.dumps({"cases": RECORDS, "machine": MACHINE}))
    monkeypatch.setattr(sys, "argv", ["picture", str(results), str(picture)])
    monkeypatch.delitem(sys.modules, "bench.report.picture")
    runpy.run_module("bench.report.picture", run_name="__main__")
    assert picture.read_text().rstrip().endswith("</svg>")
    assert "dc:date" not in picture.read_text()


def test_results_without_a_dense_case_are_refused() -> None:
    with pytest.raises(GnnError, match="no dense case"):
        draw([record("global", 0.5, 0.9)], MACHINE)


def test_the_same_results_give_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"cases": RECORDS, "machine": MACHINE}))
    for name in ("first.svg", "second.svg"):
        monkeypatch.setattr(sys, "argv", ["picture", str(tmp_path / "results.json"), str(tmp_path / name)])
        main()
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
