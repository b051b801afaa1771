"""Tables 7 and 8 of the paper, from records made by hand."""

import pytest

from bench.matrix import TABLE
from bench.report.columns import FLAGGED
from bench.report.paper_tables import paper_tables
from bench.report.quantization_table import (
    AGREEMENT,
    CHOSEN,
    COLLAPSED,
    COLUMNS,
    MEASURED,
    RESOURCE_COLUMNS,
    TIMES_DIFFER,
    VARIANTS,
)
from bench.report.reported import read_reported_quantization
from bench.report.resource_table import ENERGIES_DIFFER, RESOURCES_DIFFER
from fixtures.record import Record
from tests.bench.made_up_records import cells, made_up_record, notes, tables

DENSE = "bbbp.gin.dense"
INT8 = "bbbp.gin.qat.int8"
GROUPS = ("dense", "a2q", *(f"{method}.{bits}" for method in ("qat", "degree-quant") for bits in ("int4", "int8")))


def quantized(case_id: str, **changes: object) -> Record:
    of_integers = {
        "bit_width": {"weights": 8.0, "activations": 7.0, "mean": 7.256, "histogram": None},
        "integer_agreement": {
            "classes": 0.99512,
            "largest_difference": 0.000123,
            "identical": 0.9,
            "largest_logit": 2.0,
        },
    }
    return made_up_record(case_id, **{**of_integers, **changes})


def tables_of(*records: Record) -> dict[str, str]:
    return tables(paper_tables(records, {}))


def table_7(*records: Record) -> str:
    return tables_of(*records)["7"]


def first_cells(table: str) -> list[str]:
    return [line.split("  ")[0] for line in table.splitlines()[3:] if line[:2] not in ("- ", "  ")]


def note(table: str, start: str) -> str:
    (found,) = [note for note in notes(table) if note.startswith(start)]
    return found


def test_every_line_of_both_tables_is_there_with_all_its_values() -> None:
    reported = {(entry.table, entry.row, entry.metric): entry for entry in read_reported_quantization()}
    assert len(reported) == len(read_reported_quantization())
    assert reported.keys() == {
        (table, f"{task}.gin.{group}", column.metric)
        for table, columns in (("7", COLUMNS), ("8", RESOURCE_COLUMNS))
        for column in columns
        if column.metric
        for task in ("bbbp", "proteins")
        for group in GROUPS
    }
    assert all(entry.value is not None and entry.std is not None for entry in reported.values())
    assert reported["7", "proteins.gin.degree-quant.int8", "training_s"].value == 60.3
    assert reported["8", "bbbp.gin.a2q", "memory_gb"].formatted(".2f") == "80.15 ± 0.49"


def test_every_reported_line_is_a_case_of_the_matrix_or_has_its_variants_there() -> None:
    ids = {row.case.id for row in TABLE}
    for name in {entry.row for entry in read_reported_quantization()}:
        assert name in ids or {f"{name}.{variant}" for variant in VARIANTS} <= ids, name


def test_what_the_paper_reports_stands_before_what_was_measured() -> None:
    table = table_7(quantized("bbbp.gin.a2q"))
    assert cells(table, "bbbp.gin.a2q") == [
        "bbbp.gin.a2q",
        "0.59 ± 0.01 / 0.883 ± 0.012 *",
        "-0.017",
        "4",
        "7.26",
        "1,250 (4.00x)",
        "159.6 ± 3.7 / 12.3",
        "2.20 ± 0.02 / 0.250 (1.50x)",
        "99.51%, 90.00%, 1.2e-04",
    ]
    assert {FLAGGED, CHOSEN, COLLAPSED, MEASURED, AGREEMENT, TIMES_DIFFER} <= set(notes(table))


def test_the_dense_model_stands_beside_what_is_quantized_of_it_and_has_no_integers() -> None:
    table = table_7(made_up_record("proteins.gin.dense"), made_up_record(DENSE), quantized("bbbp.gin.a2q"))
    assert first_cells(table) == [DENSE, "bbbp.gin.a2q"]
    assert cells(table, DENSE)[-1] == "-"


def test_without_anything_quantized_there_is_no_table() -> None:
    found = tables_of(
        made_up_record(DENSE),
        made_up_record("bbbp.gin.dense.stored-int8"),
        quantized("bbbp.gin.post-training.int8"),
        quantized("planted-bbbp.gin.a2q"),
        quantized(f"{INT8}.ste-abs.ft"),
    )
    assert found.keys() == {"4"}


def test_a_line_is_that_of_the_variant_with_the_lowest_validation_loss() -> None:
    table = table_7(
        quantized(f"{INT8}.gc-per", validation_loss=0.4, accuracy={"mean": 0.99, "std": 0.0}),
        quantized(f"{INT8}.ste-mom", validation_loss=0.3, accuracy={"mean": 0.82, "std": 0.01}),
        quantized(f"{INT8}.ste-abs", validation_loss=None, accuracy={"mean": 0.98, "std": 0.0}),
        quantized(f"{INT8}.gc-abs", validation_loss=None, accuracy={"mean": 0.97, "std": 0.0}),
    )
    assert first_cells(table) == [f"{INT8}: ste-mom", ". ste-abs", ". ste-mom", ". gc-abs", ". gc-per"]
    assert cells(table, f"{INT8}: ste-mom")[1] == "0.83 ± 0.01 / 0.820 ± 0.010"
    assert cells(table, ". gc-per")[1] == "0.990 ± 0.000"
    assert cells(table, ". ste-mom")[6:8] == ["12.3", "0.250 (1.50x)"]


def test_without_a_validation_loss_no_variant_is_chosen() -> None:
    found = tables_of(quantized(f"{INT8}.gc-per", validation_loss=None))
    assert first_cells(found["7"]) == [f"{INT8}: no validation loss", ". gc-per"]
    assert first_cells(found["8"]) == [f"{INT8}: no validation loss"]


def test_what_was_not_timed_is_a_dash() -> None:
    unmeasured = {"latency_s": {"compressed": None}, "speedup": {"compression": None}}
    assert cells(table_7(quantized("bbbp.gin.a2q", **unmeasured)), "bbbp.gin.a2q")[7] == "2.20 ± 0.02 / -"


def test_what_collapsed_says_so_in_its_line() -> None:
    table = table_7(
        quantized(f"{INT8}.gc-per", collapsed=True), quantized(f"{INT8}.gc-mom"), quantized(f"{INT8}.gc-abs")
    )
    assert cells(table, ". gc-per")[2] == "-0.017 COLLAPSED"
    assert cells(table, ". gc-mom")[2] == "-0.017"


def variants(collapsed: set[str], task: str = "bbbp") -> list[Record]:
    """All 24 variants; those collapsed that a part of `collapsed` names."""
    ids = [f"{task}.gin.{group}.{variant}" for group in GROUPS[2:] for variant in VARIANTS]
    return [quantized(case_id, collapsed=any(part in case_id for part in collapsed)) for case_id in ids]


@pytest.mark.parametrize(
    ("collapsed", "said"),
    [
        (set[str](), "none"),
        ({"int4.ste-abs", "int4.gc-abs", "int4.ste-mom", "int4.gc-mom"}, "8 of the 8 variants with int4, {ranges}"),
        ({"int4.ste-abs", "qat.int4.gc-mom"}, "3 of the 8 variants with int4, {ranges}"),
        ({"degree-quant.int8.gc"}, "3 of the 3 variants with Degree-Quant, int8, clipped gradients"),
        ({"ste"}, "12 of the 12 variants with straight-through gradients"),
        ({"qat.int8.ste-per"}, "1 of the 1 variants with QAT, int8, straight-through gradients, percentile ranges"),
        ({"int"}, "24 of the 24 variants"),
    ],
)
def test_what_collapsed_variants_share_is_said(collapsed: set[str], said: str) -> None:
    found = note(table_7(*variants(collapsed)), "collapsed on")
    assert found == f"collapsed on bbbp.gin: {said.format(ranges='absolute or momentum ranges')}"


def test_what_collapsed_is_said_model_by_model_and_by_name_where_there_are_no_variants() -> None:
    table = table_7(
        *variants({"int4"}),
        quantized("bbbp.gin.a2q", collapsed=True),
        made_up_record(DENSE, collapsed=None),
        *variants({"per"}, "proteins"),
    )
    assert note(table, "collapsed on bbbp") == "collapsed on bbbp.gin: bbbp.gin.a2q, 12 of the 12 variants with int4"
    assert note(table, "collapsed on proteins").endswith("gin: 8 of the 8 variants with percentile ranges")


def test_bits_of_nodes_are_means_by_in_degree_and_high_degrees_are_pooled() -> None:
    histogram = {"10": {"8": 1}, "0": {"2": 7}, "1": {"2": 3, "4": 1}, "3": {}, "5": {"5": 3}}
    bit_width = {"weights": 4.0, "activations": 3.0, "mean": 3.5, "histogram": histogram}
    table = table_7(quantized("bbbp.gin.a2q", bit_width=bit_width), quantized(f"{INT8}.gc-per"))
    assert notes(table)[-1] == "bbbp.gin.a2q: mean bits of nodes by in-degree: 0: 2.00, 1: 2.50, 5+: 5.75"
    assert sum("in-degree" in note for note in notes(table)) == 1


def test_remarks_are_those_of_the_lines_that_were_run() -> None:
    found = tables_of(quantized("proteins.gin.qat.int4.ste-abs"))
    for number in ("7", "8"):
        expected = [
            f"{entry.row}, {entry.metric}: {entry.remark}"
            for entry in read_reported_quantization()
            if entry.remark and entry.table == number and entry.row == "proteins.gin.qat.int4"
        ]
        assert expected
        assert notes(found[number])[: len(expected)] == expected
        assert "bbbp" not in found[number]


def test_resources_are_those_of_the_dense_model_and_of_chosen_variants() -> None:
    table = tables_of(
        made_up_record(DENSE),
        quantized(f"{INT8}.gc-per", validation_loss=0.1, cpu_percent=55.0),
        quantized(f"{INT8}.gc-abs", validation_loss=0.2),
    )["8"]
    assert first_cells(table) == [DENSE, f"{INT8}: gc-per"]
    assert cells(table, f"{INT8}: gc-per")[1:] == [
        "32.45 ± 2.98 / 0.0037 (estimate)",
        "1,234.5 (rapl)",
        "11.77 ± 2.83 / 55",
        "47.00 ± 0.53 / 0.61",
    ]
    assert {CHOSEN, RESOURCES_DIFFER, ENERGIES_DIFFER} <= set(notes(table))


def test_the_tables_stand_in_the_order_of_their_numbers() -> None:
    records = [made_up_record(case_id) for case_id in ("bbbp.gnnnet.global.s0.5", "bbbp.gnnnet.global.s0.5.ft")]
    assert list(tables_of(quantized("bbbp.gin.a2q"), *records)) == ["5", "6", "7", "8", "9", "10", "13", "14"]
