"""What every test may use: the shared recordings, a Chromium, and the order of the run."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.reliability import count_fault, pytest_addoption, pytest_configure

__all__ = ["count_fault", "pytest_addoption", "pytest_configure"]

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A shared machine is slow now and then: a time limit per example would only test the machine.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# --- order: what fails fast comes first ------------------------------------------------------


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("browser"):
        return 3
    if item.path.suffix == ".ipynb":
        return 2
    return 1 if item.get_closest_marker("slow") else 0


#: Files that take longest, the longest first: several processes begin with them, so that none of
#: them is left for the end, when the others have nothing to do.
LONG = (
    "tests/contract/test_processors.py",
    "tests/course/test_answers.py",
    "tests/core/test_random_chains.py",
    "tests/project/test_docs.py",
    "tests/project/test_wheel.py",
    "tests/project/test_notebooks.py",
    "tests/evaluation/test_told_or_right.py",
    "tests/study/test_study.py",
    "tests/study/test_dask.py",
)


def _place(item: pytest.Item) -> tuple[int, int]:
    name = item.nodeid.partition("::")[0]
    return LONG.index(name) if name in LONG else len(LONG), _rank(item)


# Last of all such hooks, so that its order stays; the sort is stable.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests, then slow ones, then notebooks, then the browser.

    Playwright keeps an event loop running in the test process once it has started; nothing else
    that needs one may come after it. Where several processes share the tests, a file at a time, the
    longest files come first.
    """
    items.sort(key=_place if hasattr(config, "workerinput") else _rank)


# --- collection ------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect thousands of tests without a search for garbage, which finds none, again and again.

    What was collected stays until the end: no later search looks at it either.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# --- the browser -----------------------------------------------------------------------------


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine; ``FACET_NB_CHROMIUM`` names another one."""
    names = (os.environ.get("FACET_NB_CHROMIUM"), *CHROMIUM_NAMES)
    return next((path for name in names if name and (path := shutil.which(name))), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a browser test where there is no browser, unless one is required."""
    if item.get_closest_marker("browser") is None or find_chromium() is not None:
        return
    reason = "no Chromium or Chrome found; install one or set FACET_NB_CHROMIUM"
    if os.environ.get("FACET_NB_REQUIRE_BROWSER") == "1":
        pytest.fail(f"a browser is required here (FACET_NB_REQUIRE_BROWSER=1): {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium that browser tests drive; mark such tests with ``browser``."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium or Chrome found; install one or set FACET_NB_CHROMIUM")
    return path


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict, chromium: str) -> dict:
    """Let pytest-playwright start that Chromium, as root and in containers too."""
    return {**browser_type_launch_args, "executable_path": chromium, "args": CHROMIUM_ARGS}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict) -> dict:
    """One window size, and no animations to wait for."""
    size = {"width": 1280, "height": 1000}
    return {**browser_context_args, "viewport": size, "reduced_motion": "reduce"}


# --- data ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Root folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recordings with known truth, kept beside the project and not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the recordings of ../shared/data are not on this machine")
    return SHARED_DATA
