"""Canvas that pans and zooms through a recording, and compares it with its correction."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from facet_nb.models.background_tasks import start_thread
from facet_nb.models.signal_spectrum import compute_spectrum
from facet_nb.models.signal_tiles import Tile, TiledSignal

HERE = Path(__file__).parent
#: The thread that computes tiles ends after this time without a request, in s.
_IDLE_S = 10.0
#: Interval at which a spectrum checks whether the picture is complete, in s.
_LOOK_S = 0.05


class SignalCanvas(anywidget.AnyWidget):
    """Shows a recording left of a handle, and the corrected one right of it.

    The page does the drawing, and requests the tiles that it lacks. Samples travel as
    lowest and highest value per pixel, so that traffic does not grow with the window.

    Attributes
    ----------
    meta : dict
        What the page needs to know: ``names`` of the channels, ``duration_s``, ``signals`` (label,
        rate, number of samples and start of each), ``findings`` (spans with a severity and title).
    difference : list of str
        What the difference of two results says, in large and in small letters.
    markers : bytes
        Times of the triggers, in s, as float64.
    view : dict
        What is shown, owned by the page: ``begin_s``, ``span_s``, ``channels`` (indices),
        ``scale_uv`` (distance of channels, for each side; 0 chooses it), ``wipe`` (position
        of the handle, 0 to 1), ``what`` (``"signal"``, ``"removed"``, ``"difference"``) and
        ``truth`` (whether the truth is drawn).
    height_px : int
        Height of the picture, in pixels.
    n_drawn : int
        How often the page had drawn all that it had asked for.
    """

    _esm = HERE / "signal_canvas.js"
    _css = HERE / "signal_canvas.css"
    meta = traitlets.Dict().tag(sync=True)
    markers = traitlets.Bytes(b"").tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    difference: traitlets.List[str] = traitlets.List().tag(sync=True)
    height_px = traitlets.Int(380).tag(sync=True)
    n_drawn = traitlets.Int(0)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._signals: list[TiledSignal] = []
        self._labels: list[str] = []
        self._markers_s = np.zeros(0)
        self._version = 0
        self._lock = threading.Condition()
        self._wanted: list[Sequence[int]] = []
        self._spectrum: dict[str, Any] | None = None
        self._asked_in: Context = copy_context()
        self._thread: threading.Thread | None = None
        self._spectra: threading.Thread | None = None
        self._overview: Iterator[float] | None = None
        self.on_msg(self._receive)

    def show(
        self,
        names: Sequence[str],
        signals: dict[str, TiledSignal],
        markers_s: np.ndarray,
        findings: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Replace the signals.

        Parameters
        ----------
        names : sequence of str
            Names of the channels.
        signals : dict of str to TiledSignal
            Signals by their label; the first is drawn left of the handle, ``"corrected"`` or
            ``"preview"`` right of it, ``"truth"``, ``"removed"`` and ``"difference"`` on demand.
        markers_s : ndarray, shape (n_markers,)
            Times of triggers, in s.
        findings : sequence of dict
            Spans to mark: ``begin_s``, ``end_s``, ``severity``, ``title``.
        """
        with self._lock:
            self._signals, self._labels = list(signals.values()), list(signals)
            self._markers_s = np.sort(markers_s)
            self._version += 1
            self._wanted, self._spectrum = [], None
            self._overview = None
            self._thread = None  # its current tile is out of date: a new thread continues
        ends = [s.offset_s + s.n_times / s.sfreq for s in signals.values()]
        with self.hold_sync():
            self.markers = np.asarray(markers_s, dtype="<f8").tobytes()
            self.meta = {
                "names": list(names),
                "duration_s": max(ends, default=0.0),
                "version": self._version,
                "signals": [
                    {
                        "label": label,
                        "sfreq": signal.sfreq,
                        "n_times": signal.n_times,
                        "offset_s": signal.offset_s,
                        "n_levels": signal.n_levels,
                    }
                    for label, signal in signals.items()
                ],
                "findings": list(findings),
            }

    def release(self) -> None:
        """Drop the references to the recordings; the page keeps the tiles that it has."""
        with self._lock:
            self._wanted, self._signals, self._overview = [], [], None
            self._spectrum = None
            self._lock.notify_all()

    def close(self) -> None:
        """End the thread, and remove the canvas from the page."""
        self.release()
        super().close()

    # ------------------------------------------------------------------------------------ inner
    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Store which tiles the page lacks now; earlier requests are out of date."""
        kind = message.get("kind") if isinstance(message, dict) else None
        if kind not in ("want", "spectrum", "drawn") or message.get("version") != self._version:
            return
        if kind == "drawn":
            self.n_drawn += 1
            return
        with self._lock:
            # ipykernel answers a page where the kernel last sent from: answers leave in the
            # context of the request, so that they never wait for a running cell.
            self._asked_in = copy_context()
            if kind == "spectrum":
                self._spectrum = message
                if self._spectra is None:
                    self._spectra = start_thread(self._work_on_spectra, name="facet_nb-spectrum")
                return
            self._wanted = list(message.get("tiles", ()))
            if message.get("overview") and self._overview is None and self._signals:
                self._overview = self._signals[0].visit_all(0)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, name="facet_nb-signal", daemon=True
                )
                self._thread.start()
            self._lock.notify_all()

    def _work(self) -> None:
        """Compute and send tiles; between requests, continue the overview."""
        while True:
            with self._lock:
                if self._is_current() and not self._has_work():
                    self._lock.wait(_IDLE_S)
                if not self._is_current():
                    return
                if not self._has_work():
                    self._thread = None
                    return
                wanted = self._wanted
                place = wanted.pop(0) if wanted else None
                signals, version, overview = self._signals, self._version, self._overview
                context = self._asked_in.copy()
            if place is not None:
                context.run(self._answer, signals, version, place, wanted)
            elif overview is not None:
                done = next(overview, None)
                if done is None:
                    with self._lock:
                        if self._overview is overview:
                            self._overview = None
                    context.run(self.send, {"kind": "overview", "version": version})

    def _is_current(self) -> bool:
        return self._thread is threading.current_thread()

    def _has_work(self) -> bool:
        return bool(self._wanted) or self._overview is not None

    def _work_on_spectra(self) -> None:
        """Compute and send spectra, each once the picture is complete.

        Not on the thread of the tiles: the first one imports scipy.signal, which takes seconds
        while a cell runs, and the picture would wait for it.
        """
        while True:
            with self._lock:
                while self._wanted and self._spectrum is not None:
                    self._lock.wait(_LOOK_S)
                wanted, self._spectrum = self._spectrum, None
                if wanted is None:
                    self._spectra = None
                    return
                named = dict(zip(self._labels, self._signals, strict=False))
                context = self._asked_in.copy()
            context.run(self._answer_spectrum, named, wanted)

    def _answer_spectrum(self, signals: dict[str, TiledSignal], wanted: dict[str, Any]) -> None:
        """Send the spectra of the window in view."""
        message = {"kind": "spectrum", "version": wanted["version"], "key": wanted["key"]}
        known = {k: s for k, s in signals.items() if k not in ("removed", "difference")}
        places, begin_s, span_s = wanted["channels"], wanted["begin_s"], wanted["span_s"]
        if not known or not places:
            return
        try:
            found = compute_spectrum(known, self._markers_s, places, begin_s, span_s)
        except Exception as error:  # as in _answer
            self.send({**message, "text": f"{type(error).__name__}: {error}"})
            return
        rows = np.stack([found.freqs_hz, *found.density_db.values()]).astype("<f4")
        labels = list(found.density_db)
        self.send({**message, "labels": labels, "slice_hz": found.slice_hz}, [rows])

    def _answer(
        self,
        signals: list[TiledSignal],
        version: int,
        place: Sequence[int],
        wanted: list[Sequence[int]],
    ) -> None:
        """Send a tile, in parts if it takes long, as long as the page still needs it."""
        message = {"kind": "tile", "version": version, "tile": list(place)}
        try:
            number, *where = place
            for tile, n_known, n_channels in signals[number].build(*where):
                done = {} if n_known == n_channels else {"known": [n_known, n_channels]}
                self._send_tile({**message, **done}, tile)
                if self._wanted is not wanted and list(place) not in map(list, self._wanted):
                    return
        except Exception as error:  # a lazy recording runs steps, which may raise anything
            self.send({**message, "kind": "error", "text": f"{type(error).__name__}: {error}"})

    def _send_tile(self, message: dict[str, Any], tile: Tile | None) -> None:
        if tile is None:
            self.send({**message, "kind": "known"})
            return
        scales = np.stack([tile.offset_uv, tile.step_uv])
        self.send(
            {**message, "n_channels": len(tile.codes)},
            [np.ascontiguousarray(tile.codes), scales],
        )
