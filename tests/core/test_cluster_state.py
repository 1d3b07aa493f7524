"""Tasks on a Dask cluster see the state of the client's process, and leave that of their worker."""

from __future__ import annotations

import logging
import os
import shutil
import warnings

import mne
import numpy as np
import pytest

from facet_nb.core import Pipeline
from tests.core import toys
from tests.faults.test_caller_state import STATES, Looks, change

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

pytestmark = pytest.mark.slow

LOCAL = {"dashboard_address": None, "memory_limit": 0}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    (folder / "here.txt").write_text("", encoding="utf-8")
    with distributed.Client(n_workers=2, threads_per_worker=1, **LOCAL) as made:
        with pytest.MonkeyPatch.context() as patch:  # what libraries set when they are imported
            patch.chdir(folder)
            made.run(mne.set_log_level, "info")
            look()
        yield made


@pytest.fixture
def threads():
    with distributed.Client(n_workers=1, threads_per_worker=2, **LOCAL) as made:
        yield made


def read_own():
    """Return what a task that is not ours finds in a worker."""
    filters = [entry[:3] for entry in warnings.filters]
    level = logging.getLogger("mne").level
    return os.getcwd(), dict(os.environ), str(filters), level, np.geterr()


def look():
    inputs = [toys.make_context(n_times=1100, seed=i) for i in range(3)]
    answers = Pipeline([Looks()]).map(inputs, show_progress=False, backend="dask", n_jobs=2)
    assert all(r.success for r in answers), answers.summary()
    return [r.context.metadata.custom["seen"] for r in answers]


def test_each_task_sees_the_state_of_its_client(client, tmp_path, monkeypatch):
    """Twice: a worker that has run tasks of one state gets those of another."""
    own = client.run(read_own)
    for state in STATES:
        with change(state, tmp_path, monkeypatch) as expected:
            for seen in look():
                # Steps are found where the worker finds them: its machine may be another one.
                assert seen | {"path": ""} == expected | {"path": ""}
        assert client.run(read_own) == own


def test_a_step_that_fails_leaves_the_worker_as_it_was(client, tmp_path, monkeypatch):
    own = client.run(read_own)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACET_NB_TEST_VARIABLE", "b")
    inputs = [toys.make_context(n_times=1100)]
    answers = Pipeline([Looks()]).map(inputs, show_progress=False, backend="dask", n_jobs=2)
    assert answers[0].error.cause_type == "FileNotFoundError"  # here.txt
    assert client.run(read_own) == own


def test_what_threads_of_a_worker_share_is_told(threads, tmp_path, monkeypatch, caplog):
    (tmp_path / "here.txt").write_text("another", encoding="utf-8")
    (folder := tmp_path / "inner").mkdir()
    (folder / "here.txt").write_text("the client's", encoding="utf-8")
    own = threads.run(lambda folder: (os.getcwd(), os.chdir(folder))[0], str(tmp_path))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACET_NB_TEST_VARIABLE", "c")
    try:
        with np.errstate(divide="raise"), caplog.at_level("WARNING", "facet_nb"):
            for seen in look():
                assert (seen["here"], seen["variable"]) == ("another", None)
                assert seen["floats"]["divide"] == "raise"
        (line,) = [text for text in caplog.messages if "Dask worker" in text]
        assert f"{tmp_path} instead of {folder}" in line and "one thread each" in line
    finally:
        threads.run(os.chdir, next(iter(own.values())))


def test_a_folder_that_a_worker_lacks_is_told(client, tmp_path, monkeypatch, caplog):
    """On another machine a step that needs no folder goes on."""
    (folder := tmp_path / "only_here").mkdir()
    here = os.getcwd()
    monkeypatch.chdir(folder)
    shutil.rmtree(folder)
    monkeypatch.setattr(os, "getcwd", lambda: str(folder))
    with caplog.at_level("WARNING", "facet_nb"):
        context = toys.make_context(n_times=1100)
        options = {"mode": "parallel", "backend": "dask", "n_jobs": 2, "show_progress": False}
        result = Pipeline([toys.Scaled()]).run(context, raise_on_error=True, **options)
    monkeypatch.undo()
    os.chdir(here)
    np.testing.assert_array_equal(result.get_raw()["E1"][0], 2 * context.get_raw()["E1"][0])
    (line,) = [text for text in caplog.messages if "Dask worker" in text]
    assert f"has no folder {folder}" in line
