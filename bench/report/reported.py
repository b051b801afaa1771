"""What the paper reports, as data."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

MODELS = Path(__file__).with_name("reported.csv")
COMPRESSION = Path(__file__).with_name("reported_compression.csv")
QUANTIZATION = Path(__file__).with_name("reported_quantization.csv")
REASONS = Path(__file__).with_name("reasons.csv")


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
        """One row of a file of reported values."""
        value, std = (float(row[name]) if row[name] else None for name in ("value", "std"))
        return cls(row["table"], row["row"], row["metric"], value, std, row["text"], row["remark"])

    def formatted(self, style: str) -> str:
        """The value with its deviation, both in a format such as ".3f", or the text."""
        if self.value is None:
            return self.text
        std = "" if self.std is None else f" ± {self.std:{style}}"
        return f"{self.value:{style}}{std}"


@dataclass(frozen=True)
class Reason:
    """Why scores of the paper are not what a run measures; table, row and protocol are patterns such as cora-link.*.

    It holds where the measured score is `side` of the reported one: higher or lower.
    """

    table: str
    row: str
    protocol: str
    side: str
    verdict: str
    reason: str

    def concerns(self, entry: Reported, protocol: str, difference: float) -> bool:
        """Whether this is known of a reported value, where what was measured differs so."""
        pairs = ((entry.table, self.table), (entry.row, self.row), (protocol, self.protocol))
        return all(fnmatchcase(*pair) for pair in pairs) and self.side == ("higher" if difference > 0 else "lower")


@cache
def read_reasons() -> tuple[Reason, ...]:
    """What is known of scores that differ; each follows from the data, the protocol, or the paper's own tables."""
    with REASONS.open(newline="") as file:
        return tuple(Reason(**row) for row in csv.DictReader(file))


def read_all_reported() -> tuple[Reported, ...]:
    """Everything the paper reports in Tables 1 to 17."""
    return (*read_reported(), *read_reported_compression(), *read_reported_quantization())


def read_reported() -> tuple[Reported, ...]:
    """Everything the paper reports in Tables 1 to 4, keyed by the task or the case id that measures it."""
    return _read(MODELS)


def read_reported_compression() -> tuple[Reported, ...]:
    """Everything the paper reports in Tables 5, 6 and 9 to 17, keyed by the case id that measures it.

    The rows of Table 6 are a model and a method, such as bbbp.gnnnet.global; its texts are the sparsities at which
    the extremes were measured. Table 5 repeats the sizes of Tables 10 and 12, so its rows are fine-tuned cases.
    """
    return _read(COMPRESSION)


def read_reported_quantization() -> tuple[Reported, ...]:
    """Everything the paper reports in Tables 7 and 8, keyed by the case id or by what its six variants share of theirs.

    A row is one such as bbbp.gin.qat.int8: the paper does not say which variant it shows.
    """
    return _read(QUANTIZATION)


@cache
def _read(path: Path) -> tuple[Reported, ...]:
    with path.open(newline="") as file:
        return tuple(Reported.parse(row) for row in csv.DictReader(file))
