"""The suite in processes of its own, which its tests share."""

import pytest

from tests.suite.running import Suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return Suite(tmp_path_factory.mktemp("suite"))
