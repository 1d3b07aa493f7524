"""Streams of Lab Streaming Layer: a player in place of MNE-LSL, which needs a network."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import mne
import numpy as np
import pytest

from facet_nb import (
    HighPassFilter,
    OnlineAASCorrection,
    Pipeline,
    TriggerDetector,
    ValidationError,
)
from facet_nb.core.errors import MissingExtraError
from facet_nb.core.live import read_events
from facet_nb.datasets import simulate
from facet_nb.io import LslSource, lsl

CHAIN = Pipeline(
    [
        TriggerDetector(r"\b1\b"),
        HighPassFilter(1.0, method="iir", phase="forward"),
        OnlineAASCorrection(10),
    ]
)
#: Clocks of the two outlets, in s from the clock of this machine.
CLOCK_S, MARKER_CLOCK_S = 1000.0, -7.0


@pytest.fixture(scope="module")
def raw():
    return simulate(3, sfreq=500, duration_s=14, tr_s=1, n_slices=5, seed=4, clock_offset_ppm=0).raw


class Player:
    """A recording that is replayed: each look at it brings `step` samples more.

    Markers arrive `late` samples after the samples that they mark.
    """

    def __init__(self, raw, step=70, late=30, texts=True, unit="microvolts"):
        self.raw, self.step, self.late, self.texts, self.unit = raw, step, late, texts, unit
        self.sfreq, self.now = raw.info["sfreq"], 0
        self.events = read_events(raw)
        self.names = sorted({text for _, text in self.events})
        self.volts = 1e-6 if unit == "microvolts" else 1.0

    def describe(self, name, sfreq):
        return SimpleNamespace(
            name=name,
            sfreq=sfreq,
            dtype="string" if self.texts else np.float64,
            n_channels=len(self.names),
            get_channel_info=lambda: self.raw.info,
            get_channel_units=lambda: [self.unit] * len(self.raw.ch_names),
            get_channel_names=lambda: self.names,
        )

    def streams(self, *names):
        known = {
            "amplifier": self.describe("amplifier", self.sfreq),
            "codes": self.describe("codes", 0.0),
        }
        return [known[name] for name in names]


def install(monkeypatch, player, streams):
    """Put the player in the place of MNE-LSL; time passes where no samples come."""
    clock_s = [0.0]

    class StreamInlet:
        def __init__(self, stream):
            self.stream, self.done = stream, 0

        def open_stream(self, timeout):
            self.open = True

        def close_stream(self):
            self.open = False

        def get_sinfo(self):
            return self.stream

        def time_correction(self):
            return CLOCK_S if self.stream.sfreq else MARKER_CLOCK_S

        def pull_chunk(self, timeout):
            if self.stream.sfreq:
                start, player.now = player.now, min(player.now + player.step, player.raw.n_times)
                clock_s[0] += player.now == start
                x = player.raw.get_data(start=start, stop=player.now) / player.volts
                return x.T, np.arange(start, player.now) / player.sfreq - CLOCK_S
            known = [e for e in player.events if e[0] + player.late < player.now]
            new, self.done = known[self.done :], len(known)
            at = np.array([place for place, _ in new]) / player.sfreq - MARKER_CLOCK_S
            if player.texts:
                return [[text] for _, text in new], at
            rows = [[-1.0 if name == text else 0.0 for name in player.names] for _, text in new]
            return np.array(rows).reshape(-1, len(player.names)), at

    package, inner = ModuleType("mne_lsl"), ModuleType("mne_lsl.lsl")
    package.__spec__ = ModuleSpec("mne_lsl", None)
    inner.StreamInlet, inner.resolve_streams = StreamInlet, lambda timeout: streams
    package.lsl = inner
    monkeypatch.setitem(sys.modules, "mne_lsl", package)
    monkeypatch.setitem(sys.modules, "mne_lsl.lsl", inner)
    time = SimpleNamespace(monotonic=lambda: clock_s[0], sleep=lambda s: None)
    monkeypatch.setattr(lsl, "time", time)


@pytest.mark.parametrize("step", [1, 37, 5000])
@pytest.mark.parametrize(("texts", "unit"), [(True, "microvolts"), (False, "0")])
def test_the_stream_equals_the_run(raw, monkeypatch, step, texts, unit):
    player = Player(raw, step, texts=texts, unit=unit)
    install(monkeypatch, player, player.streams("codes", "amplifier"))
    blocks = list(CHAIN.stream(LslSource(block_s=0.3, delay_s=0.1)))
    found = np.concatenate([block.data for block in blocks], axis=1)
    sent = raw.copy()
    sent._data = player.volts * (raw.get_data() / player.volts)  # rounded on the way
    full = CHAIN.run(sent, raise_on_error=True)
    assert np.array_equal(found, full.raw.get_data())
    triggers = np.concatenate([block.triggers for block in blocks])
    assert np.array_equal(triggers, full.context.get_triggers())
    assert {block.data.shape[1] for block in blocks[:-2]} == {150}


def test_markers_that_come_too_late_are_told(raw, monkeypatch, caplog):
    player = Player(raw, step=50, late=400)
    install(monkeypatch, player, player.streams("codes", "amplifier"))
    blocks = list(LslSource(block_s=0.1, delay_s=0.0))
    assert sum(len(events) for _, events in blocks) < len(player.events)
    assert "came" in caplog.text and "delay_s" in caplog.text


def test_streams_that_are_not_there(raw, monkeypatch):
    player = Player(raw)
    install(monkeypatch, player, [])
    with pytest.raises(ValidationError, match="no streams of samples; there are no streams at all"):
        LslSource()
    install(monkeypatch, player, player.streams("amplifier", "amplifier", "codes"))
    with pytest.raises(ValidationError, match="2 streams of samples; there are amplifier, amp"):
        LslSource()
    install(monkeypatch, player, player.streams("amplifier"))
    with pytest.raises(ValidationError, match="no streams of markers with the name 'other'"):
        LslSource(markers="other")
    source = LslSource()  # without markers
    assert isinstance(source.info, mne.Info)
    assert {len(events) for _, events in source} == {0}


def test_without_mne_lsl(monkeypatch):
    monkeypatch.setitem(sys.modules, "mne_lsl", None)
    monkeypatch.delitem(sys.modules, "mne_lsl.lsl", raising=False)
    with pytest.raises(MissingExtraError, match=r"mne_lsl is not installed.*facet-nb\[lsl\]"):
        LslSource()
