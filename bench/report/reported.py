"""What the paper reports, as data."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).with_name("reported.csv")
COMPRESSION = Path(__file__).with_name("reported_compression.csv")
QUANTIZATION = Path(__file__).with_name("reported_quantization.csv")


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


def _read(path: Path) -> tuple[Reported, ...]:
    with path.open(newline="") as file:
        return tuple(Reported.parse(row) for row in csv.DictReader(file))
