"""How much a panel sends while a run is on, how often, and that a run hears of it at once."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import comm
import pytest

from facet_nb.core import Pipeline
from facet_nb.core.events import BatchDone, RunDone, RunStarted, StageDone, StageStarted, StepTime
from facet_nb.widgets import RunPanel, Studio
from facet_nb.widgets.progress_grid import write_grid
from tests.models.helpers import Gate, Halve, make_simulation
from tests.widgets.finding import find

#: A panel's messages for one update: bar, time and grid; now and then strip, log and status.
PER_UPDATE = 8
#: At the beginning of a run and at its end: buttons, bars, displays, pictures.
PER_RUN = 60


class Wire:
    """A comm without a browser, which remembers what went over it, when, and from which thread."""

    comm_id = "counted"
    sent: list[tuple[float, int, threading.Thread]] = []

    def send(self, data=None, **_: object) -> None:
        size = len(json.dumps(data, default=str))
        Wire.sent.append((time.monotonic(), size, threading.current_thread()))

    def close(self, *_: object, **__: object) -> None:
        """Nothing to close."""

    on_msg = on_close = open = close


@pytest.fixture
def wire(monkeypatch):
    monkeypatch.setattr(comm, "create_comm", lambda *_, **__: Wire())
    monkeypatch.setattr(Wire, "sent", [])
    return Wire


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


def feed(model, n_channels: int, n_steps: int, n_updates: int) -> None:
    """Let a model hear of a whole run, in as many updates; nothing runs."""
    now, channels = time.time(), [f"E{i}" for i in range(n_channels)]
    with model.hold_trait_notifications():
        model._begin_s, model.status = now, "running"
    model._put(RunStarted(now, "serial", "serial", 1, 1, tuple(map(str, range(n_steps))), 1))
    batches = tuple((name,) for name in channels)
    model._put(StageStarted(now, 0, tuple(range(n_steps)), batches, "why"))
    size = n_channels // n_updates
    for i, name in enumerate(channels):
        times = tuple(StepTime(s, 0.1, 0.1) for s in range(n_steps))
        model._put(BatchDone(now, 0, i, (name,), times, 1, 10**8))
        if i % size == size - 1:
            model.drain()
    model._put(StageDone(now, 0, 1.0))
    model._put(RunDone(now, 1.0))
    model.drain()


@pytest.mark.parametrize(("n_channels", "n_steps"), [(32, 8), (256, 10)])
def test_an_update_is_a_few_messages_whatever_the_size(simulation, wire, n_channels, n_steps):
    panel = RunPanel(Pipeline([Halve()] * n_steps), simulation)
    wire.sent.clear()
    feed(panel.model, n_channels, n_steps, n_updates=16)
    assert len(wire.sent) <= 17 * PER_UPDATE
    assert sum(size for _, size, _ in wire.sent) < 17 * 30_000
    assert find(panel, "fnb-grid").value.count("fnb-cell-done") == n_steps * min(n_channels, 37)


def test_a_large_grid_is_cheap(simulation):
    """Following 256 channels through 10 steps takes a few milliseconds for each update."""
    panel = RunPanel(Pipeline([Halve()] * 10), simulation)
    begin_s = time.thread_time()
    feed(panel.model, 256, 10, n_updates=16)
    assert time.thread_time() - begin_s < 17 * 0.02
    costs_s = []
    for _ in range(5):
        begin_s = time.thread_time()
        html = write_grid(panel.model.state)
        costs_s.append(time.thread_time() - begin_s)
    assert min(costs_s) < 0.005 and len(html) < 20_000


@pytest.mark.parametrize("tab", ["Run", "Chain"])
def test_a_run_in_the_studio_sends_little(simulation, wire, tab):
    """Start and end of a run, picture and all, on a tab from which the recording is not seen."""
    studio = Studio(simulation, Pipeline([Halve(), Halve()]))
    studio.show(tab)
    studio.run()
    wire.sent.clear()
    assert studio.run().success
    assert len(wire.sent) <= PER_RUN + 4 * PER_UPDATE
    assert sum(size for _, size, _ in wire.sent) < 200_000


def test_the_signal_follows_on_every_screen(simulation):
    studio = Studio(simulation, Pipeline([Halve()]))
    studio.show("Tune")
    studio.run()
    after = find(studio, "fnb-signal-plot").meta
    labels = [s["label"] for s in after["signals"]]
    assert labels == ["recording", "corrected", "truth", "removed"]


def test_everything_is_sent_from_the_loop(simulation, wire):
    """Whatever the run's thread does, the panel's messages come from the thread of the loop."""

    async def watch() -> float:
        panel = RunPanel(Pipeline([Halve(0.005)] * 30), simulation, n_jobs=1)
        wire.sent.clear()
        panel.settings.run.click()
        begin_s = time.monotonic()
        while panel.model.running:
            await asyncio.sleep(0.02)
        return time.monotonic() - begin_s

    took_s = asyncio.run(watch())
    assert {thread for _, _, thread in wire.sent} == {threading.current_thread()}
    assert len(wire.sent) <= PER_RUN + PER_UPDATE * (10 * took_s + 2)


def test_controls_answer_while_two_workers_run(simulation):
    """From a control to the plan, the code and the forecast: far below half a second."""

    async def watch() -> list[float]:
        panel = RunPanel(Pipeline([Halve(0.02)] * 20), simulation, cores=2, n_jobs=2)
        panel.start()
        took_s = []
        while panel.model.running and len(took_s) < 8:
            begin_s = time.monotonic()
            panel.settings.batch_size.value = 2 + len(took_s)
            panel.settings.mode.value = ("parallel", "serial")[len(took_s) % 2]
            assert f"batch_size={2 + len(took_s)}" in panel.model.code()
            await asyncio.sleep(0)  # the loop has been round once
            took_s.append(time.monotonic() - begin_s)
            await asyncio.sleep(0.05)
        assert len(took_s) == 8 and panel.status == "running"
        panel.cancel()
        begin_s = time.monotonic()
        while panel.model.running:
            await asyncio.sleep(0.01)
        return [*took_s, time.monotonic() - begin_s]

    assert max(asyncio.run(watch())) < 0.5


def test_other_cells_run_meanwhile(simulation):
    """A run does not hold the loop: what a cell awaits goes on while it is on."""

    async def watch() -> list[float]:
        gate = Gate()
        panel = RunPanel(Pipeline([Halve(0.01), gate]), simulation)
        panel.start()
        gaps_s = []
        while not gate.reached.is_set() or len(gaps_s) < 20:
            begin_s = time.monotonic()
            await asyncio.sleep(0.005)
            gaps_s.append(time.monotonic() - begin_s)
        assert panel.status == "running"
        gate.open.set()
        while panel.model.running:
            await asyncio.sleep(0.01)
        assert panel.result.success
        return gaps_s

    assert max(asyncio.run(watch())) < 0.3


def test_two_panels_at_once_on_one_loop(simulation):
    """Both run, both are followed, and cancelling one leaves the other alone."""

    async def watch() -> None:
        panels = [
            RunPanel(Pipeline([Halve(0.01)] * n), simulation, mode="serial") for n in (10, 60)
        ]
        for panel in panels:
            panel.settings.run.click()
        first, second = panels
        while first.model.running:
            await asyncio.sleep(0.02)
        assert second.status == "running" and 0 < find(second, "fnb-progress").value < 1
        second.settings.cancel.click()
        while second.model.running:
            await asyncio.sleep(0.02)
        assert (first.status, second.status) == ("done", "cancelled")
        assert len(first.result.state.cells) == 40 and second.result.context is None
        assert "Done in" in find(first, "fnb-status").value
        assert "Cancelled after" in find(second, "fnb-status").value

    asyncio.run(watch())
