"""The paper's Figures 4 to 6 and 8 to 10: memory, energy and CPU over sparsity and over the rate of L2."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair

from bench.report.figure import Figure, Missing
from bench.report.figures.curves import Point, curve_table, curves, paper_points
from bench.report.figures.registry import by_model, draws, finite
from bench.report.figures.settings import METHODS, RATE, SPARSITY, TABLES, TUNED, of_method, plain_l2
from bench.report.figures.style import PAPER, logarithmic
from fixtures.energy import Energy
from fixtures.record import Record, Results

NOT_THE_SAME = (
    "The paper measured its whole machine for seconds; ours is this process alone. Energy of training is that of all "
    "training that led to the model, CPU and memory of training are those of some epochs of the case itself."
)


@dataclass(frozen=True)
class Resource:
    """What something takes: a value for each phase, by the name of its curve; `missing` tells where its reason is."""

    name: str
    unit: str
    metric: str
    values: Callable[[Record], dict[str, float | None]]
    missing: str
    logarithmic: bool


def _joules(phase: str, energy: Energy) -> dict[str, float | None]:
    """An energy under the name of its source, so that no estimate is drawn as if it was measured."""
    return {f"{phase}, {'ESTIMATE' if energy.source == 'estimate' else energy.source}": energy.value}


def _memory(record: Record) -> dict[str, float | None]:
    peaks = {"one pass": record.memory_bytes.peak_rss, "training": record.training_memory_bytes.peak_rss}
    return {phase: None if peak is None else peak / 1e6 for phase, peak in peaks.items()}


def _energy(record: Record) -> dict[str, float | None]:
    return _joules("one pass", record.energy_j) | _joules("training", record.training_energy_j)


def _processor(record: Record) -> dict[str, float | None]:
    return {"one pass": record.cpu_percent, "training": record.training_cpu_percent}


RESOURCES = {
    4: Resource("Peak memory", "MB", "memory_mb", _memory, "memory_bytes.peak_rss", logarithmic=True),
    5: Resource("Energy", "J", "energy_j", _energy, "energy_j.value", logarithmic=True),
    6: Resource("CPU", "%", "cpu_percent", _processor, "cpu_percent", logarithmic=False),
}


@draws
def draw_over_sparsity(results: Results) -> list[Figure | Missing]:
    """Figures 4 to 6: one panel per model and method."""
    records = finite(results)
    figures = []
    for number, resource in RESOURCES.items():
        points, shown = [], []
        for name, of_model in by_model(records):
            for method, words in METHODS.items():
                cases = [(case, TUNED[tuned]) for tuned in TUNED for case in of_method(of_model, method, tuned=tuned)]
                panel = f"{name}, {words}"
                shown += [case for case, _ in cases]
                found = [p for case, word in cases for p in _points(resource, case, panel, method, "sparsity", word)]
                if found:
                    points += _reported(resource, name, method, panel)
                    points += found
        figures.append(_figure(f"figure-{number}", resource, "sparsity", points, shown, SPARSITY))
    return figures


def _reported(resource: Resource, model: str, method: str, panel: str) -> Iterable[Point]:
    # Four tables after the accuracies.
    numbers = {tuned: str(int(TABLES[method, tuned]) + 4) for tuned in TUNED}
    for tuned, number in numbers.items():
        curve = f"{PAPER}, {TUNED[tuned]}"
        yield from paper_points(number, resource.metric, "sparsity", model, panel, curve, dashed=not tuned)


@draws
def draw_over_rates(results: Results) -> list[Figure | Missing]:
    """Figures 8 to 10: one panel per model."""
    records = finite(results)
    figures = []
    for number, resource in RESOURCES.items():
        points, shown = [], []
        for name, of_model in by_model(records):
            cases = plain_l2(of_model)
            shown += cases
            found = [point for case in cases for point in _points(resource, case, name, "l2", "rate")]
            if found:
                points += paper_points("17", resource.metric, "rate", name, name, PAPER)
                points += found
        figures.append(_figure(f"figure-{number + 4}", resource, "rate of L2 regularization", points, shown, RATE))
    return figures


def _points(resource: Resource, case: Record, panel: str, method: str, setting: str, tuned: str = "") -> list[Point]:
    x, dashed = case.settings.get(setting, 0.0), tuned == TUNED[False]
    return [
        Point(panel, case.id, method, f"{phase}, {tuned}" if tuned else phase, phase, x, value, dashed=dashed)
        for phase, value in resource.values(case).items()
        if value is not None and (value > 0 or not resource.logarithmic)
    ]


def _figure(
    key: str, resource: Resource, setting: str, points: Sequence[Point], shown: Sequence[Record], x: dict[str, Any]
) -> Figure | Missing:
    title = f"{resource.name} against {'sparsity' if setting == 'sparsity' else 'the rate of L2 regularization'}"
    if not points:
        reasons = dict.fromkeys(case.not_applicable.get(resource.missing, "") for case in shown)
        reason = "; ".join(reason for reason in reasons if reason) or "no such case was run with its resources"
        return Missing(key, title, reason)
    linear = {"scale": altair.Scale(zero=True), "axis": altair.Axis(tickCount=4)}
    y = logarithmic([point.y for point in points], "~g") if resource.logarithmic else linear
    y["title"] = f"{resource.name.lower()} ({resource.unit})".replace("cpu", "CPU")
    caption = f"{_moved(points)} {NOT_THE_SAME}"
    return Figure(key, title, caption, curves(points, x, y, height=120), curve_table(key, title, points, setting))


def _moved(points: Sequence[Point]) -> str:
    """How far our curves move at most, by phase, in one sentence."""
    ours: dict[str, dict[tuple[str, str], list[float]]] = {}
    for point in points:
        if point.method != PAPER:
            ours.setdefault(point.column, {}).setdefault((point.panel, point.curve), []).append(point.y)
    moved = {phase: max(max(ys) / min(ys) for ys in of.values() if min(ys) > 0) for phase, of in ours.items()}
    told = ", ".join(f"{factor:.2f} times the least ({phase})" for phase, factor in moved.items())
    return f"On one curve of ours the most is at most {told}."
