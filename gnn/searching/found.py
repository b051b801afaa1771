"""What a search gives, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from statistics import fmean
from typing import Any

from torch import nn

from gnn.atomic_file import AnyPath, replace_file
from gnn.case import Case
from gnn.compression import CompressionSettings
from gnn.errors import StorageError
from gnn.searching.candidates import Candidate

# Scores that people speak of in points, a hundredth each; all lie between 0 and 1.
IN_POINTS = ("accuracy", "f1", "roc_auc", "average_precision")

TABLE_HEAD = f"{'left':>7}  {'score':>7}  {'drop':>7}  {'bytes':>10}  {'smaller':>7}  {'speed':>6}  {'seeds':>5}  what"


@dataclass(frozen=True, eq=False)
class Found:
    """The smallest file within the limits.

    Args:
        model: The model as read back from its file, ready to run.
        chosen: What was measured of it on the validation part.
        score_name: What the scores are.
        test_score: That of the model on the test part, which was looked at once.
        dense_test_score: That of the dense model of the same seed.
        dense_size_bytes: Bytes of the dense model as torch.save writes it.
        front: Candidates for which no other one has a smaller file and loses as little, smallest file first.
        failed: Why candidates could not be tried.
        untried: How many methods did not fit into the time.
        code: The line that makes the same file again, with MODEL and TASK for what was given, a trained module being
            `gnn.Model(name, build=lambda: module, weights=module.state_dict())`: the case of its test function, run
            with seed 0, writes the same bytes.
        content: The bytes of the file.
    """

    model: nn.Module
    chosen: Candidate
    score_name: str
    test_score: float
    dense_test_score: float
    dense_size_bytes: int
    front: tuple[Candidate, ...]
    failed: Mapping[str, str]
    untried: int
    code: str
    content: bytes = field(repr=False)

    @property
    def case_id(self) -> str:
        """The id of the case that the file is of."""
        return self.chosen.case.id

    @property
    def settings(self) -> CompressionSettings:
        """The method and its settings."""
        return self.chosen.case.compression

    @property
    def fine_tune(self) -> bool:
        """Whether it was fine-tuned."""
        return self.chosen.case.fine_tune

    @property
    def precision(self) -> str:
        """That of the weights in the file."""
        return self.chosen.case.precision

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that it was tried with; the file is that of the first."""
        return self.chosen.seeds

    @property
    def validation_scores(self) -> tuple[float, ...]:
        """Validation scores by seed."""
        return self.chosen.scores

    @property
    def dense_validation_scores(self) -> tuple[float, ...]:
        """Those of the dense models of the same seeds."""
        return self.chosen.dense_scores

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.chosen.size_bytes

    @property
    def latency_s(self) -> float | None:
        """Seconds of one compiled inference (see `gnn.searching.speed.Speed`), None where it could not be measured."""
        return None if self.chosen.speed is None else self.chosen.speed.latency_s

    @property
    def speedup(self) -> float | None:
        """How many times faster it is than the dense model, which is compiled as well."""
        return None if self.chosen.speed is None else self.chosen.speed.speedup

    @property
    def table(self) -> list[str]:
        """The front as lines, the chosen candidate marked."""
        marks = {self.case_id: "chosen"}
        lines = [table_line(c, self.dense_size_bytes, marks.get(c.case.id, "")) for c in self.front]
        return [TABLE_HEAD.replace("left", "    "), *lines]

    @property
    def sentence(self) -> str:
        """What was won and what was given up."""
        return self.told("the file")

    def told(self, name: str) -> str:
        """What was won and what was given up by a file of this name."""
        speed, score, dense = self.chosen.speed, self.validation_scores[0], self.dense_validation_scores[0]
        fast = "its speed could not be measured"
        if speed is not None:
            fast = (
                f"{speed.speedup:.1f} times as fast ({1e3 * speed.latency_s:.3g} ms, measured alone for "
                f"{speed.measured_s:.1f} s on one thread)"
            )
        lost = _amount(dense - score, self.score_name)
        seeds = f", on average over {len(self.seeds)} seeds {_amount(fmean(self.chosen.drops), self.score_name)}"
        return (
            f"{name} is {self.dense_size_bytes / self.size_bytes:.1f} times smaller than the dense file "
            f"({self.size_bytes:,} of {self.dense_size_bytes:,} bytes) and {fast}; it gives up {lost} of validation "
            f"{self.score_name} ({number(dense)} to {number(score)}{seeds if len(self.seeds) > 1 else ''}), and scores "
            f"{number(self.test_score)} on the test part (dense {number(self.dense_test_score)})"
        )

    def save(self, path: AnyPath) -> int:
        """Write the file and return its size in bytes; `gnn.load` reads it. Raises `StorageError`."""
        try:
            with replace_file(path) as file:
                file.write(self.content)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); name a file that you may write to"
            ) from error
        return len(self.content)


def number(score: float) -> str:
    """A score with four digits, without the zero that those between 0 and 1 begin with."""
    return f"{score:.4f}".replace("0.", ".", 1) if 0 <= score < 1 else f"{score:.4f}"


def _amount(drop: float, score_name: str) -> str:
    """What is lost of a score; nothing where it became better."""
    if drop <= 0:
        return "nothing"
    return f"{100 * drop:.1f} points" if score_name in IN_POINTS else f"{drop:.4g}"


def table_line(candidate: Candidate, dense_size_bytes: int, left: str) -> str:
    """One candidate of the front: the score of its file, what it lost, and what that bought."""
    speed = "?" if candidate.speed is None else f"{candidate.speed.speedup:.2f}x"
    smaller = f"{dense_size_bytes / candidate.size_bytes:.1f}x"
    return (
        f"{left:>7}  {number(candidate.scores[0]):>7}  {candidate.drop:>7.4f}  {candidate.size_bytes:>10,}  "
        f"{smaller:>7}  {speed:>6}  {len(candidate.seeds):>5}  {candidate.case.method_id}"
    )


def code_line(case: Case, model: str, task: str) -> str:
    """The line of code that asks for a case."""
    options = (", fine_tune=True" if case.fine_tune else "") + (
        f', precision="{case.precision}"' if case.precision != "fp32" else ""
    )
    return f"gnn.cases({task}, {model}, {_expression(case.compression)}{options})"


def _expression(value: Any) -> str:  # noqa: ANN401
    """Settings as they are written in code, those of this library below `gnn`."""
    if not is_dataclass(value):
        return repr(value)
    kind = type(value)
    prefix = "gnn" if kind.__module__.startswith("gnn.") else kind.__module__
    parts = ", ".join(f"{part.name}={_expression(getattr(value, part.name))}" for part in fields(value))
    return f"{prefix}.{kind.__qualname__}({parts})"
