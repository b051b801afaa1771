"""The figures, from records made by hand."""

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from bench.report.figures.accuracy import draw_accuracy
from bench.report.figures.histogram import draw_histograms
from bench.report.figures.l2 import draw_l2
from bench.report.figures.layers import draw_layers
from bench.report.figures.selection import COLORS, METHODS
from bench.report.figures.size import draw_size
from fixtures.record import Record
from gnn.errors import GnnError
from tests.bench.made_up_records import made_up_record

MACHINE = {"cpu": "a processor", "instruction_set": "AVX9"}
Points = list[tuple[float, float]]


def scored(case_id: str, mean: float, *, std: float | None = 0.01, **changes: object) -> Record:
    return made_up_record(case_id, accuracy={"mean": mean, "std": std}, **changes)


RECORDS = [
    scored("bbbp.gnnnet.dense", 0.5),
    scored("bbbp.gnnnet.global.s0.5", 0.4),
    scored("cora-node.spline.dense.stored-int4", 0.1),
    scored("cora-node.spline.dense.ft", 0.99),
    scored("cora-node.spline.dense", 0.91),
    scored("cora-node.spline.global.s0.5", 0.90, size_ratio=0.4),
    scored("cora-node.spline.global.s0.9", 0.80, size_ratio=0.1),
    scored("cora-node.spline.global.s0.8", 0.85, size_ratio=0.2),
    scored("cora-node.spline.global.s0.8.stored-int8", 0.2, size_ratio=0.15),
    scored("cora-node.spline.global.s0.7.ft", 0.89, size_ratio=0.3),
    scored("cora-node.spline.fine-grained.s0.7", 0.7, size_ratio=0.25, std=None),
]


def points(axes: Axes, label: str) -> Points:
    """The points of the line with this label, with bars or without."""
    found = [container[0] for container in axes.containers if container.get_label() == label]
    (line,) = found or [line for line in axes.get_lines() if line.get_label() == label]
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def panel(figure: Figure, title: str) -> Axes:
    (axes,) = [axes for axes in figure.axes if axes.get_title().startswith(title)]
    return axes


def size_axes(records: list[Record]) -> Axes:
    (axes,) = draw_size(records, MACHINE).axes
    return axes


def test_every_method_has_a_line_for_each_kind_of_training_and_a_colour() -> None:
    expected = [f"{label}, {words}" for label in METHODS.values() for words in ("fine-tuned", "not fine-tuned")]
    assert [container.get_label() for container in size_axes(RECORDS).containers] == expected
    assert METHODS.keys() == COLORS.keys()


def test_a_line_goes_through_the_means_in_the_order_of_the_sizes_of_one_model_in_fp32() -> None:
    axes = size_axes(RECORDS)
    assert points(axes, "global magnitude pruning, not fine-tuned") == [(0.1, 0.80), (0.2, 0.85), (0.4, 0.90)]
    assert points(axes, "global magnitude pruning, fine-tuned") == [(0.3, 0.89)]
    assert points(axes, "fine-grained pruning, not fine-tuned") == [(0.25, 0.7)]


def test_the_bars_are_standard_deviations_and_one_seed_has_none() -> None:
    bars = {str(container.get_label()): container[2][0] for container in size_axes(RECORDS).containers}
    low, high = bars["global magnitude pruning, fine-tuned"].get_segments()[0]
    assert (low[1], high[1]) == pytest.approx((0.88, 0.90))
    missing = bars["fine-grained pruning, not fine-tuned"].get_segments()
    assert all(math.isnan(end[1]) for segment in missing for end in segment)


def test_the_dense_line_is_that_of_the_model_that_was_neither_trained_longer_nor_rounded() -> None:
    assert [y for _, y in points(size_axes(RECORDS), "dense")] == [0.91, 0.91]


def test_without_a_spline_net_the_picture_is_that_of_the_first_dense_model() -> None:
    others = [record for record in RECORDS if record.model != "spline"]
    assert "gnnnet on bbbp" in size_axes(others).get_title()
    assert "spline on cora-node" in size_axes(RECORDS).get_title()


def test_the_picture_says_what_it_shows_and_where_it_was_measured() -> None:
    axes = size_axes(RECORDS)
    for words in ("a processor", "AVX9"):
        assert words in axes.get_title()
    assert "4 seeds" in axes.get_ylabel()
    assert axes.get_xscale() == "log"


def test_results_without_a_dense_case_are_refused() -> None:
    with pytest.raises(GnnError, match="no dense case"):
        draw_size([made_up_record("a-task.a-model.global.s0.5")], MACHINE)


def test_accuracy_is_drawn_over_sparsity_beside_the_papers_and_the_controls() -> None:
    figure = draw_accuracy(RECORDS, MACHINE)
    assert len(figure.axes) == 4
    axes = panel(figure, "cora-node.spline, global")
    assert points(axes, "not fine-tuned") == [(0.5, 0.90), (0.8, 0.85), (0.9, 0.80)]
    assert points(axes, "fine-tuned") == [(0.7, 0.89)]
    assert {y for _, y in points(axes, "dense")} == {0.91}
    assert {y for _, y in points(axes, "dense, trained on")} == {0.99}
    reported = [0.88, 0.88, 0.90, 0.88, 0.88, 0.89, 0.90, 0.90, 0.88]
    assert [y for _, y in points(axes, "paper, not fine-tuned")] == reported
    assert points(axes, "paper, fine-tuned")[-1] == (0.9, 0.89)
    assert points(panel(figure, "cora-node.spline, fine"), "paper, fine-tuned")[-1] == (0.9, 0.83)


def test_a_model_that_the_paper_did_not_prune_is_drawn_without_its_values() -> None:
    axes = panel(draw_accuracy([scored("bbbp.gin.global.s0.5", 0.8)], MACHINE), "bbbp.gin, global")
    assert points(axes, "paper, fine-tuned") == []
    assert points(axes, "not fine-tuned") == [(0.5, 0.8)]


def test_every_layer_has_a_line_over_the_sparsity_that_was_asked() -> None:
    records = [
        made_up_record(f"cora-node.spline.global.s{s}", layer_sparsity={"a": s / 2, "b": 1 - s}) for s in (0.9, 0.5)
    ]
    figure = draw_layers([*records, made_up_record("bbbp.gnnnet.global.s0.5"), *RECORDS[-2:]], MACHINE)
    assert [axes.get_title() for axes in figure.axes] == ["bbbp.gnnnet", "cora-node.spline"]
    axes = panel(figure, "cora-node")
    assert points(axes, "a") == [(0.5, 0.25), (0.9, 0.45)]
    assert points(axes, "b") == [(0.5, 0.5), (0.9, pytest.approx(0.1))]
    assert points(axes, "asked") == [(0.5, 0.5), (0.9, 0.9)]


def histograms(*names: str) -> dict[str, object]:
    counts = {"limit": 0.5, "before": [2, 6, 1], "after": [2, 0, 1], "zeros_before": 1, "zeros_after": 7}
    return dict.fromkeys(names, counts)


def test_a_layers_weights_are_drawn_before_and_after_within_its_limits() -> None:
    case = made_up_record("cora-node.spline.global.s0.5", weight_histograms=histograms("a", "b", "c", "d", "e"))
    figure = draw_histograms([*RECORDS, case], MACHINE)
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["a", "b", "c", "d", "e"]
    assert figure.axes[0].get_title() == "a: 70% of 10 are zero"
    before, after = (patch.get_data() for patch in figure.axes[0].patches if isinstance(patch, StepPatch))
    assert list(before[0]) == [2, 6, 1]
    assert list(after[0]) == [2, 0, 1]
    np.testing.assert_allclose(before[1], [-0.5, -1 / 6, 1 / 6, 0.5])


def test_the_histograms_are_those_of_the_sparsity_nearest_to_the_papers() -> None:
    cases = [
        made_up_record(f"cora-node.spline.global.s{s}", weight_histograms=histograms(f"at {s}"))
        for s in (0.9, 0.6, 0.1)
    ]
    figure = draw_histograms([RECORDS[4], *cases], MACHINE)
    assert figure.axes[0].get_title().startswith("at 0.6")
    assert "cora-node.spline.global.s0.6: weights before and after pruning, seed 0" in figure.get_suptitle()
    with pytest.raises(GnnError, match="weight_histograms"):
        draw_histograms(RECORDS, MACHINE)


def test_accuracy_is_drawn_over_the_rates_in_their_order_beside_the_papers() -> None:
    records = [
        scored("cora-node.spline.l2.r1e2", 0.2),
        scored("cora-node.spline.l2.r0", 0.9),
        scored("cora-node.spline.l2.r1e-3", 0.8),
        scored("cora-node.spline.l2.r1e-3.s0.9", 0.1),
        scored("bbbp.gnnnet.l2.r0", 0.7),
    ]
    figure = draw_l2([*RECORDS, *records], MACHINE)
    assert [axes.get_title() for axes in figure.axes] == ["bbbp.gnnnet", "cora-node.spline"]
    axes = panel(figure, "cora-node")
    assert points(axes, "here") == [(0.0, 0.9), (4.0, 0.8), (16.0, 0.2)]
    assert points(axes, "paper")[:2] == [(0.0, 0.90), (1.0, 0.89)]
    assert len(points(axes, "paper")) == 19
    assert [label.get_text() for label in axes.get_xticklabels()][:2] == ["0", "1e-06"]


@pytest.mark.parametrize("draw", [draw_accuracy, draw_layers, draw_l2, draw_histograms])
def test_results_without_such_a_case_are_refused(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(GnnError, match="the results hold no"):
        draw([made_up_record("cora-node.spline.dense")], MACHINE)
