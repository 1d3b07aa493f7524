"""Workers of the user's own: the same bits, in a run and in a map."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from facet_nb.core import ParallelExecutor, Pipeline, PlanError, StepError
from facet_nb.core.backends import registry
from facet_nb.core.backends.base import Backend
from tests.contract.equality import assert_same
from tests.core import toys


class CustomExecutor(ParallelExecutor):
    """The example of FACETpy's guide."""

    def __init__(self, n_jobs=-1, backend="threading"):
        super().__init__(n_jobs=n_jobs)
        self.backend = backend
        self.executed = []

    def execute(self, processor, context):
        self.executed.append(processor.name)
        return super().execute(processor, context)


class Counting(Executor):
    """Runs calls at once, in this thread, and counts them."""

    n_calls = 0

    def submit(self, function, /, *arguments, **options):
        self.n_calls += 1
        future = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


class Backwards(Backend):
    """A backend of anyone's."""

    name = "backwards"
    label = "calls, the last one first"

    def run(self, function, calls, n_jobs, cancel):
        for call in reversed(list(calls)):
            yield function(*call)


@pytest.fixture
def forget(monkeypatch):
    """Forget what a test registers."""
    monkeypatch.setattr(registry, "_own", {})
    monkeypatch.setattr(registry, "BACKENDS", dict(registry.BACKENDS))


@pytest.fixture(scope="module")
def expected():
    return Pipeline(toys.chain()).run(toys.make_context(), raise_on_error=True).context


def test_an_executor_of_facetpy(expected):
    executor = CustomExecutor(n_jobs=2)
    done = Pipeline(toys.chain()).run(toys.make_context(), backend=executor, raise_on_error=True)
    assert np.array_equal(done.get_raw().get_data(), expected.get_raw().get_data())
    channel_wise = [step.name for step in toys.chain() if step.channel_wise]
    assert executor.executed == channel_wise
    told = [step.name for step in done.get_history()]
    assert told == [step.name for step in expected.get_history()]


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("mode", ["channel_sequential", "parallel"])
def test_threads(expected, mode):
    with ThreadPoolExecutor(2) as pool:
        options = {"mode": mode, "backend": pool, "n_jobs": 2, "raise_on_error": True}
        done = Pipeline(toys.chain()).run(toys.make_context(), **options)
    assert_same(done.context, expected)


@pytest.mark.usefixtures("forget")
def test_a_run_and_a_map_use_it(expected):
    for backend in (Counting(), Backwards):
        options = {"mode": "parallel", "backend": backend, "n_jobs": 2, "batch_size": 1}
        done = Pipeline(toys.chain()).run(toys.make_context(), raise_on_error=True, **options)
        assert_same(done.context, expected)
        contexts = [toys.make_context(seed=i) for i in range(3)]
        batch = Pipeline(toys.chain()).map(contexts, backend=backend, n_jobs=2, show_progress=False)
        assert_same(batch[0].context, expected)
        assert [row.index for row in batch.rows] == [0, 1, 2] and all(r.success for r in batch)
    assert Backwards.name in registry.list_backend_names()


@pytest.mark.usefixtures("forget")
def test_a_failure_and_a_cancel():
    with ThreadPoolExecutor(2) as pool:
        options = {"mode": "parallel", "backend": pool, "n_jobs": 2}
        with pytest.raises(StepError, match=r"E4.*no such thing"):
            Pipeline([toys.Raising()]).run(toys.make_context(), raise_on_error=True, **options)
        stop = threading.Event()
        stop.set()
        done = Pipeline([toys.Halved()]).run(toys.make_context(), cancel=stop, **options)
        assert done.cancelled


@pytest.mark.slow
@pytest.mark.usefixtures("forget")
def test_processes(expected):
    with ProcessPoolExecutor(2) as pool:
        options = {"mode": "parallel", "backend": pool, "n_jobs": 2, "raise_on_error": True}
        done = Pipeline(toys.chain()).run(toys.make_context(), **options)
        assert pool.submit(os.getpid).result() != os.getpid()
    assert_same(done.context, expected)


@pytest.mark.parametrize("backend", [3, object(), int, Backend()])
def test_what_is_no_backend(backend):
    with pytest.raises(PlanError, match="Executor"):
        Pipeline([toys.Halved()]).run(toys.make_context(), backend=backend)
