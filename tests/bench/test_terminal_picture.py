"""The text of a terminal as SVG."""

import xml.etree.ElementTree as ET

import pytest

from bench.report.terminal_picture import ADVANCE, MARGIN, run_text, terminal_picture
from gnn.errors import GnnError
from tests.bench.made_up_records import made_up_record, made_up_results

TABLE = "case  x < 1 & y\n\n  \x1b[31mred\x1b[0m   fail\n"


def lines(picture: str) -> list[ET.Element]:
    return ET.fromstring(picture).findall("{http://www.w3.org/2000/svg}text")  # noqa: S314


def test_every_line_is_there_as_text_without_colours() -> None:
    drawn = lines(terminal_picture(TABLE))
    assert [(line.text or "").replace("\N{NO-BREAK SPACE}", " ") for line in drawn] == ["case  x < 1 & y", "red   fail"]


def test_a_character_is_as_wide_as_any_other_and_an_empty_line_takes_its_place() -> None:
    first, last = lines(terminal_picture(TABLE))
    assert float(first.attrib["textLength"]) == pytest.approx(15 * ADVANCE, abs=0.1)
    assert float(last.attrib["x"]) == pytest.approx(MARGIN + 2 * ADVANCE, abs=0.1)
    (below,) = lines(terminal_picture("\nx"))
    assert 2 * (float(below.attrib["y"]) - float(first.attrib["y"])) == float(last.attrib["y"]) - float(
        first.attrib["y"]
    )


def test_long_lines_are_wrapped_so_that_the_picture_stays_readable() -> None:
    drawn = lines(terminal_picture("one two three four", columns=10))
    assert len(drawn) == 3
    assert all(float(line.attrib["textLength"]) <= 10 * ADVANCE for line in drawn)


def test_a_run_is_drawn_by_the_cases_of_the_quick_profile_and_its_verdict() -> None:
    quick, other = (made_up_record(f"cora-node.spline.{method}") for method in ("dense", "global.s0.5"))
    text = run_text(made_up_results(quick, other))
    assert "\ndense " in text
    assert "global.s0.5" not in text
    assert "1 of 2 cases: those of the quick profile" in text
    assert text.splitlines()[-1].startswith("GREEN under --gate enforce: 2 cases")
    assert "global.s0.5" in run_text(made_up_results(other))


def test_nothing_to_draw_is_said_in_one_sentence() -> None:
    with pytest.raises(GnnError, match="no text"):
        terminal_picture(" \n\n")
    with pytest.raises(GnnError, match="no case"):
        run_text(made_up_results())
