"""What a person reads at the end of a run: a row per case, what else there is to know, and the verdict."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from textwrap import shorten
from typing import Any

from tabulate import tabulate

from fixtures.record import Record
from fixtures.thresholds import Allowance

HEADERS = ("case", "accuracy (vs dense)", "bytes (fewer)", "ms (faster)", "joules (source)", "gate")
UNEXPLAINED = "no reason was recorded"
WIDTH = 118
# What a reader has to look at comes first.
MOVED = ("fail", "not-measured", "undecided", "improved", "pass")
# A green run of the quick profile stays within 60 lines.
OPEN_LINES = 2


def status(record: Record) -> str:
    """The gate's status, or "improved" for a case that passes and is better than its snapshot or accepted ratio."""
    gate = record.gate
    return "improved" if gate.status == "pass" and gate.improvements else gate.status


def summary_table(records: Sequence[Record]) -> str:
    """Put one row per case under the task and model that it shares with others, what moved first.

    (fewer) and (faster) are how many times, against the dense model on the same runtime; a dash was not measured.
    """
    rows = []
    model_of = attrgetter("case_model")
    by_model = groupby(sorted(records, key=model_of), key=model_of)
    models = [(model, sorted(cases, key=_movement)) for model, cases in by_model]
    for model, cases in sorted(models, key=lambda entry: (_movement(entry[1][0])[0], entry[0])):
        rows.append([f"{model}:"])
        rows += [_row(record) for record in cases]
    return tabulate(rows, headers=HEADERS, disable_numparse=True)


def _movement(record: Record) -> tuple[int, str]:
    """Where a case stands among its neighbours: what is wrong or better first, then by its id."""
    return MOVED.index(status(record)), record.id


def _row(record: Record) -> list[str]:
    accuracy, drop, energy = record.accuracy, record.accuracy_drop.mean, record.energy_j
    std = "" if accuracy.std is None else f" ± {accuracy.std:.3f}"
    change = "" if drop is None else f" ({0.0 - drop:+.3f})"
    return [
        record.method_id,
        "-" if accuracy.mean is None else f"{accuracy.mean:.3f}{std}{change}",
        f"{record.size_bytes.encoded:,.0f} ({1 / record.size_ratio:.2f}x)",
        _latency(record.latency_s.compressed, record.speedup.compression),
        "-" if energy.value is None else f"{energy.value:.2g} ({energy.source})",
        status(record),
    ]


def _latency(latency_s: float | None, speedup: float | None) -> str:
    if latency_s is None:
        return "-"
    return f"{latency_s * 1e3:.3f}" + ("" if speedup is None else f" ({speedup:.2f}x)")


def notes(records: Sequence[Record]) -> list[str]:
    """Say in one line each how the numbers of the table came about, and which are not there."""
    seeds = sorted({len(record.seeds) for record in records})
    found = [
        f"mean ± std over {' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}; "
        "latency of the whole test part on one thread, "
        f"{records[0].latency_s.statistic}"
    ]
    runtime = [record.speedup.runtime for record in records if record.speedup.runtime is not None]
    if runtime:
        found.append(
            f"the dense runtime itself is {statistics.median(runtime):.1f} times as fast as plain eager FP32 "
            "(no compression in that)"
        )
    if any(record.energy_j.source == "estimate" for record in records):
        found.append("energy estimates follow CPU time by construction: they are no independent evidence")
    return found + _not_timed(records)


def _not_timed(records: Sequence[Record]) -> list[str]:
    reasons = Counter(
        record.not_applicable.get("latency_s.compressed", UNEXPLAINED)
        for record in records
        if record.latency_s.compressed is None
    )
    if not reasons:
        return []
    (reason, _), cases = reasons.most_common(1)[0], reasons.total()
    others = f" (and {len(reasons) - 1} more reasons, see --results)" if len(reasons) > 1 else ""
    sentence = f"latency of {cases} case{'s' * (cases > 1)} was not measured: {reason}"
    return [shorten(sentence, WIDTH - len(others), placeholder=" ...") + others]


def snapshot_notes(records: Sequence[Record], allowances: Sequence[Allowance]) -> list[str]:
    """Say which cases have no snapshot to be compared with, and which have one that allows sizes to differ."""
    found = [record.snapshot for record in records]
    foreign = sum(snapshot.foreign for snapshot in found if snapshot)
    lines = []
    if missing := found.count(None):
        lines.append(f"{missing} case{'s have' if missing > 1 else ' has'} no accepted values yet")
    if foreign:
        share = max((allowance.relative or 0.0 for allowance in allowances if allowance.exact), default=0.0)
        lines.append(
            f"sizes within {share:.0%}: {foreign} of {len(found) - missing} snapshots are from another instruction set "
            "(or vendor, or build of torch)"
        )
    return lines


def open_questions(records: Sequence[Record]) -> list[str]:
    """Give a line to each case that is neither red nor a plain pass: what is undecided, not measured, or better."""
    moved = sorted((record for record in records if status(record) not in ("pass", "fail")), key=_movement)
    sentences = [
        shorten(f"{status(record)}: {sentence}", WIDTH, placeholder=" ...")
        for record in moved
        for sentence in (*record.gate.reasons, *record.gate.improvements)[:1]
    ]
    if len(sentences) <= OPEN_LINES:
        return sentences
    left = len(sentences) - OPEN_LINES + 1
    return [*sentences[: OPEN_LINES - 1], f"{left} more cases like this: see the gate's reasons in --results"]


def verdict(
    records: Sequence[Record],
    failed: int,
    broken: int,
    gate: str,
    profile_cases: int,
    *,
    interrupted: bool = False,
) -> str:
    """Say in one sentence how the run ended, and how many of the profile's cases it judged.

    `failed` tests or other things are red, and `broken` tests gave no result.
    """
    count = Counter(status(record) for record in records)
    judged = "" if len(records) == profile_cases else f", judged {len(records)} of {profile_cases} cases"
    counted = ", ".join(f"{count[name]} {name}" for name in reversed(MOVED) if count[name])
    if failed:
        lost = f", {broken} of them without a result" if broken else ""
        return f"RED under --gate {gate}: {failed} failed{lost}{judged} ({counted})"
    judged = judged.removeprefix(", ") or f"{len(records)} cases"
    if interrupted:
        return f"INTERRUPTED under --gate {gate}: {judged} ({counted}), and nothing is known of the others"
    return f"GREEN under --gate {gate}: {judged} ({counted})"


def compared_sentence(compared: Mapping[str, Any]) -> str:
    """What another tool's quantization makes of a dense model: layers, accuracy, bytes and speed, its own both times.

    Integer products tell whether the layers really run on integers, or only keep their weights so.
    """
    layers = f"{compared['quantized_layers']} of {compared['layers']} layers"
    return (
        f"{compared['tool']} {compared['config']} on {compared['model']} quantizes {layers} "
        f"({compared['integer_products']} products on integers): "
        f"accuracy {compared['accuracy']:.3f} (dense {compared['dense_accuracy']:.3f}), "
        f"{compared['state_bytes']:,} bytes of torch.save (dense {compared['dense_state_bytes']:,}), "
        f"{compared['latency_s'] * 1e3:.3g} ms, {compared['speedup_to_forward']:.3g} times as fast as its own FP32 "
        f"forward pass and {compared['speedup_to_runtime']:.3g} times as our FP32 runtime"
    )


def cuda_sentence(cuda: Mapping[str, Any]) -> str:
    """What one inference takes on a GPU, and on the processor of the same machine."""
    peak, joules = cuda["peak_bytes"], cuda["energy_j"]
    memory = "its memory was not measured" if peak is None else f"{peak / 1e6:.1f} MB of tensors at most"
    energy = "its energy was not measured" if joules is None else f"{joules:.3g} J ({cuda['energy_source']})"
    return (
        f"{cuda['model']} on {cuda['device']}: {cuda['latency_s'] * 1e3:.3g} ms, on the processor "
        f"{cuda['processor_latency_s'] * 1e3:.3g} ms; {memory}, {energy}"
    )


def measuring_sentence(measuring_s: float, wall_s: float) -> str:
    """How much of a run was measuring, for which all else had to wait."""
    return f"measuring took {measuring_s:.0f} of {wall_s:.0f} s ({measuring_s / wall_s:.1%} of the run)"
