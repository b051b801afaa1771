"""Tables 1 to 4 of the paper, with what it reports beside what was measured."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tabulate import tabulate

REPORTED = Path(__file__).with_name("reported.csv")
STATISTICS = ("graphs", "nodes", "edges", "features", "labels")
Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Reported:
    """One value that the paper prints: a number with its deviation, or a text such as "100-500"."""

    table: str
    row: str
    metric: str
    value: float | None
    std: float | None
    text: str
    remark: str

    @classmethod
    def parse(cls, row: Mapping[str, str]) -> "Reported":
        """One row of reported.csv."""
        value, std = (float(row[name]) if row[name] else None for name in ("value", "std"))
        return cls(row["table"], row["row"], row["metric"], value, std, row["text"], row["remark"])


def read_reported() -> tuple[Reported, ...]:
    """Everything the paper reports in Tables 1 to 4, keyed by the task or the case id that measures it."""
    with REPORTED.open(newline="") as file:
        return tuple(Reported.parse(row) for row in csv.DictReader(file))


def paper_tables(records: Sequence[Mapping[str, Any]], statistics: Mapping[str, Mapping[str, int | str]]) -> str:
    """All four tables as text; a row is there when its case was run, and a table when it has a row.

    `statistics` are those of the real tasks by name: planted data is no data of the paper.
    """
    reported = read_reported()
    by_id = {record["id"]: record for record in records}
    parts = [_table1(reported, statistics)]
    for number, title, columns in CASE_TABLES:
        parts += _case_table(number, title, columns, reported, by_id)
    return "\n\n".join(part for part in parts if part)


def _table1(reported: Sequence[Reported], statistics: Mapping[str, Mapping[str, int | str]]) -> str:
    entries = [entry for entry in reported if entry.table == "1" and entry.row in statistics]
    if not entries:
        return ""
    rows = []
    for task in dict.fromkeys(entry.row for entry in entries):
        of_task = {entry.metric: entry for entry in entries if entry.row == task}
        rows.append([task, *(f"{_reported(of_task[m], ',.0f')} / {statistics[task][m]:,}" for m in STATISTICS)])
        sizes = {name: value for name, value in statistics[task].items() if name not in STATISTICS}
        rows[-1].append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sizes.items()))
    table = tabulate(rows, headers=["data", *STATISTICS, ""], disable_numparse=True)
    return "\n".join(["Table 1: data, reported / measured", table, *_remarks(entries)])


def _case_table(
    number: str, title: str, columns: "Sequence[Column]", reported: Sequence[Reported], by_id: Records
) -> list[str]:
    entries = [entry for entry in reported if entry.table == number and entry.row in by_id]
    if not entries:
        return []
    rows = []
    for case in dict.fromkeys(entry.row for entry in entries):
        of_case = {entry.metric: entry for entry in entries if entry.row == case}
        rows.append([case, *(column.cell(of_case, by_id[case]) for column in columns)])
    table = tabulate(rows, headers=["case", *(column.header for column in columns)], disable_numparse=True)
    return ["\n".join([f"Table {number}: {title}", table, *_remarks(entries)])]


@dataclass(frozen=True)
class Column:
    """A column of a table: reported / measured where the paper has the metric, else what was measured."""

    header: str
    metric: str
    style: str
    measured: Callable[[Mapping[str, Any]], str]

    def cell(self, reported: Mapping[str, Reported], record: Mapping[str, Any]) -> str:
        """The text of one cell."""
        entry, measured = reported.get(self.metric), self.measured(record)
        return measured if entry is None else f"{_reported(entry, self.style)} / {measured}"


def _reported(entry: Reported, style: str) -> str:
    if entry.value is None:
        return entry.text
    std = "" if entry.std is None else f" ± {entry.std:{style}}"
    return f"{entry.value:{style}}{std}"


def _accuracy(record: Mapping[str, Any]) -> str:
    accuracy = record["accuracy"]
    std = "" if accuracy["std"] is None else f" ± {accuracy['std']:.3f}"
    return f"{accuracy['mean']:.3f}{std}"


def _other_scores(record: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {scores['mean']:.3f}" for name, scores in record["other_scores"].items()
    )


def _seconds(record: Mapping[str, Any]) -> str:
    latency_s = record["latency_s"]["compressed"]
    return "-" if latency_s is None else f"{latency_s:.4f}"


ACCURACY = Column("accuracy (ROC-AUC for links)", "accuracy", ".3f", _accuracy)
TRAINING = Column("training CPU-s", "", "", lambda record: f"{record['training_s']:.1f}")
INFERENCE = Column("inference s", "latency_s", ".3f", _seconds)
EPOCHS = Column(
    "epochs (kept, run)", "epochs", ".0f", lambda r: f"{fmean(r['best_epoch']):.0f}, {fmean(r['epochs']):.0f}"
)
OTHERS = Column("also", "", "", _other_scores)
SEEDS = Column("seeds", "", "", lambda record: str(len(record["seeds"])))
PARAMETERS = Column("parameters", "parameters", ",.0f", lambda record: f"{record['parameters']:,}")
STATE = Column("with buffers", "", "", lambda record: f"{record['state_entries']:,}")

CASE_TABLES: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    ("2", "Cora, reported / measured", (ACCURACY, SEEDS, EPOCHS, INFERENCE, TRAINING, OTHERS)),
    ("3", "target models, reported / measured", (PARAMETERS, STATE)),
    ("4", "graph classification, reported / measured", (ACCURACY, SEEDS, EPOCHS, INFERENCE, TRAINING, OTHERS)),
)


def _remarks(entries: Sequence[Reported]) -> list[str]:
    return [f"- {entry.row}, {entry.metric}: {entry.remark}" for entry in entries if entry.remark]
