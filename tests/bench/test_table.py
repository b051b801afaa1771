"""A table in the forms in which it is read, and numbers with what belongs to them."""

import csv
import io

import pytest

from bench.report.table import Quantity, Table

TABLE = Table(
    "a-key",
    "A title",
    ("case", "score", "joules"),
    [["a|b", Quantity(0.88349, std=0.0121, interval=(0.87, 0.9)), Quantity(2.0, note="rapl")], ["c", 0.5, None]],
    ("a note",),
    {"score": ".3f", "joules": ".1f"},
)


@pytest.mark.parametrize(
    ("quantity", "style", "shown"),
    [
        (Quantity(0.88349), ".3f", "0.883"),
        (Quantity(0.88349, std=0.0121), "+.3f", "+0.883 ± 0.012"),
        (Quantity(-0.01, interval=(-0.0241, 0.0)), "+.3f", "-0.010 [-0.024, +0.000]"),
        (Quantity(1234.5, note="rapl"), ",.0f", "1,234 (rapl)"),
    ],
)
def test_a_quantity_shows_what_belongs_to_it_and_is_its_number(quantity: Quantity, style: str, shown: str) -> None:
    assert format(quantity, style) == shown
    assert sorted([quantity, 1e9])[0] == float(quantity)


def test_text_and_markdown_round_and_a_missing_value_is_a_dash() -> None:
    assert TABLE.text().splitlines()[3:] == [
        "a|b     0.883 ± 0.012 [0.870, 0.900]  2.0 (rapl)",
        "c       0.500                         -",
        "- a note",
    ]
    assert "| a\\|b" in TABLE.markdown()


def test_csv_keeps_whole_numbers_and_has_a_column_for_all_that_belongs_to_one() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows == [
        ["case", "score", "score std", "score low", "score high", "joules", "joules note"],
        ["a|b", "0.88349", "0.0121", "0.87", "0.9", "2.0", "rapl"],
        ["c", "0.5", "", "", "", "", ""],
    ]
    assert Table("a-key", "A title", ("a", "b"), []).csv() == "a,b\n"
