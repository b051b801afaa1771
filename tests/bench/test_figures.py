"""The figures: from a made-up run, and from records made by hand."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import altair
import pytest
import vl_convert
from PIL import Image, ImageChops

from bench.report.figure import PICTURE_WIDTH, Figure, Missing
from bench.report.figures import draw_figures
from bench.report.figures.style import FOREIGN, GREY, METHODS, RAMP
from bench.report.table import Table
from fixtures.record import Results
from tests.bench.made_up_records import made_up_record, made_up_results
from tests.bench.made_up_run import made_up_run

PAPERS = [f"figure-{number}" for number in range(1, 11)]
# Two models are as good as all, in a fifth of the time.
MODELS = ("cora-node.spline", "proteins.gin")
BEYOND = [
    *(f"pareto-{model.partition('.')[0]}" for model in MODELS),
    "speed-ups",
    "tickets",
    "degree-bit-width",
    "seeds",
    "sizes",
]
MARKUP = "<b>&\"x'</b>"


@pytest.fixture(scope="module")
def run() -> Results:
    results = made_up_run()
    results.cases = [record for record in results.cases if record.case_model in MODELS]
    return results


@pytest.fixture(scope="module")
def figures(run: Results) -> dict[str, Figure]:
    return {figure.key: figure for figure in draw_figures(run) if isinstance(figure, Figure)}


def data(figure: Figure) -> Iterator[dict[str, Any]]:
    """The rows of all data sets of a chart."""
    for rows in figure.spec()["datasets"].values():
        yield from rows


def numbers(cells: Iterator[object] | list[object]) -> set[float]:
    """The numbers in cells and in texts of several numbers, in the digits of a picture."""
    found = set()
    for part in (part for cell in cells if cell is not None for part in str(cell).split()):
        try:
            found.add(float(f"{float(part):.5g}"))
        except ValueError:
            continue
    return found


def test_every_figure_of_the_paper_and_beyond_is_drawn_in_order(figures: dict[str, Figure]) -> None:
    assert list(figures) == [*PAPERS, *BEYOND]


def test_what_is_drawn_is_in_the_table(figures: dict[str, Figure]) -> None:
    drawn_only = {"figure-1": {"weight"}, "degree-bit-width": {"mean"}, "tickets": {"bound"}, "speed-ups": {"even"}}
    for figure in figures.values():
        left_out = drawn_only.get(figure.key, set())
        drawn = numbers([cell for row in data(figure) for name, cell in row.items() if name not in left_out])
        tabled = numbers([cell for row in figure.table.rows for cell in row])
        assert drawn <= tabled, figure.key
        assert len(drawn) > 10, figure.key


def test_the_same_records_give_the_same_bytes(run: Results, figures: dict[str, Figure]) -> None:
    one = made_up_results(*[record for record in run.cases if record.method == "lottery-ticket"])
    again = next(figure for figure in draw_figures(one) if figure.key == "tickets")
    assert isinstance(again, Figure)
    assert (again.svg(), again.png()) == (figures["tickets"].svg(), figures["tickets"].png())


def test_a_picture_is_small_whole_and_without_ids_styles_or_scripts(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        svg = ElementTree.fromstring(figure.svg(background="transparent"))  # noqa: S314
        assert svg.get("aria-label") == figure.title
        names = {element.tag.rpartition("}")[2] for element in svg.iter()}
        assert names <= {"svg", "g", "path", "circle", "line", "text", "tspan", "rect"}, figure.key
        assert not [element for element in svg.iter() if element.get("id") or element.get("style")]


@pytest.mark.parametrize("key", ["figure-1", "figure-7", "speed-ups", "tickets"])
def test_a_picture_is_what_vega_draws(figures: dict[str, Figure], key: str) -> None:
    own, drawn = rasterized(figures[key].svg()), rasterized(vl_convert.vegalite_to_svg(figures[key].spec()))
    # Coordinates are rounded to a tenth of a pixel, and edges that overlap are painted once.
    assert apart(own, drawn) < 0.05 * apart(drawn, Image.new("RGB", drawn.size, "white"))


def test_neighbouring_lines_are_one_path_where_they_look_alike() -> None:
    rows = [{"place": place, "colour": colour} for place, colour in enumerate(("red", "red", "blue"))]
    lines = altair.Chart(altair.Data(values=rows)).mark_rule()
    placed = lines.encode(x=altair.X("place", type="quantitative", axis=None))
    coloured = placed.encode(stroke=altair.Stroke("colour", type="nominal", scale=None))
    sizes = {"margin": 10, "width": 100, "label": 50}
    chart = altair.concat(coloured).properties(usermeta=sizes).configure_legend(orient="top")
    svg = Figure("lines", "Lines", "", chart, Table("lines", "Lines", [], [])).svg()
    drawn = [element for element in ElementTree.fromstring(svg).iter() if element.get("stroke") in ("red", "blue")]  # noqa: S314
    assert [(path.get("stroke"), path.get("d", "").count("M")) for path in drawn] == [("red", 2), ("blue", 1)]


def rasterized(svg: str) -> Image.Image:
    """A picture on white, without its texts, whose fonts differ."""
    lines = re.sub("<text.*?</text>", "", svg, flags=re.DOTALL)
    drawn = Image.open(io.BytesIO(vl_convert.svg_to_png(lines))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")


def apart(one: Image.Image, other: Image.Image) -> int:
    """In how many points, channel by channel, two pictures are more than a fifth of the scale apart."""
    return sum(sum(band.histogram()[51:]) for band in ImageChops.difference(one, other).split())


@pytest.mark.parametrize(("width", "columns"), [(350, 1), (PICTURE_WIDTH, 2), (1400, 2)])
def test_panels_wrap_and_fill_the_width(figures: dict[str, Figure], width: int, columns: int) -> None:
    spec = figures["figure-7" if columns == 1 else "seeds"].spec(width)
    assert spec["columns"] == columns
    taken = columns * (spec["concat"][0]["width"] + spec["usermeta"]["margin"])
    assert width - columns < taken <= width


def test_a_run_of_one_case_draws_what_it_can_and_says_why_not() -> None:
    drawn = draw_figures(made_up_results(made_up_record("cora-node.spline.l2.r0.1")))
    assert [figure.key for figure in drawn if isinstance(figure, Figure)] == [*PAPERS[6:10], "speed-ups"]
    missing = [figure for figure in drawn if isinstance(figure, Missing)]
    assert all(figure.reason and figure.title for figure in missing)
    assert {figure.key for figure in missing} > {"figure-1", "pareto", "tickets", "seeds"}


def test_why_a_resource_was_not_measured_is_the_records_own_reason() -> None:
    record = made_up_record(
        "cora-node.spline.l2.r0.1",
        energy_j={"value": None, "source": "none"},
        training_energy_j={"value": None, "source": "none"},
        not_applicable={"energy_j.value": "no meter"},
    )
    (found,) = [figure for figure in draw_figures(made_up_results(record)) if figure.key == "figure-9"]
    assert isinstance(found, Missing)
    assert found.reason == "no meter"


def test_an_estimate_is_named_in_the_legend_of_energy(figures: dict[str, Figure]) -> None:
    curves = {row["curve"] for row in data(figures["figure-9"]) if "paper" not in row["curve"]}
    assert curves == {"one pass, ESTIMATE", "training, rapl"}


def test_what_is_not_finite_is_left_out() -> None:
    broken = made_up_record("cora-node.spline.dense", not_finite={"accuracy.mean": "nan"})
    assert not [figure for figure in draw_figures(made_up_results(broken)) if isinstance(figure, Figure)]


def test_names_that_hold_markup_stay_texts() -> None:
    names: dict[str, Any] = {"task": MARKUP, "model": "m[0].x"}
    record = made_up_record("t.m.dense", **names)
    (figure,) = [figure for figure in draw_figures(made_up_results(record)) if figure.key == "seeds"]
    assert isinstance(figure, Figure)
    svg = ElementTree.fromstring(figure.svg())  # noqa: S314
    assert f"{MARKUP}.m[0].x" in {element.text for element in svg.iter()}
    assert json.loads(json.dumps(figure.spec())) == figure.spec()


def test_colours_are_seen_on_white_and_on_black_and_methods_differ() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for colour in [*(colour for colour, _ in METHODS.values()), FOREIGN[0], GREY, *RAMP]:
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour
        assert (luminance(colour) + 0.05) / (luminance("#121212") + 0.05) >= 3, colour
    assert len(set(METHODS.values())) == len(METHODS)


def test_a_front_leaves_out_what_would_flatten_it_and_says_so() -> None:
    accuracies = {"dense": 0.9, "global.s0.5": 0.88, "fine-grained.s0.9": 0.5}
    records = [
        made_up_record(f"a-task.a-model.{method}", accuracy={"values": [value] * 4, "mean": value, "std": 0.0})
        for method, value in accuracies.items()
    ]
    (figure,) = (found for found in draw_figures(made_up_results(*records)) if found.key == "pareto-a-task")
    assert isinstance(figure, Figure)
    drawn = {row["accuracy"] for row in data(figure) if "accuracy" in row}
    assert drawn == {0.9, 0.88}
    assert {row[3] for row in figure.table.rows} == set(accuracies.values())
    assert figure.caption.endswith("to the best of their model: 1.")
