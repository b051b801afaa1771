"""Table 5 of the paper: how many times smaller Algorithm 1 makes a file, and what makes the differences."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import torch

from bench.report.columns import Records, algorithm1_ratio, titled
from bench.report.reported import Reported
from fixtures.record import Record

NUMBER = "5"
METRIC = "algorithm1_ratio"
TITLE = "dense size / size by Algorithm 1, reported / measured"
# Up to the first sparsity the ratio is reproduced when it deviates by at most the second, above by the third.
MODERATE_SPARSITY, MODERATE_ALLOWANCE, HIGH_ALLOWANCE = 0.8, 0.03, 0.10
# Records of the archive that torch.save has written since 2.1 (the first two) and since 2.7; the paper used 2.0.1.
# Source: pytorch's docs/source/notes/serialization.rst, its pull requests 100994 and 147788.
RECORDS_SINCE_THE_PAPER = ("byteorder", ".data/serialization_id", ".format_version", ".storage_alignment")
# Of an entry in the directory of a zip archive, without the name.
DIRECTORY_ENTRY_BYTES = 46

EXPLANATIONS = (
    f"* deviates by more than {MODERATE_ALLOWANCE:.0%} up to sparsity {MODERATE_SPARSITY:g} or {HIGH_ALLOWANCE:.0%} "
    "above it",
    "values alone: the ratio of files that were nothing but FP32 values; Algorithm 1 stores no positions either, so "
    "its files cannot be decoded",
    "decodable file: the one this suite writes, reads back and runs",
)
# Bytes and names of tensors that come near the reported cell when Algorithm 1 keeps them whole.
IF_KEPT_WHOLE = {
    "proteins.hgpsl.global.s0.8.ft": (65_536, "one of the 128 x 128 convolutions"),
    "proteins.hgpsl.global.s0.9.ft": (131_072, "both 128 x 128 convolutions or lin1.weight"),
}


def size_table(reported: Sequence[Reported], by_id: Records) -> str:
    """Rows of methods and models, columns of sparsities, for the cases that were run; no text when none was."""
    entries = {entry.row: entry for entry in reported if entry.table == NUMBER and entry.row in by_id}
    if not entries:
        return ""
    groups = _grouped(entries, by_id)
    sparsities = sorted({sparsity for rows in groups.values() for sparsity in rows})
    lines = [line for group, rows in groups.items() for line in _lines(group, rows, sparsities, entries, by_id)]
    notes = [
        *EXPLANATIONS,
        *_containers(by_id[row] for row in entries),
        *_kept_whole(by_id[row] for row in entries),
        *_anomalies(reported, entries, by_id),
    ]
    return titled(NUMBER, TITLE, ["sparsity", *(f"{sparsity:g}" for sparsity in sparsities)], lines, notes)


def _grouped(rows: Iterable[str], by_id: Records) -> dict[str, dict[float, str]]:
    """Case ids such as a.b.global.s0.8.ft by their a.b.global and their sparsity."""
    groups: dict[str, dict[float, str]] = {}
    for row in rows:
        record = by_id[row]
        groups.setdefault(f"{record.case_model}.{record.method}", {})[record.settings["sparsity"]] = row
    return groups


def _lines(
    group: str,
    rows: Mapping[float, str],
    sparsities: Sequence[float],
    entries: Mapping[str, Reported],
    by_id: Records,
) -> list[list[str]]:
    newer = bytes_since_the_paper()
    cells = {
        group: lambda row, sparsity: _compared(entries[row], by_id[row], sparsity),
        ". in the container of torch 2.0": lambda row, _: f"{_ratio_without(newer, by_id[row]):.2f}",
        ". values alone": lambda row, _: f"{_values_alone(by_id[row]):.2f}",
        ". decodable file": lambda row, _: f"{1 / by_id[row].size_ratio:.2f}",
    }
    return [
        [title, *(cell(rows[sparsity], sparsity) if sparsity in rows else "" for sparsity in sparsities)]
        for title, cell in cells.items()
    ]


def _compared(entry: Reported, record: Record, sparsity: float) -> str:
    star = "" if _reproduced(entry, record, sparsity) else " *"
    return f"{entry.formatted('.2f')} / {algorithm1_ratio(record):.2f}{star}"


def _reproduced(entry: Reported, record: Record, sparsity: float) -> bool:
    allowance = MODERATE_ALLOWANCE if sparsity <= MODERATE_SPARSITY else HIGH_ALLOWANCE
    return entry.value is not None and abs(algorithm1_ratio(record) / entry.value - 1) <= allowance


def _values_alone(record: Record) -> float:
    return record.parameters / record.nonzero_parameters


def _ratio_without(removed_bytes: int, record: Record) -> float:
    sizes = record.size_bytes
    return (sizes.dense - removed_bytes) / (sizes.algorithm1 - removed_bytes)


def bytes_since_the_paper() -> int:
    """Bytes of every file of torch.save that go to records which torch 2.0.1 did not write.

    A record is a local header, padding to 64 bytes, its content and an entry of the archive's directory.
    """
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        infos = archive.infolist()
        starts = [*(info.header_offset for info in infos), archive.start_dir]
    return sum(
        end - start + DIRECTORY_ENTRY_BYTES + len(info.filename)
        for info, (start, end) in zip(infos, pairwise(starts), strict=True)
        if info.filename.partition("/")[2] in RECORDS_SINCE_THE_PAPER
    )


def _containers(records: Iterable[Record]) -> list[str]:
    """What a file of Algorithm 1 holds beyond FP32 values, by model."""
    beyond: dict[str, list[float]] = {}
    for record in records:
        if not _empty_layers(record):
            container = record.size_bytes.algorithm1 - 4 * record.nonzero_parameters
            beyond.setdefault(record.case_model, []).append(container)
    if not beyond:
        return []
    sizes = ", ".join(f"{name} {fmean(values):,.0f}" for name, values in beyond.items())
    return [
        f"the container of torch.save makes the rest of the difference: bytes beyond the values are {sizes} at any "
        f"sparsity, and about {bytes_since_the_paper()} of them are records that torch 2.0.1, which the paper used, "
        "did not write"
    ]


def _kept_whole(records: Iterable[Record]) -> list[str]:
    return [
        f"{record.id}: nothing is left of {', '.join(layers)}, so Algorithm 1 keeps it whole"
        for record in records
        if (layers := _empty_layers(record))
    ]


def _anomalies(reported: Sequence[Reported], entries: Mapping[str, Reported], by_id: Records) -> list[str]:
    """What the paper's other tables print for the cells that are not reproduced, and what would give them."""
    printed = {entry.row: entry for entry in reported if entry.metric == METRIC and entry.table != NUMBER}
    notes = []
    for group, rows in _grouped(entries, by_id).items():
        for sparsity, row in rows.items():
            if not _reproduced(entries[row], by_id[row], sparsity):
                before, after = printed[f"{group}.s{sparsity:g}"], printed[row]
                notes.append(
                    f"{group} at {sparsity:g}: the paper prints {before.formatted('.2f')} in Table {before.table} "
                    f"before fine-tuning and {after.formatted('.2f')} in Table {after.table} after it"
                    f"{_explanation(row, by_id[row], before, after)}"
                )
    return notes


def _explanation(row: str, record: Record, before: Reported, after: Reported) -> str:
    """What would give the value of a cell that is not reproduced, where something is known."""
    if row in IF_KEPT_WHOLE:
        whole_bytes, tensors = IF_KEPT_WHOLE[row]
        sizes, layers = record.size_bytes, record.layer_sparsity
        ratio = sizes.dense / (sizes.algorithm1 + whole_bytes)
        emptiest = max(layers, key=layers.__getitem__)
        return (
            f". Algorithm 1 keeps a tensor whole when nothing is left of it: {tensors} kept so would give {ratio:.2f}. "
            f"That is a conjecture; here the emptiest is {emptiest}, {layers[emptiest]:.1%} zeros"
        )
    if before.value and after.value and after.value / before.value > 1 + MODERATE_ALLOWANCE:
        return (
            ". A file that shrinks so in fine-tuning lost further weights to it (a conjecture); here "
            f"{record.sparsity:.1%} of the prunable weights are zero after it"
        )
    return ""


def _empty_layers(record: Record) -> list[str]:
    return [layer for layer, sparsity in record.layer_sparsity.items() if sparsity == 1.0]
