"""The cases of a model as options to use, and those that no other one beats in bytes, latency and accuracy."""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any

from tabulate import tabulate

from bench.report.metrics import scores
from bench.report.table import NOTE_WIDTH
from fixtures.findings import FAIL
from fixtures.record import Record, Results
from gnn.tasks import PLANTED_PREFIX

QUANTIZING = frozenset({"qat", "degree-quant", "a2q", "post-training", "bf16", "hybrid"})
NOT_TIMED = "not timed"
UNEXPLAINED = "no reason was recorded"
# All of whose tests are run by scripts/bench.
OWN_SUITE = "bench/"
HEADERS = ("case", "accuracy ± std", "standard error", "bytes (x smaller)", "speed-up")
CRITERIA = (
    "On a front: no other case of the model, the dense one included, is as small, as fast and as accurate, and better "
    "in one of the three. Any higher mean counts, plainly; differences below one standard error of the accuracy over "
    "the seeds are noise.",
    f"A case that was {NOT_TIMED} is compared over bytes and accuracy only, and beats none that was timed. Collapsed "
    "cases are on no front and beat no other. Speed-ups are against our FP32 runtime.",
)
Speed = Callable[[Record], float | None]


@dataclass(frozen=True)
class Option:
    """A case as something to use: what its file was measured to take and to lose, and how to make it again.

    All numbers are of the model that was read back from its file. Those that were not measured are None, and
    `not_timed` says why there is no latency. `smaller` and `speedup` are how many times, against the dense model.
    """

    case: str
    task: str
    model: str
    method_id: str
    settings: dict[str, Any]
    is_dense: bool
    size_bytes: float
    smaller: float
    latency_s: float | None
    speedup: float | None
    speedup_ci95: tuple[float, float] | None
    energy_j: float | None
    energy_source: str
    score: str
    accuracy: float
    accuracy_std: float | None
    drop: float
    drop_ci95: tuple[float, float] | None
    seeds: int
    is_on_front: bool
    is_on_front_of_task: bool
    gate: str
    not_timed: str | None
    command: str

    @property
    def case_model(self) -> str:
        """Task and model, which cases share that are compared."""
        return f"{self.task}.{self.model}"


def options(results: Results) -> list[Option]:
    """Every case that may be used, smallest file first: not what collapsed, is red, or has numbers that are none."""
    usable = [record for record in results.cases if _usable(record)]
    on_front = {record.id for model in _grouped(usable, "case_model").values() for record in front(model)}
    by_task = _grouped(usable, "task").values()
    of_task = {record.id for task in by_task for record in front(task, _passes_a_second)}
    found = [_option(record, results, record.id in on_front, record.id in of_task) for record in usable]
    return sorted(found, key=lambda option: (option.size_bytes, option.case))


def options_of(results: Results) -> list[dict[str, Any]]:
    """The options as JSON has them, for whoever chooses among them in a page."""
    return [asdict(option) for option in options(results)]


def _usable(record: Record) -> bool:
    return not (record.collapsed or record.not_finite or record.gate.status == FAIL)


def _option(record: Record, results: Results, on_front: bool, on_front_of_task: bool) -> Option:
    latency_s, speedup, energy = record.latency_s.compressed, record.speedup, record.energy_j
    reason = record.not_applicable.get("latency_s.compressed", UNEXPLAINED)
    return Option(
        case=record.id,
        task=record.task,
        model=record.model,
        method_id=record.method_id,
        settings=record.settings,
        is_dense=not is_compressed(record),
        size_bytes=record.size_bytes.encoded,
        smaller=1 / record.size_ratio,
        latency_s=latency_s,
        speedup=speedup.compression,
        speedup_ci95=speedup.compression_ci95,
        energy_j=energy.value,
        energy_source=energy.source,
        score=record.score,
        accuracy=record.accuracy.mean,
        accuracy_std=record.accuracy.std,
        drop=record.accuracy_drop.mean,
        drop_ci95=record.accuracy_drop.ci95,
        seeds=len(record.seeds),
        is_on_front=on_front,
        is_on_front_of_task=on_front_of_task,
        gate=record.gate.status,
        not_timed=reason if latency_s is None else None,
        command=command(record, results),
    )


def command(record: Record, results: Results) -> str:
    """The command that trains, compresses, measures and judges this case as this run did."""
    file = results.files.get(record.id, OWN_SUITE)
    start = "scripts/bench" if file.startswith(OWN_SUITE) else f"python -m pytest -p pytest_gnn {shlex.quote(file)}"
    parts = [start, "--profile", results.profile, "--case", shlex.quote(record.id), "--seeds", str(len(record.seeds))]
    parts += ["--data", "planted"] if record.id.startswith(PLANTED_PREFIX) else []
    parts += ["--protocol", results.protocol] if results.protocol != "clean" else []
    return " ".join(parts)


def has_quantized(records: Sequence[Record]) -> bool:
    """Whether a case was trained or converted to integers, alone or with pruning."""
    return any(record.method in QUANTIZING for record in records)


def pareto_fronts(records: Sequence[Record]) -> str:
    """The front of every model with at least two compressed cases, smallest first; no text when there is none."""
    rows, counts = [], []
    for model, cases in sorted(_grouped(records, "case_model").items()):
        if sum(map(is_compressed, cases)) >= 2:
            unbeaten = front(cases)
            rows += [[f"{model}:"], *map(_row, unbeaten)]
            counts.append(_count(model, cases, unbeaten))
    if not rows:
        return ""
    table = tabulate(rows, headers=HEADERS, disable_numparse=True)
    return "\n".join([table, "", *counts, "", *(fill(text, NOTE_WIDTH) for text in CRITERIA)])


def is_compressed(record: Record) -> bool:
    """Whether the weights are no longer the dense model's, or are stored in fewer bits."""
    return record.compressed_tensors > 0 or record.precision != "fp32"


def _grouped(records: Iterable[Record], name: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(getattr(record, name), []).append(record)
    return found


def speedup(record: Record) -> float | None:
    """How many times faster than the dense model, by which cases of one model compare; None where it was not timed."""
    return record.speedup.compression


def _passes_a_second(record: Record) -> float | None:
    """How fast, by which cases of different models compare."""
    return None if record.latency_s.compressed is None else 1 / record.latency_s.compressed


def front(cases: Sequence[Record], fast: Speed = speedup) -> list[Record]:
    """The cases that no other one beats (see `CRITERIA`), smallest file first; `fast` gives more for a faster one."""
    compared = [case for case in cases if not case.collapsed]
    unbeaten = [case for case in compared if not any(_beats(other, case, fast) for other in compared)]
    return sorted(unbeaten, key=lambda case: case.size_bytes.encoded)


def _beats(other: Record, case: Record, fast: Speed) -> bool:
    """Whether another case is nowhere worse than this one, and better somewhere, in all that is known of this one."""
    of_other, of_case = fast(other), fast(case)
    pairs = [
        (case.size_bytes.encoded, other.size_bytes.encoded),
        (other.accuracy.mean, case.accuracy.mean),
    ]
    if of_case is not None:
        if of_other is None:
            return False
        pairs.append((of_other, of_case))
    return all(better >= worse for better, worse in pairs) and any(better > worse for better, worse in pairs)


def _row(record: Record) -> list[str]:
    accuracy, faster = record.accuracy, speedup(record)
    return [
        record.id,
        format(scores(accuracy), ".3f"),
        "-" if accuracy.std is None else f"{accuracy.std / math.sqrt(len(record.seeds)):.4f}",
        f"{record.size_bytes.encoded:,.0f} ({1 / record.size_ratio:.2f}x)",
        NOT_TIMED if faster is None else f"{faster:.2f}x",
    ]


def _count(model: str, cases: Sequence[Record], unbeaten: Sequence[Record]) -> str:
    collapsed = sum(bool(case.collapsed) for case in cases)
    dominated = len(cases) - len(unbeaten) - collapsed
    return f"{model}: {len(unbeaten)} of {len(cases)} cases on the front, {dominated} dominated, {collapsed} collapsed"
