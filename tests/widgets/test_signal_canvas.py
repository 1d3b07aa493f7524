"""The canvas answers its page: newest request first in line, in its own thread, and lets go."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import mne
import numpy as np
import pytest

from facet_nb.models.signal_tiles import TiledSignal
from facet_nb.widgets import SignalView, signal_canvas
from facet_nb.widgets.signal_canvas import SignalCanvas
from tests.models.helpers import make_simulation


class Wire:
    """What a canvas sends, and what its page would ask."""

    def __init__(self, canvas: SignalCanvas, monkeypatch: pytest.MonkeyPatch) -> None:
        self.canvas, self.sent, self.news = canvas, [], threading.Event()
        monkeypatch.setattr(canvas, "send", self.take)

    def take(self, message, buffers=None) -> None:
        self.sent.append((message, buffers, threading.current_thread().name))
        self.news.set()

    def ask(self, *tiles, version=None, overview=False) -> None:
        version = self.canvas.meta["version"] if version is None else version
        request = {"kind": "want", "version": version, "tiles": list(tiles), "overview": overview}
        self.canvas._receive(self.canvas, request, [])

    def wait(self, n: int) -> list:
        deadline = time.monotonic() + 20
        while len(self.sent) < n and time.monotonic() < deadline:
            self.news.wait(0.05)
        assert len(self.sent) >= n
        return self.sent


@pytest.fixture
def raw() -> mne.io.BaseRaw:
    x = 1e-5 * np.random.default_rng(0).normal(size=(3, 20_000))
    return mne.io.RawArray(x, mne.create_info(3, 1000.0, "eeg"), verbose="error")


@pytest.fixture
def wire(raw, monkeypatch) -> Wire:
    canvas = SignalCanvas()
    canvas.show(raw.ch_names, {"recording": TiledSignal(raw, raw.ch_names)}, np.array([1.0, 2.5]))
    yield Wire(canvas, monkeypatch)
    canvas.close()


def test_tiles_are_answered_in_order_from_another_thread(wire, raw):
    wire.ask([0, 0, 3, 0], [0, 1, 0, 0])
    sent = wire.wait(2)
    assert [m["tile"] for m, _, _ in sent] == [[0, 0, 3, 0], [0, 1, 0, 0]]
    message, (codes, scales), thread = sent[0]
    assert message["n_channels"] == 3 and thread == "facet_nb-signal"
    found = scales[0][:, np.newaxis] + scales[1][:, np.newaxis] * codes
    np.testing.assert_allclose(found, 1e6 * raw.get_data(start=3072, stop=4096), atol=1e-3)


def test_a_new_request_replaces_those_that_wait(raw, monkeypatch):
    canvas, go, read = SignalCanvas(), threading.Event(), TiledSignal(raw, raw.ch_names)

    class Slow(TiledSignal):
        def tile(self, *place):
            assert go.wait(20)
            return read.tile(*place)

    canvas.show(raw.ch_names, {"recording": Slow(raw, raw.ch_names)}, np.zeros(0))
    wire = Wire(canvas, monkeypatch)
    wire.ask(*[[0, 0, i, 0] for i in range(8)])
    while canvas._wanted == [[0, 0, i, 0] for i in range(8)]:
        time.sleep(0.001)  # the first is being computed
    wire.ask([0, 0, 15, 0])
    go.set()
    assert [m["tile"][2] for m, _, _ in wire.wait(2)] == [0, 15]
    time.sleep(0.05)
    assert len(wire.sent) == 2
    canvas.close()


def test_other_signals_do_not_wait_for_what_is_out_of_date(raw, monkeypatch):
    canvas, go = SignalCanvas(), threading.Event()

    class Stuck(TiledSignal):
        def tile(self, *place):
            assert go.wait(20)
            return super().tile(*place)

    canvas.show(raw.ch_names, {"preview": Stuck(raw, raw.ch_names)}, np.zeros(0))
    wire = Wire(canvas, monkeypatch)
    wire.ask([0, 0, 0, 0])
    while canvas._wanted:
        time.sleep(0.001)
    stuck = canvas._thread
    canvas.show(raw.ch_names, {"recording": TiledSignal(raw, raw.ch_names)}, np.zeros(0))
    wire.ask([0, 0, 7, 0])
    assert [m["tile"][2] for m, _, _ in wire.wait(1)] == [7] and stuck.is_alive()
    go.set()
    stuck.join(20)
    assert not stuck.is_alive() and canvas._thread is not stuck
    canvas.close()


def test_the_picture_does_not_wait_for_a_spectrum(wire, monkeypatch):
    """The first spectrum imports a library, which takes seconds while a cell runs."""
    begun, go = threading.Event(), threading.Event()
    compute = signal_canvas.compute_spectrum

    def compute_late(*args):
        begun.set()
        assert go.wait(20)
        return compute(*args)

    monkeypatch.setattr(signal_canvas, "compute_spectrum", compute_late)
    version = wire.canvas.meta["version"]
    window = {"channels": [0, 1], "begin_s": 2.0, "span_s": 5.0}
    request = {"kind": "spectrum", "version": version, "key": "a", **window}
    wire.canvas._receive(wire.canvas, request, [])
    assert begun.wait(20)
    wire.ask([0, 0, 3, 0])
    assert wire.wait(1)[0][0]["tile"] == [0, 0, 3, 0]
    wire.canvas._receive(wire.canvas, {**request, "key": "b"}, [])
    go.set()
    keys = [message["key"] for message, _, _ in wire.wait(3)[1:]]
    assert keys == ["a", "b"]
    assert [m["labels"] for m, _, _ in wire.sent[1:]] == [["recording"], ["recording"]]


def test_errors_reach_the_page(wire):
    wire.ask([0, 9, 0, 0])
    ((message, buffers, _),) = wire.wait(1)
    assert message["kind"] == "error" and "level 9" in message["text"] and buffers is None


def test_requests_about_other_signals_are_dropped(wire):
    wire.ask([0, 0, 0, 0], version=99)
    wire.canvas._receive(wire.canvas, "nonsense", [])
    assert wire.canvas._thread is None and not wire.sent


def test_the_overview_is_told_when_it_is_ready(wire):
    wire.ask(overview=True)
    assert wire.wait(1)[0][0] == {"kind": "overview", "version": wire.canvas.meta["version"]}


def test_closing_ends_the_thread_and_frees_the_recording(raw, monkeypatch):
    view = SignalView(raw)
    wire = Wire(view.canvas, monkeypatch)
    wire.ask([0, 0, 0, 0])
    wire.wait(1)
    thread, signal = view.canvas._thread, weakref.ref(view.canvas._signals[0])
    view.retire()
    thread.join(20)
    assert not thread.is_alive()
    del thread, wire
    gc.collect()
    assert signal() is None


def test_page_and_model_follow_each_other():
    view = SignalView(make_simulation())
    page = dict(view.canvas.view)
    assert page["channels"] == list(range(len(view.model.channels)))
    view.canvas.view = {**page, "begin_s": 2.0, "span_s": 1.0, "channels": [1], "scale_uv": [50, 0]}
    assert (view.model.begin_s, view.model.span_s, view.model.scale_uv) == (2.0, 1.0, 50.0)
    assert view.channels.value == view.model.channels == (view.model.names[1],)
    assert "1 channel from 2.00 to 3.00 s" in view.to_html()
    view.channels.value = view.model.names[:2]
    assert view.canvas.view["channels"] == [0, 1] and view.canvas.view["begin_s"] == 2.0
    view.channels.value = ()
    assert "No channel is selected" in view.to_html()


def test_the_handle_and_the_choice_of_recordings_follow_each_other():
    simulation = make_simulation()
    view = SignalView(simulation, simulation.raw)
    signals = view.canvas.meta["signals"]
    assert [s["label"] for s in signals] == ["recording", "corrected", "truth", "removed"]
    assert view.canvas.view["wipe"] == pytest.approx(0.46)
    view.canvas.view = {**view.canvas.view, "wipe": 0.7}
    assert view.model.shown == "both" and view.canvas.view["wipe"] == 0.7
    view.canvas.view = {**view.canvas.view, "wipe": 0.0}
    assert view.model.shown == "corrected" and len(view.model.window().layers) == 1
    view.model.shown = "recording"
    assert view.canvas.view["wipe"] == 1.0


def test_a_lazy_recording_computes_only_what_is_looked_at(monkeypatch):
    from facet_nb import AASCorrection, Pipeline, TriggerDetector

    simulation = make_simulation()
    raw = simulation.raw
    lazy = Pipeline([TriggerDetector(r"\b1\b"), AASCorrection(window_size=5)]).lazy(raw)
    view = SignalView(raw, lazy)
    asked = []
    read = lazy._raw_extras[0]["samples"].read
    monkeypatch.setattr(
        lazy._raw_extras[0]["samples"],
        "read",
        lambda rows, start, stop: asked.append((start, stop)) or read(rows, start, stop),
    )
    wire = Wire(view.canvas, monkeypatch)
    wire.ask([1, 0, 1, 0])
    wire.wait(1)
    assert asked == [(1024, 1025), (1024, 2048)]  # one sample: is the channel decided?
    view.retire()


class Undecided:
    """A recording that takes `wait_s` to decide about each channel, as a lazy one does."""

    def __init__(self, raw, wait_s=0.08):
        self.raw, self.wait_s, self.known = raw, wait_s, []

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def describe_steps(self):
        return []

    def get_data(self, picks, **window):
        for row in picks:
            if row not in self.known:
                time.sleep(self.wait_s)
                self.known.append(row)
        return self.raw.get_data(picks, **{**window, "verbose": "error"})


@pytest.mark.parametrize("level", [0, 2])
def test_channels_are_shown_as_they_are_decided(raw, monkeypatch, level):
    canvas, lazy = SignalCanvas(), Undecided(raw)
    canvas.show(raw.ch_names, {"corrected": TiledSignal(lazy, raw.ch_names)}, np.zeros(0))
    wire = Wire(canvas, monkeypatch)
    wire.ask([0, level, 0, 0])
    sent = wire.wait(3)
    assert [m.get("known") for m, *_ in sent] == [[1, 3], [2, 3], None]
    last = sent[-1][1][0]
    for n, (_, (codes, _), _) in enumerate(sent, 1):
        assert np.array_equal(codes[:n], last[:n]) or level  # the same samples
        assert (codes[n:] == -(1 << 15)).all(), "a channel that nobody knows yet"
    wire.ask([0, level, 1, 0])  # known by now: at once
    assert "known" not in wire.wait(4)[3][0]
    canvas.close()


def test_what_the_page_no_longer_wants_is_given_up(raw, monkeypatch):
    canvas, lazy = SignalCanvas(), Undecided(raw)
    canvas.show(raw.ch_names, {"corrected": TiledSignal(lazy, raw.ch_names)}, np.zeros(0))
    wire = Wire(canvas, monkeypatch)
    monkeypatch.setattr(TiledSignal, "visit_all", lambda self, group: iter(()))
    wire.ask([0, 0, 0, 0])
    wire.wait(1)
    wire.ask([0, 0, 5, 0])
    sent = wire.wait(2)
    while sent[-1][0]["tile"] != [0, 0, 5, 0] or "known" in sent[-1][0]:
        sent = wire.wait(len(sent) + 1)
    of_first = [m for m, *_ in sent if m["tile"] == [0, 0, 0, 0]]
    assert of_first and all("known" in m for m in of_first)
    canvas.close()


def test_a_long_lazy_recording_does_not_hold_up_the_notebook(raw, monkeypatch):
    """Table and saved picture wait until the page has drawn, and thus computed, the window."""
    from facet_nb import HighPassFilter, Pipeline
    from facet_nb.models import signal_model

    monkeypatch.setattr(signal_model, "_LONG_S", 5.0)
    lazy = Pipeline([HighPassFilter(2.0)]).lazy(raw)
    read, get_data = [], type(lazy).get_data
    monkeypatch.setattr(
        type(lazy), "get_data", lambda self, *a, **k: read.append(1) or get_data(self, *a, **k)
    )
    view = SignalView(raw, lazy)
    bundle = view._report_bundle()
    assert read == [] and "corrected" not in view.table.value + bundle["text/html"]
    drawn = {"kind": "drawn", "version": view.canvas.meta["version"]}
    view.canvas._receive(view.canvas, drawn, [])
    assert "corrected (µV)" in view.table.value and read
    assert "corrected (µV)" in view._report_bundle()["text/html"]
    assert "corrected (µV)" in SignalView(raw, lazy).to_html()  # who asks for it gets it
    view.model.begin_s = 3.0
    assert "corrected" not in view.table.value
    view.close()
