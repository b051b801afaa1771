"""Which figures there are, and which records they are drawn from."""

from collections.abc import Iterator, Sequence

from bench.report.figure import Draw, Figure, Missing
from bench.report.pareto import is_compressed
from fixtures.record import Record, Results

DRAWN: list[Draw] = []
# The paper's figures come first, then these, by the beginning of their keys.
OTHERS = ("pareto", "speed-ups", "tickets", "degree-bit-width", "seeds", "sizes")


def draws(draw: Draw) -> Draw:
    """Add what draws the figures of one kind."""
    DRAWN.append(draw)
    return draw


def draw_figures(results: Results) -> list[Figure | Missing]:
    """Every figure of a run in the order of the page, or why it cannot be drawn."""
    return sorted((figure for draw in DRAWN for figure in draw(results)), key=lambda figure: _place(figure.key))


def _place(key: str) -> tuple[int, str]:
    if key.startswith("figure-"):
        return int(key.removeprefix("figure-")), ""
    return 100 + next(index for index, start in enumerate(OTHERS) if key.startswith(start)), key


def finite(results: Results) -> list[Record]:
    """The records whose numbers are all finite: what is not is no place to draw a point at."""
    return [record for record in results.cases if not record.not_finite]


def by_model(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """The records of every task and model, in the order of the alphabet."""
    for name in sorted({record.case_model for record in records}):
        yield name, [record for record in records if record.case_model == name]


def compared_models(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """The models of which at least two compressed cases were run, with all of their records."""
    return [(name, cases) for name, cases in by_model(records) if sum(map(is_compressed, cases)) >= 2]


def is_dense(record: Record, *, fine_tuned: bool = False) -> bool:
    """Whether it is the dense model, or the one that was trained on for as long as a pruned one is fine-tuned."""
    return record.method == "dense" and record.fine_tuned is fine_tuned and record.precision == "fp32"
