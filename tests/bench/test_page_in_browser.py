"""The page of a whole run in a real browser: what a reader, a keyboard, a screen reader and a policy make of it."""

import functools
import http.server
import pickle
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.report.figure import Figure
from bench.report.page import Page, html, page_of, split_files
from tests.bench.made_up_run import made_up_run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"
LARGEST_BYTES = 3_000_000
NARROW, WIDE = 390, 1440

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The page in one file, opened from disk, with what it shows beside it; the first of all workers makes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "page"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            page = page_of(made_up_run("quick"))
            folder.mkdir()
            written(page, folder)
            (folder / "page.pickle").write_bytes(pickle.dumps(page))
    return folder / "index.html"


@pytest.fixture(scope="module")
def page(index: Path) -> Page:
    return pickle.loads(index.with_name("page.pickle").read_bytes())  # noqa: S301  (written by this run)


def written(page: Page, folder: Path) -> Path:
    path = folder / "index.html"
    path.write_text(html(page))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that is open, with what its console said and what it asked the network for."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:  # noqa: ANN401
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)


@pytest.fixture
def opened(browser: Any, index: Path) -> Iterator[Opened]:  # noqa: ANN401
    opened = Opened(browser, index.as_uri(), viewport={"width": WIDE, "height": 900})
    yield opened
    opened.context.close()


def test_all_cases_of_the_paper_are_one_file_under_three_megabytes_that_asks_nobody(
    browser: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    index = written(page_of(made_up_run("paper")), tmp_path)
    opened = Opened(browser, index.as_uri(), viewport={"width": WIDE, "height": 900})
    draw_all(opened.page)
    opened.context.close()
    assert index.stat().st_size < LARGEST_BYTES
    assert opened.asked == [index.as_uri()]
    assert opened.errors == []


def draw_all(page: Any) -> None:  # noqa: ANN401
    """Scroll to every figure and wait until it answers to the pointer."""
    for chart in page.query_selector_all(".chart"):
        chart.scroll_into_view_if_needed()
        # A function to wait for would be code that a policy refuses.
        chart.wait_for_selector(":scope > div > svg")


def named(figure: Figure) -> str:
    return figure.key if figure.key.startswith("figure-") else f"figure-{figure.key}"


def test_every_figure_is_drawn_and_has_its_numbers_as_a_table(opened: Opened, page: Page) -> None:
    draw_all(opened.page)
    for figure in page.figures:
        assert opened.page.locator(f"#{named(figure)} .chart svg[role=img]").count() == 1, figure.key
        assert opened.page.locator(f"#{named(figure)} details.data tbody tr").count() == len(figure.table.rows)


@pytest.mark.parametrize(("width", "scheme"), [(NARROW, "dark"), (WIDE, "light")])
def test_it_is_as_wide_as_its_window_and_accessible(browser: Any, index: Path, scheme: str, width: int) -> None:  # noqa: ANN401
    opened = Opened(browser, index.as_uri(), viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    # What is folded away is not looked at.
    for folded in opened.page.query_selector_all(".choice details, details:has(#table-2), details:has(#table-9)"):
        folded.evaluate("details => details.open = true")
    found = axe.Axe().run(opened.page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    opened.context.close()
    assert serious == []


def test_without_scripts_everything_is_readable(browser: Any, index: Path, page: Page) -> None:  # noqa: ANN401
    opened = Opened(browser, index.as_uri(), java_script_enabled=False)
    assert opened.page.locator(".chart > svg").count() == len(page.figures)
    assert opened.page.locator("form.sliders").is_hidden()
    assert opened.page.locator("text=The sliders need scripts").is_visible()
    for table in page.tables:
        assert opened.page.locator(f"#{table.key} tbody tr").count() == len(table.rows)
    opened.context.close()


def test_a_table_is_sorted_with_the_keyboard(opened: Opened) -> None:
    opened.page.locator("details", has=opened.page.locator("#all-cases")).locator("> summary").press("Enter")
    header = opened.page.locator("#all-cases th", has_text="bytes").first
    sizes = "rows => rows.map(row => parseFloat(row.cells[4].textContent.replaceAll(',', '')))"
    for order, is_reversed in (("ascending", False), ("descending", True)):
        header.locator("button").press("Enter")
        assert header.get_attribute("aria-sort") == order
        found = opened.page.eval_on_selector_all("#all-cases tbody tr", sizes)
        assert found == sorted(found, reverse=is_reversed)
        assert len(found) == len(made_up_run("quick").cases)


def test_the_keyboard_comes_to_the_results_first_and_a_command_is_copied(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".choice details summary").first.press("Enter")
    page.locator(".choice .copy").first.press("Enter")
    page.locator("text=Copied").first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator(".choice code").first.inner_text()


def test_rows_are_filtered_as_one_types(opened: Opened) -> None:
    opened.page.locator("#filter").press_sequentially("gin dense")
    shown = opened.page.eval_on_selector_all(
        "#all-cases tbody tr", "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].textContent)"
    )
    assert shown
    assert all("gin" in case and "dense" in case for case in shown)
    assert f"{len(shown)} of" in opened.page.locator("details:has(#all-cases) .count").inner_text()


def test_sliders_answer_to_arrows_and_every_answer_keeps_the_limit(opened: Opened) -> None:
    page = opened.page
    page.locator("#advice-task").select_option("cora-node")
    before = page.locator("#advice-sentence").inner_text()
    page.locator("#advice-bytes").focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    assert page.locator("#advice-sentence").inner_text() != before
    most = float(page.locator("#advice-bytes-shown").inner_text().removeprefix("at most ").replace(",", ""))
    cells = page.eval_on_selector_all("#advice-table tbody tr", "rows => rows.map(row => row.cells[1].textContent)")
    sizes = [float(cell.partition(" ")[0].replace(",", "")) for cell in cells]
    assert sizes
    assert max(sizes) <= most + 1
    assert "scripts/bench" in page.locator("#advice-table tbody code").first.inner_text()
    page.keyboard.press("Home")
    page.locator("#advice-drop").focus()
    page.keyboard.press("Home")
    drops = page.eval_on_selector_all("#advice-table tbody tr", "rows => rows.map(row => row.cells[4].textContent)")
    # Zero is the largest drop that is left.
    assert [drop for drop in drops if not drop.startswith(("\N{MINUS SIGN}", "+0.0000"))] == []


def test_split_it_keeps_a_policy_without_inline_scripts(browser: Any, page: Page, tmp_path: Path) -> None:  # noqa: ANN401
    for name, content in {"index.html": html(page, split=True).encode(), **split_files()}.items():
        (tmp_path / name).write_bytes(content)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """A test needs no log."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        opened = Opened(browser, f"http://127.0.0.1:{server.server_port}/index.html")
        draw_all(opened.page)
        errors = opened.errors
        opened.context.close()
    finally:
        server.shutdown()
        server.server_close()
    assert errors == []
