"""Which warnings are errors: those of our own code, and no others."""

import warnings
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFIGURATION = Path(__file__).parents[1] / "pyproject.toml"
CATEGORIES = (UserWarning, DeprecationWarning, FutureWarning, ResourceWarning)

# Its functions warn as they stand, and at whoever calls them.
LIBRARY = """
import warnings

def warn():
    warnings.warn("something is odd")

def deprecated():
    warnings.warn("deprecated", DeprecationWarning, stacklevel=2)
"""
TESTS = """
import library

def test_the_library_warns():
    library.warn()

def test_a_deprecated_function_is_called():
    library.deprecated()

def test_a_file_is_left_open():
    open(__file__)
"""


def warn_in(module: str, category: type[Warning], text: str = "odd") -> None:
    exec("warn(text, category)", {"__name__": module, "warn": warnings.warn, "text": text, "category": category})  # noqa: S102


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(
    "module", ["gnn.storage.codec", "fixtures.gate", "pytest_gnn.gate", "bench.conftest", "conftest", "tests.toy"]
)
def test_a_warning_of_our_own_code_is_an_error(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="odd"):
        warn_in(module, category)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("module", ["torch_geometric.inspector", "gnn_tools.tests", "benchmarks", "conftests"])
def test_a_warning_of_another_package_is_none(module: str, category: type[Warning]) -> None:
    with warnings.catch_warnings(record=True):
        warn_in(module, category)


def test_a_damaged_artifact_is_shown_and_no_error() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warn_in("gnn.trial", UserWarning, "artifact a.artifact is damaged (half of it); it is built again")
    assert len(shown) == 1


@pytest.mark.parametrize(("folder", "failed"), [("tests", 2), ("others", 0)])
def test_a_run_is_red_by_our_own_warnings_alone(pytester: pytest.Pytester, folder: str, failed: int) -> None:
    (pytester.path / "library.py").write_text(LIBRARY)
    pytester.mkdir(folder).joinpath("test_module.py").write_text(TESTS)
    options = ("-c", CONFIGURATION, "--rootdir", pytester.path, "-p", "no:cacheprovider")
    done = pytester.runpytest_subprocess(*options, folder)
    done.assert_outcomes(passed=3 - failed, failed=failed, warnings=1)
