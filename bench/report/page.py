"""A run as a page: what it says first, what to use, every figure and every table, in one file that needs no network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import altair
import jinja2
import vl_convert

from bench.report.advice import settings_text
from bench.report.ci import ci_files
from bench.report.figure import Figure, Missing
from bench.report.figures import draw_figures
from bench.report.front import RULE, Front, front
from bench.report.moved import SNAPSHOTS
from bench.report.paper_tables import paper_tables
from bench.report.pareto import options_of
from bench.report.publication import PAPER_RECORDS, RECORDS, Publication, publication
from bench.report.table import Table
from fixtures.record import Results
from fixtures.same_run import results_bytes

GENERATOR = "gnn-compression-bench"
TEMPLATES = Path(__file__).with_name("templates")
SHOWN_MOVES = 12
CHOSEN_BY = (
    *("case", "task", "size_bytes", "smaller", "latency_s", "not_timed", "speedup", "accuracy", "drop", "drop_ci95"),
    *("energy_j", "energy_source", "is_on_front", "settings", "command"),
)
# What stands first in a cell that judges, and the colour that goes with it; the word says the same.
VERDICTS = {
    **dict.fromkeys(("worse", "fail"), "red"),
    **dict.fromkeys(("differs", "undecided", "not reproducible"), "amber"),
    **dict.fromkeys(("better", "reproduced"), "green"),
}
# Letters from which on a text takes several lines.
LONG_TEXT = 28
NUMBER = re.compile(r"[-+<≤]?\d")
MEASURED = (
    "Accuracy is the task's score on the test part (ROC-AUC for links) of the model that was written to a file and "
    "read back; every seed has its own split, and test data chooses nothing.",
    "A drop is against the dense model of the same seeds; its interval is the paired 95% interval over the seeds. One "
    "seed has none.",
    "Bytes are those of the file that was written, read back and run. What cannot be decoded, such as the paper's "
    "Algorithm 1, stands in the paper's tables only.",
    "Milliseconds are one pass over the test part on one thread; speed-ups compare the compressed model with the dense "
    "one on the same FP32 runtime, call by call, so that no speed of the runtime is counted as one of compression.",
    "Energy has its source: nvml (the GPU board), rapl (the processor packages), or an estimate, which is CPU time at "
    "a nominal power and no independent evidence.",
    "A dash was not measured. The records say why, under not_applicable.",
)


@dataclass(frozen=True)
class Page:
    """Everything that a page shows; `compared` and `history` are what other runs were asked for."""

    front: Front
    published: Publication
    options: Sequence[Mapping[str, Any]]
    figures: Sequence[Figure]
    missing: Sequence[Missing]
    tables: Sequence[Table]
    compared: Sequence[Table] = ()
    history: Sequence[Figure] = ()

    @property
    def sliders(self) -> dict[str, Any]:
        """The compressed cases as the page chooses among them."""
        shown = [{**option, "settings": settings_text(option["settings"])} for option in self._compressed]
        return _compact([{name: option[name] for name in CHOSEN_BY} for option in shown])

    @property
    def _compressed(self) -> list[Mapping[str, Any]]:
        return [option for option in self.options if not option["is_dense"]]

    @property
    def title(self) -> str:
        """What was compressed, in a line."""
        models = {(option["task"], option["model"]) for option in self._compressed}
        cases = len(self._compressed)
        return (
            f"What compression bought: {cases} compressed {'case' if cases == 1 else 'cases'} "
            f"of {len(models)} {'model' if len(models) == 1 else 'models'}"
        )

    @property
    def facts(self) -> dict[str, str]:
        """Which run it was."""
        front = self.front
        date = f"{front.date.replace('T', ' ')}, commit {front.commit}" if front.date else "not recorded"
        run = front.run + "".join(f"; {test} broke" for test in front.broken)
        facts = {"Machine": front.machine, "Run": run, "Data": front.data, "Versions": front.versions, "Date": date}
        return facts | ({"Took": front.took} if front.took else {})

    @property
    def all_tables(self) -> list[Table]:
        """Every table that has files of its own."""
        published = self.published
        first = (self.front.moved.table, self.front.table, published.claims, published.verdicts, published.reasons)
        return [*first, *self.compared, *self.tables]

    @property
    def all_figures(self) -> list[Figure]:
        """Every figure that has files of its own."""
        return [*self.figures, *self.history]


def page_of(
    results: Results,
    snapshots: Path = SNAPSHOTS,
    *,
    paper: Results | None = None,
    compared: Sequence[Table] = (),
    history: Sequence[Figure] = (),
) -> Page:
    """Draw and compute all that a page shows of a run.

    Args:
        results: What --results wrote.
        snapshots: The folder of accepted values.
        paper: A run under the paper's protocol, for what the paper reports.
        compared: Tables beside other runs.
        history: Trends over other runs.

    Raises:
        GnnError: The rules, the accepted ratios or a snapshot's folder are damaged.
    """
    drawn = draw_figures(results)
    return Page(
        front=front(results, snapshots),
        published=publication(results, paper),
        options=options_of(results),
        figures=[figure for figure in drawn if isinstance(figure, Figure)],
        missing=[figure for figure in drawn if isinstance(figure, Missing)],
        tables=paper_tables(results, paper),
        compared=compared,
        history=history,
    )


def files_of(
    page: Page, document: Mapping[str, Any], *, paper: Mapping[str, Any] | None = None, split: bool = False
) -> dict[str, bytes]:
    """The files of a page by their path: the page, every table as CSV and Markdown, every figure as SVG and PNG.

    What continuous integration takes, and the records that all of it was made from, lie beside them.

    Args:
        page: What it shows.
        document: All that is in the results file.
        paper: The same of the run under the paper's protocol, where there is one.
        split: Whether styles and scripts have files of their own, as a policy without inline scripts asks for.
    """
    files = {"index.html": html(page, split=split).encode(), "README.md": markdown(page).encode()}
    files |= {RECORDS: results_bytes(document, compact=True)} | (split_files() if split else {})
    files |= {PAPER_RECORDS: results_bytes(paper, compact=True)} if paper else {}
    files |= {name: text.encode() for name, text in ci_files(page.front).items()}
    # Nobody reads them one by one: the tables of the paper have the same in order.
    files["tables/every-value.csv"] = page.published.every_value.csv().encode()
    for table in page.all_tables:
        files |= {f"tables/{table.key}.csv": table.csv().encode(), f"tables/{table.key}.md": table.markdown().encode()}
    for figure in page.all_figures:
        files |= {f"figures/{figure.key}.svg": figure.svg().encode(), f"figures/{figure.key}.png": figure.png()}
        files[f"figures/{figure.key}.csv"] = figure.table.csv().encode()
    return files


def split_files() -> dict[str, bytes]:
    """The styles and scripts of a page that has none of its own."""
    return {name: text.encode() for name, text in _parts().items()}


def html(page: Page, *, split: bool = False) -> str:
    """The page itself; whatever comes from the results is escaped."""
    return (
        _environment()
        .get_template("index.html")
        .render(
            **{"page": page, "split": split, "generator": GENERATOR, "measured": MEASURED, "shown_moves": SHOWN_MOVES},
            parts={} if split else _parts(),
            looks=looks,
            compact=compact,
            verdicts=VERDICTS,
            rule=RULE,
            settings_text=settings_text,
            words=sorted({option[name] for option in page.options for name in ("task", "model", "method_id")}),
        )
    )


def compact(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A declaration of a figure in which each set of data has every name, and every text of many rows, once."""
    return {**spec, "datasets": {name: _compact(rows) for name, rows in spec["datasets"].items()}}


def _compact(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [[row.get(name) for row in rows] for name in names]
    texts = [_texts(column) for column in columns]
    told = [
        [found.index(value) if found else _rounded(value) for value in column]
        for column, found in zip(columns, texts, strict=True)
    ]
    return {"names": names, "texts": texts, "rows": [*zip(*told, strict=True)]}


def _texts(column: Sequence[Any]) -> list[str | None]:
    """The texts of a column that repeats them, so that its rows have their places; none of any other column."""
    if not all(isinstance(value, str | None) for value in column):
        return []
    found = list(dict.fromkeys(column))
    return found if len(found) <= len(column) / 2 else []


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """A number, or both of an interval, with more digits than a page shows; all of them are in the files beside it."""
    if isinstance(value, tuple):
        return [*map(_rounded, value)]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def looks(table: Table) -> dict[str, list[int]]:
    """The columns of a table that are set to the right, as numbers are, and those that take several lines, from 1."""
    columns = list(zip(*map(table.shown, table.rows), strict=True))
    cells = {
        number: [cell for cell in column if cell not in ("", "-")]
        for number, column in enumerate(columns, start=1)
        if number > 1 and table.headers[number - 1] != "command"
    }
    right = [number for number, column in cells.items() if column and all(map(NUMBER.match, column))]
    long = [number for number, column in cells.items() if max(map(len, column), default=0) > LONG_TEXT]
    return {"right": [number for number in right if number not in long], "long": long}


def markdown(page: Page, folder: str = "") -> str:
    """The beginning of the page for whoever reads it where the code is; `folder` is where the page is from there."""
    return _environment().get_template("readme.md").render(page=page, folder=folder and f"{folder}/")


@cache
def _parts() -> dict[str, str]:
    """Styles, our script, and the scripts that figures are drawn with, by the names of their files."""
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    own = {name: _environment().get_template(name).render() for name in ("page.css", "page.js")}
    return own | {"vega.js": vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment
