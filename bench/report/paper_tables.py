"""The tables of the paper, with what it reports beside what was measured."""

from collections.abc import Mapping, Sequence

from bench.report.columns import (
    ACCURACY,
    DECODABLE_RATIO,
    ENERGY,
    EPOCHS,
    FLAGGED,
    INFERENCE,
    MEMORY,
    OTHERS,
    PARAMETERS,
    PROCESSOR,
    SEEDS,
    SIZE_RATIO,
    STARRED_ACCURACY,
    STATE,
    TRAINING,
    TRAINING_ENERGY,
    CaseTable,
    remarks,
    titled,
)
from bench.report.quantization_table import quantization_table, quantized_resource_table
from bench.report.regularization_table import regularization_table
from bench.report.reported import Reported, read_reported, read_reported_compression, read_reported_quantization
from bench.report.resource_table import ENERGIES_DIFFER, RESOURCES_DIFFER, resource_table
from bench.report.size_table import size_table
from fixtures.record import Record

STATISTICS = ("graphs", "nodes", "edges", "features", "labels")

MODEL_TABLES = (
    CaseTable("2", "Cora, reported / measured", (ACCURACY, SEEDS, EPOCHS, INFERENCE, TRAINING, OTHERS)),
    CaseTable("3", "target models, reported / measured", (PARAMETERS, STATE)),
    CaseTable("4", "graph classification, reported / measured", (ACCURACY, SEEDS, EPOCHS, INFERENCE, TRAINING, OTHERS)),
)

INFERENCE_DIFFERS = (
    "inference: one pass over the test part here; the paper's two seconds are not explained by its own Table 2, which "
    "has 0.004 s for the dense SplineNet"
)
PRUNING = ("global pruning", "global pruning, fine-tuned", "fine-grained pruning", "fine-grained pruning, fine-tuned")
PRUNING_TABLES = tuple(
    CaseTable(str(number), f"{title}, reported / measured", columns, notes)
    for first, columns, notes in (
        (9, (STARRED_ACCURACY, SEEDS, SIZE_RATIO, DECODABLE_RATIO, INFERENCE), (FLAGGED, INFERENCE_DIFFERS)),
        (13, (ENERGY, TRAINING_ENERGY, PROCESSOR, MEMORY), (RESOURCES_DIFFER, ENERGIES_DIFFER)),
    )
    for number, title in enumerate(PRUNING, start=first)
)


def paper_tables(records: Sequence[Record], statistics: Mapping[str, Mapping[str, int | str]]) -> str:
    """All tables as text; a row is there when its case was run, and a table when it has a row.

    `statistics` are those of the real tasks by name: planted data is no data of the paper.
    """
    reported, compressed, quantized = read_reported(), read_reported_compression(), read_reported_quantization()
    by_id = {record.id: record for record in records}
    parts = [
        _data_table(reported, statistics),
        *(table.text(reported, by_id) for table in MODEL_TABLES),
        size_table(compressed, by_id),
        resource_table(compressed, by_id),
        quantization_table(quantized, by_id),
        quantized_resource_table(quantized, by_id),
        *(table.text(compressed, by_id) for table in PRUNING_TABLES),
        regularization_table(compressed, by_id),
    ]
    return "\n\n".join(part for part in parts if part)


def _data_table(reported: Sequence[Reported], statistics: Mapping[str, Mapping[str, int | str]]) -> str:
    entries = [entry for entry in reported if entry.table == "1" and entry.row in statistics]
    if not entries:
        return ""
    rows = []
    for task in dict.fromkeys(entry.row for entry in entries):
        of_task = {entry.metric: entry for entry in entries if entry.row == task}
        rows.append([task, *(f"{of_task[m].formatted(',.0f')} / {statistics[task][m]:,}" for m in STATISTICS)])
        sizes = {name: value for name, value in statistics[task].items() if name not in STATISTICS}
        rows[-1].append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sizes.items()))
    return titled("1", "data, reported / measured", ["data", *STATISTICS, ""], rows, remarks(entries))
