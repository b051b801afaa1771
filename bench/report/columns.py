"""Columns of the paper's tables: what it reports, and what was measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from textwrap import fill

from tabulate import tabulate

from bench.report.reported import Reported
from fixtures.energy import Energy
from fixtures.record import Record, Scores

Records = Mapping[str, Record]
NOTE_WIDTH = 140
# Tables 9 to 17 print accuracies with two digits, so a value may be off by half of the last one.
ROUNDING = 0.005
FLAGGED = (
    "* differs from the reported mean by more than the reported deviation, two standard errors of ours and "
    f"{ROUNDING:g} of rounding"
)


@dataclass(frozen=True)
class Column:
    """A column of a table: reported / measured where the paper has the metric, else what was measured.

    `differs` tells whether a value is so far from the reported one that it gets a star.
    """

    header: str
    metric: str
    style: str
    measured: Callable[[Record], str]
    differs: Callable[[Reported, Record], bool] = lambda _entry, _record: False

    def cell(self, reported: Mapping[str, Reported], record: Record) -> str:
        """The text of one cell."""
        entry, measured = reported.get(self.metric), self.measured(record)
        if entry is None:
            return measured
        return f"{entry.formatted(self.style)} / {measured}{' *' if self.differs(entry, record) else ''}"


@dataclass(frozen=True)
class CaseTable:
    """A table of the paper with one row per case, and what a reader has to know to read it."""

    number: str
    title: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    def text(self, reported: Sequence[Reported], by_id: Records) -> str:
        """The rows whose cases were run; no text when none was."""
        entries = [entry for entry in reported if entry.table == self.number and entry.row in by_id]
        if not entries:
            return ""
        rows = []
        for case in dict.fromkeys(entry.row for entry in entries):
            of_case = {entry.metric: entry for entry in entries if entry.row == case}
            rows.append([case, *(column.cell(of_case, by_id[case]) for column in self.columns)])
        headers = ["case", *(column.header for column in self.columns)]
        return titled(self.number, self.title, headers, rows, [*remarks(entries), *self.notes])


def titled(number: str, title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """A table under its number and title, and its notes below it."""
    table = tabulate(rows, headers=headers, disable_numparse=True)
    wrapped = (fill(f"- {note}", NOTE_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for note in notes)
    return "\n".join([f"Table {number}: {title}", table, *wrapped])


def remarks(entries: Sequence[Reported]) -> list[str]:
    """What has to be said about single values."""
    return [f"{entry.row}, {entry.metric}: {entry.remark}" for entry in entries if entry.remark]


def optional(value: float | None, style: str, factor: float = 1.0) -> str:
    """A number in a format such as ".3f", or a dash when it was not measured."""
    return "-" if value is None else format(value * factor, style)


def mean_and_deviation(scores: Scores) -> str:
    """The mean over the seeds, with its standard deviation where there are several."""
    std = "" if scores.std is None else f" ± {scores.std:.3f}"
    return f"{scores.mean:.3f}{std}"


def accuracy_differs(entry: Reported, record: Record) -> bool:
    """Whether a measured accuracy is outside the reported deviation by more than two standard errors.

    |measured - reported| > reported deviation + 2 s / sqrt(n) + `ROUNDING`, with the deviation s over n seeds here.
    The paper does not say of how many runs its deviations are, so they stand for themselves. One seed tells nothing.
    """
    accuracy = record.accuracy
    if entry.value is None or accuracy.mean is None or accuracy.std is None:
        return False
    error = accuracy.std / math.sqrt(len(record.seeds))
    return abs(accuracy.mean - entry.value) > (entry.std or 0.0) + 2 * error + ROUNDING


def algorithm1_ratio(record: Record) -> float:
    """How many times smaller the file of Algorithm 1 is than the dense one: what the paper calls the size ratio."""
    return record.size_bytes.dense / record.size_bytes.algorithm1


def _other_scores(record: Record) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {scores.mean:.3f}" for name, scores in record.other_scores.items())


def _joules(energy: Energy, style: str) -> str:
    return "-" if energy.value is None else f"{energy.value:{style}} ({energy.source})"


ACCURACY = Column("accuracy (ROC-AUC for links)", "accuracy", ".3f", lambda record: mean_and_deviation(record.accuracy))
TRAINING = Column("training CPU-s", "", "", lambda record: f"{record.training_s:.1f}")
INFERENCE = Column("inference s", "latency_s", ".3f", lambda record: optional(record.latency_s.compressed, ".4f"))
EPOCHS = Column("epochs (kept, run)", "epochs", ".0f", lambda r: f"{fmean(r.best_epoch):.0f}, {fmean(r.epochs):.0f}")
OTHERS = Column("also", "", "", _other_scores)
SEEDS = Column("seeds", "", "", lambda record: str(len(record.seeds)))
PARAMETERS = Column("parameters", "parameters", ",.0f", lambda record: f"{record.parameters:,}")
STATE = Column("with buffers", "", "", lambda record: f"{record.state_entries:,}")
STARRED_ACCURACY = Column("accuracy (ROC-AUC)", "accuracy", ".2f", ACCURACY.measured, accuracy_differs)
SIZE_RATIO = Column(
    "size ratio, Algorithm 1", "algorithm1_ratio", ".2f", lambda record: f"{algorithm1_ratio(record):.2f}"
)
# `size_ratio` is the share that remains, the paper's ratio its inverse.
DECODABLE_RATIO = Column("decodable file", "", "", lambda record: f"{1 / record.size_ratio:.2f}")
ENERGY = Column("energy J", "energy_j", ".1f", lambda record: _joules(record.energy_j, ".2g"))
TRAINING_ENERGY = Column("training energy J", "", "", lambda record: _joules(record.training_energy_j, ",.5g"))
PROCESSOR = Column("CPU %", "cpu_percent", ".1f", lambda record: optional(record.cpu_percent, ".0f"))
MEMORY = Column("memory MB", "memory_mb", ",.0f", lambda record: optional(record.memory_bytes.peak_rss, ",.0f", 1e-6))
