"""What `bench/test_runtime.py` found, as tables: how much faster, and why not faster still."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.table import Cell, Quantity, Table
from bench.runtime.work import Peaks, Work

Found = Sequence[Mapping[str, Any]]

SPEED_STYLES = {
    "ms": ".3g",
    "over eager": ".2f",
    "over our FP32": ".2f",
    "both deduplicated": ".2f",
    "deduplication": ".2f",
    "preparing": ".1f",
    "apart": ".1g",
}
ROOFLINE_STYLES = {
    "MFLOP": ".3g",
    "MB along edges": ".3g",
    "least ms": ".3g",
    "ms": ".3g",
    "share": ".0%",
    "fewer FLOP": ".2f",
    "faster": ".2f",
}


def speed_table(found: Found) -> Table:
    """A row for every method and every peer on every batch of every model; what was not measured is a note."""
    headers = ("model", "batch", "method or peer", *SPEED_STYLES)
    rows = [
        [one["model"], one["batch"], _named(row), *_speeds(row)]
        for one in found
        for row in one["rows"]
        if row["seconds"] is not None
    ]
    notes = (
        "over eager is PyG's eager FP32 / this; for FP32 that is our runtime's own share, without any compression",
        "over our FP32 is our best FP32 / this: what compression brings, or how far a peer is behind where it is "
        "below 1; neither side computes equal rows once, both do in the column after",
        "deduplication is our FP32 / the same with equal rows once; preparing a graph for that takes as many such "
        "inferences as it says",
        "apart is the largest difference from the same model's own forward pass, of a peer (in brackets) from the "
        "dense model's, as a share of the largest logit",
        "ms are of the moment at which a row was timed, and do not compare; ratios are of two sides that took turns",
        "one thread where a peer does not say otherwise; weights are fresh, no time depends on them",
        *_refusals(found),
    )
    return Table("runtime", "Inference: both speed-ups, beside the peers", headers, rows, notes, SPEED_STYLES)


def _refusals(found: Found) -> list[str]:
    """Each reason why something was not measured once, with what and where."""
    where: dict[tuple[str, str], dict[str, None]] = {}
    for one in found:
        for row in one["rows"]:
            if row["reason"]:
                where.setdefault((row["reason"], _named(row)), {})[one["model"]] = None
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (reason, name), models in where.items():
        of_all = len(models) == len({one["model"] for one in found})
        by_reason.setdefault((reason, "every model" if of_all else ", ".join(models)), []).append(name)
    return [f"not measured: {', '.join(names)} on {models}: {reason}" for (reason, models), names in by_reason.items()]


def roofline_table(found: Found) -> Table:
    """What each model's products and messages would take at least, and what they take; what methods leave of them."""
    headers = ("model", "batch", "method", *ROOFLINE_STYLES)
    rows: list[list[Cell]] = []
    for one in found:
        work, limits = Work(**one["work"]), Peaks(**one["peaks"])
        least_s = work.least_s(limits)
        for row in (row for row in one["rows"] if not row["peer"] and row["seconds"] is not None):
            share = row["flop"] / work.flop if work.flop else 1.0
            dense = share == 1 and row["over_fp32"] == 1
            if share == 1 and not dense:
                continue
            of_dense = [work.flop / 1e6, work.message_bytes / 1e6, least_s * 1e3] if dense else [None] * 3
            milliseconds = row["seconds"] * 1e3
            rows.append(
                [
                    *(one["model"], one["batch"], row["name"]),
                    *of_dense,
                    milliseconds,
                    least_s / row["seconds"] if dense else None,
                    1 / share if share else None,
                    row["over_fp32"],
                ]
            )
    notes = (
        "least is what the products take at this core's best rate and the messages along edges at its cache's, "
        "if nothing else took any time; share is least / ms",
        "fewer FLOP is the most that a method could bring if products were all; faster is what it brings; methods "
        "that leave all operations are not in this table",
    )
    return Table("roofline", "What it takes at least", headers, rows, notes, ROOFLINE_STYLES)


def peaks_sentence(found: Found) -> str:
    """What one core of this machine does at most, as the run measured it; the best of all tests."""
    best = {name: max(one["peaks"][name] for one in found) for name in found[0]["peaks"]}
    return (
        f"One core: {best['flop'] / 1e9:.3g} GFLOP/s in the best FP32 product and {best['byte_operations'] / 1e9:.3g} "
        f"GOP/s in the best product of whole numbers ({best['byte_operations'] / best['flop']:.2g} times as many), "
        f"{best['cache_bytes'] / 1e9:.3g} GB/s read from the cache, {best['memory_bytes'] / 1e9:.3g} GB/s from memory."
    )


def runtime_sentence(found: Mapping[str, Any]) -> str:
    """A model on a batch in one line: our FP32 over eager, and the method that brings most."""
    rows = [row for row in found["rows"] if row["over_fp32"] is not None]
    best = max((row for row in rows if not row["peer"]), key=lambda row: row["over_fp32"])
    return (
        f"{found['model']} on {found['what']}: FP32 {rows[0]['over_eager']:.2f} times as fast as PyG eager, "
        f"{best['name']} {best['over_fp32']:.2f} times as that"
    )


def _named(row: Mapping[str, Any]) -> str:
    return f"({row['name']})" if row["peer"] else row["name"]


def _speeds(row: Mapping[str, Any]) -> list[Cell]:
    low_and_high = row["interval"]
    interval = None if low_and_high is None else (low_and_high[0], low_and_high[1])
    of_eager = Quantity(row["over_eager"], interval=interval) if row["over_fp32"] == 1 else row["over_eager"]
    of_fp32 = row["over_fp32"] if row["over_fp32"] == 1 else Quantity(row["over_fp32"], interval=interval)
    once = (row.get(name) for name in ("over_fp32_deduplicated", "deduplication", "preparing"))
    return [row["seconds"] * 1e3, of_eager, of_fp32, *once, row["difference"]]
