"""Gradient artifact correction by low-rank waveforms, aligned between samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.base import ChannelCorrection, check_reference
from facet_nb.correction.train_findings import (
    tell_broken,
    tell_drift,
    tell_lost,
    tell_train,
    tell_unmarked,
)
from facet_nb.kernels.lowrank import locked, lowrank
from facet_nb.kernels.lowrank.amplitudes import MAX_COURSES
from facet_nb.kernels.lowrank.highband import average_high, measure_rest
from facet_nb.kernels.lowrank.unmarked import find_unmarked
from facet_nb.kernels.streams import WaveformStream
from facet_nb.kernels.templates import subsample
from facet_nb.kernels.triggers.clock import ClockFit, fit_clock
from facet_nb.kernels.triggers.pace import Pace, keep_pace
from facet_nb.kernels.triggers.repeats import find_repeats
from facet_nb.kernels.triggers.runs import Train, split_train
from facet_nb.kernels.triggers.spacing import artifact_length
from facet_nb.kernels.windows import WaveformWindows

#: Largest shift searched for if markers jitter, in samples and relative to the artifact length.
_MAX_JITTER = 8
_MAX_JITTER_OF_LENGTH = 0.05
#: Onsets found in the signal are used if their residual has less than this share of the energy.
_BETTER = 0.8
#: Artifact length that the memory is predicted for, in s; shorter epochs consist mostly of the
#: margins that their transforms need.
_SHORT_S = 0.1
#: Largest number of slices over which the energy of a preparation block is spread, and bounds of
#: this as a part of the volume's slices. Blocks have 1.0 to 1.2 slices of 20; rectified excitation
#: of all slices has 0.8 of them, and a heartbeat that is taken for a volume of nine 0.24 to 0.36.
#: Volumes that are marked, or between pauses, are no heartbeats: the last part.
_FEW_SLICES, _SOME_SLICES, _MARKED = 1.7, (0.16, 0.2), 0.4
#: A known artifact length counts if it is below this share of the period: artifacts with a pause.
_SHORTER = 0.95
#: Most slices in a volume: no sequence has more excitations.
_MOST_SLICES = 10_000


@dataclass(frozen=True)
class GradientPlan:
    """Decisions that all channels share.

    Attributes
    ----------
    layouts : tuple of Layout
        Positions of the artifacts of each run.
    sfreq : float
        Sampling rate, in Hz.
    volumes : tuple of Layout or None
        Positions of volumes whose mean is subtracted after the slices' artifacts, for each run;
        None where nothing recurs with them only.
    known : Learned | None
        What was learned of the reference channel, to learn it once; None if that is of no use.
    """

    layouts: tuple[subsample.Layout, ...]
    sfreq: float
    volumes: tuple[subsample.Layout | None, ...]
    known: lowrank.Learned | None = None

    @property
    def is_plain(self) -> bool:
        """Whether there is one model, and no mean over volumes behind it."""
        return len(self.layouts) == 1 and self.volumes[0] is None


@dataclass(frozen=True)
class _Run:
    """Positions of a run's artifacts, what was found of it, and its volumes if these matter."""

    layout: subsample.Layout | None
    notes: dict[str, Any]
    volumes: subsample.Layout | None = None
    known: lowrank.Learned | None = None


@register_processor
@fill_doc
class GradientCorrection(ChannelCorrection):
    r"""Subtract the gradient artifact as a low-rank sum of waveforms, aligned between samples.

    The clock model (:class:`facet_nb.ClockModel`) provides the artifact onsets, and epochs are
    shifted to them in the Fourier domain at the native rate. The artifact of a channel in epoch
    :math:`k` is

    .. math:: A_k(f) = \sum_r u_r(k) \, c_r(f) ,

    the mean artifact and its variations with motion, drift, slice and onset between samples. The
    amplitudes `u`, which vary from epoch to epoch, are estimated above 70 Hz, where the artifact
    exceeds the EEG. The waveforms `c` follow by regression over all epochs of ten minutes; at each
    frequency they are shrunk if they do not exceed what EEG alone would produce. The template
    therefore follows motion and drift, and removes hardly any EEG.

    If only volumes are marked, the slices are detected in the mean volume of the reference channel,
    and each slice is corrected as an artifact.

    Parameters
    ----------
    slices : "auto" | int | None
        Number of similar artifacts from one marker to the next. ``"auto"`` detects it; a number
        (of slices in a volume, or of slice groups with multiband) divides the period evenly; None
        or 1 treats each marker as one artifact.
    max_courses : int
        Largest number of variations of the artifact; 0 subtracts the mean of all epochs.
    shrinkage : float
        Noise power that a waveform must exceed at a frequency to be subtracted there (with 3, noise
        alone exceeds it at 5 % of the frequencies); 0 subtracts it at all frequencies.
    block_s : float
        Longest time over which waveforms are shared, in s.
    %(ref_channel)s
    picks : str | list | None
        Channel names, positions or types to correct; None for all data channels.

    Notes
    -----
    See *Gradient correction* in the documentation for the method, its equations, ablations and
    limits. Use it before filters, on the unprocessed recording: it needs neither upsampling nor
    alignment. The history records the results of the clock model and of the slice detection.
    """

    loads_scipy_signal = False
    name = "gradient_correction"
    heeds_pieces = True
    description = "Subtract the gradient artifact by low-rank waveforms, aligned between samples"
    needs = "reference"

    def __init__(
        self,
        slices: int | str | None = "auto",
        max_courses: int = MAX_COURSES,
        shrinkage: float = lowrank.SHRINKAGE,
        block_s: float = 600.0,
        ref_channel: int | str | None = None,
        picks: str | Sequence[str] | Sequence[int] | None = None,
    ) -> None:
        self.slices = slices
        self.max_courses = max_courses
        self.shrinkage = shrinkage
        self.block_s = block_s
        self.ref_channel = ref_channel
        self.picks = picks

    def prepare(self, view: View) -> Prepared:
        """Find the artifact onsets between samples, and the slices within volumes."""
        self._check()
        x = view.reference
        assert x is not None
        markers = _list_markers(view.metadata)
        given = split_train(markers)
        paces = [keep_pace(x, run + view.offset, view.sfreq) for run in given.runs]
        train = replace(given, runs=tuple(pace.starts - view.offset for pace in paces))
        found = []
        for run, marked, pace in zip(train.runs, given.runs, paces, strict=True):
            length = _find_known_length(view.metadata, markers, marked)
            length = None if length is None else pace.stretch(length)
            found.append(self._lay_out(view, run, length, alone=len(train.runs) == 1))
        layouts = tuple(run.layout for run in found if run.layout is not None)
        if not layouts:
            raise ValidationError(
                "GradientCorrection: no run has two artifacts that lie wholly within the "
                "recording. Check the triggers, and artifact_to_trigger_offset."
            )
        longest = int(np.argmax([len(run) for run in train.runs]))
        notes = {"ref_channel": view.reference_name, **found[longest].notes, **_report(train)}
        if len(found) > 1:
            notes["runs"] = [
                {"first": int(run[0]), "last": int(run[-1]), "n_markers": len(run), **own.notes}
                for run, own in zip(train.runs, found, strict=True)
            ]
        volumes = tuple(run.volumes for run in found if run.layout is not None)
        told = [
            *tell_train(train, [run.notes for run in found], view.sfreq),
            *_tell_corrected(notes),
            *tell_broken([s for run in found for s in run.notes.get("over_breaks", ())]),
            *tell_unmarked(view, *_list_ends(train.runs, notes, view)),
            *tell_lost(view),
            *tell_drift(paces, view.sfreq),
        ]
        plan = GradientPlan(layouts, view.sfreq, volumes, found[0].known)
        return Prepared(
            plan, metadata=_move_triggers(view, paces), notes=notes, findings=tuple(told)
        )

    def _lay_out(self, view: View, markers: np.ndarray, length: int | None, *, alone: bool) -> _Run:
        """Return the positions of a run's artifacts, and what was found of it.

        A run without two complete artifacts is an error if it is `alone`, and left as it is else.
        """
        x = view.reference
        assert x is not None
        clock = fit_clock(markers)
        offset = view.metadata.artifact_to_trigger_offset * view.sfreq
        n_samples = _find_length(clock, length)
        times, source = _place(x, clock, offset, n_samples)
        layout = _lay(times, n_samples, view)
        if not alone and layout.usable.sum() < 2:
            return _Run(None, {"clock": clock.report(), "times": source, "n_artifacts": 0})
        check_reference(x, view.reference_name, layout.usable, n_samples)
        unmarked: dict[str, Any] = {}
        # Neighbouring runs, and volumes with pauses between them, have no single period.
        if alone and clock.trusted and not clock.pause and clock.run.max() == 0:
            before, after = find_unmarked(x, layout, times, clock.period)
            if len(before) + len(after):
                unmarked = _describe_unmarked(before, after, clock.period, view)
                times = np.concatenate([before, times, after])
                layout = _lay(times, n_samples, view)
        n_slices, distance = self._divide(x, layout, clock.period, view.sfreq)
        starts = times
        if n_slices > 1:
            times = np.add.outer(times, distance * np.arange(n_slices))
            n_samples = int(np.ceil(distance - 1e-6))
            inside = (times > -n_samples) & (times < view.n_times)
            if view.pieces:
                # A marker tells nothing of slices behind a jump in time. Samples that the recorder
                # skipped are in the recording, so that time goes on behind them.
                jumps = [a for (_, a), (b, _) in pairwise(view.pieces) if a == b]
                behind = np.searchsorted(np.array(jumps, dtype=np.int64), times, side="right")
                inside &= behind == behind[:, :1]
            layout = _lay(times[inside], n_samples, view)
        blocks = lowrank.list_blocks(layout, view.sfreq, self.block_s)
        notes: dict[str, Any] = {
            "clock": clock.report(),
            "times": source,
            "slices_found": n_slices,
            "slice_samples": distance,
            "n_artifacts": len(layout.first),
            "n_blocks": len(blocks),
            **unmarked,
        }
        first = blocks[0]
        pool = first[layout.usable[first]]
        learned = lowrank.learn(x, layout, pool, view.sfreq, self.max_courses)
        layout, volumes, strength = self._find_volumes(
            x, layout, first, clock, starts, view.sfreq, learned
        )
        if view.pieces:
            notes["over_breaks"] = _list_broken(layout, view)
            volumes = None if volumes is None else volumes.stop_at(view.pieces)
        if volumes is None:
            return _Run(layout, notes, known=learned)
        notes["volume_samples"], notes["locked_to_volumes"] = volumes.n_samples, strength
        blocks = lowrank.list_blocks(volumes, view.sfreq, self.block_s)
        notes["n_volumes"] = min(len(which) for which in blocks)
        return _Run(layout, notes, volumes)

    def _find_volumes(
        self,
        x: np.ndarray,
        layout: subsample.Layout,
        first: np.ndarray,
        clock: ClockFit,
        starts: np.ndarray,
        sfreq: float,
        learned: lowrank.Learned | None,
    ) -> tuple[subsample.Layout, subsample.Layout | None, float]:
        """Return the layout with the positions of slices in volumes, where these are known.

        Also return the volumes if something recurs with them only, and its strength. That is
        decided in the first block of the reference channel, corrected slice by slice.
        """
        stop = min(len(x), int(layout.first[first[-1]]) + layout.n_samples + subsample.HALO)
        onsets = (layout.first + layout.part / subsample.GRID)[first]
        slices = subsample.Layout.of(onsets, layout.n_samples, stop)
        rest = lowrank.correct(
            x[:stop],
            slices,
            sfreq,
            block_s=self.block_s,
            shrinkage=self.shrinkage,
            max_courses=self.max_courses,
            volumes=True,
            known=learned,
        )
        marked = len(starts) < len(layout.first) or clock.pause > 0
        if len(starts) == len(layout.first):
            starts = _group_slices(rest, slices, clock, starts, sfreq)
        if len(starts) < locked.MIN_VOLUMES:
            return layout, None, 0.0
        n_samples = int(np.ceil(float(np.median(np.diff(starts))) - 1e-6))
        here = subsample.Layout.of(starts[starts < stop], n_samples, stop)
        found = locked.find_locked(rest, here, sfreq)
        strength = found.strength
        # What all slices hold, in other sizes, their courses explain; and a pulse is no artifact.
        few = _FEW_SLICES * layout.n_samples / n_samples
        most = _MARKED if marked else min(max(few, _SOME_SLICES[0]), _SOME_SLICES[1])
        if strength >= locked.PRESENT and found.measure_spread(layout.n_samples) <= most:
            volumes = subsample.Layout.of(starts, n_samples, len(x))
            return layout.within(starts), volumes, strength
        # What is not clear in the mean volume may still have a mean in each slice.
        known = len(starts) < len(layout.first)
        return layout.within(starts) if known else layout, None, strength

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self._check()

    def _check(self) -> None:
        if not self.max_courses >= 0:
            raise ValidationError(f"max_courses={self.max_courses} must be 0 or more.")
        if not self.shrinkage >= 0:
            raise ValidationError(f"shrinkage={self.shrinkage} must be 0 or more.")
        if not 0 < self.block_s < np.inf:
            raise ValidationError(f"block_s={self.block_s} must be a finite number above 0 s.")
        number = 1 if self.slices is None or self.slices == "auto" else self.slices
        if isinstance(number, (str, bool)) or not 1 <= int(number) <= _MOST_SLICES:
            raise ValidationError(
                f"slices={self.slices!r}: use 'auto', None, or a number above 0, at most "
                f"{_MOST_SLICES}."
            )

    def _divide(
        self, x: np.ndarray, layout: subsample.Layout, period: float, sfreq: float
    ) -> tuple[int, float]:
        """Return the number of slices from one marker to the next, and their distance."""
        if self.slices is None:
            return 1, period
        if self.slices != "auto":
            return int(self.slices), period / int(self.slices)
        return find_repeats(average_high(x, layout), period, sfreq)

    def correct_channel(self, x: np.ndarray, plan: GradientPlan, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        out[...] = x
        for layout, volumes in zip(plan.layouts, plan.volumes, strict=True):
            for which in lowrank.list_blocks(layout, plan.sfreq, self.block_s):
                lowrank.correct_block(
                    x,
                    layout,
                    which,
                    plan.sfreq,
                    out,
                    shrinkage=self.shrinkage,
                    max_courses=self.max_courses,
                    volumes=volumes is not None,
                    known=plan.known,
                )
        for volumes in plan.volumes:
            if volumes is None:
                continue
            for which in lowrank.list_blocks(volumes, plan.sfreq, self.block_s):
                locked.subtract_locked(out, volumes, plan.sfreq, which)

    def why_not_chunked(self) -> str | None:
        """Return why the correction cannot run in chunks; None if it can."""
        own = self._overrides(GradientCorrection)
        return "overrides how channels are computed" if own else None

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the correction of one channel in blocks; see :class:`ArrayProcessor`."""
        plan: GradientPlan = prepared.payload
        if not plan.is_plain:
            return None
        return WaveformStream.make(
            plan.layouts[0], plan.sfreq, self.block_s, self.shrinkage, self.max_courses
        )

    def why_not_windowed(self) -> str | None:
        """Return why windows need whole channels; None if they do not."""
        return self.why_not_chunked()

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the correction over windows; see :class:`ArrayProcessor`."""
        if self.why_not_windowed() is not None:
            return None
        plan: GradientPlan = prepared.payload
        if not plan.is_plain:
            return None  # several models, or a mean over volumes: whole channels
        return WaveformWindows(
            plan.layouts[0], plan.sfreq, self.block_s, self.shrinkage, self.max_courses
        )

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: two blocks and the arrays of the fit."""
        block = int(1.1 * self.block_s * sfreq) + chunk
        return self.memory((1, block), sfreq) + 8 * 3 * block

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        block = min(shape[1], int(1.1 * self.block_s * sfreq))
        around = 1.0 + 2 * subsample.HALO / (_SHORT_S * sfreq)
        return int(8 * (shape[1] + (1.0 + 3.6 * around) * block)) + (3 << 20)


def _list_markers(metadata: ProcessingMetadata) -> np.ndarray:
    """Return the triggers, or raise if there are too few."""
    markers = np.unique(np.asarray(metadata.triggers, dtype=np.int64))
    if len(markers) < 2:
        raise ValidationError(
            f"GradientCorrection: {len(markers)} trigger; a template needs at least two artifacts. "
            "Check the regex of TriggerDetector."
        )
    return markers


def _move_triggers(view: View, paces: Sequence[Pace]) -> dict[str, Any]:
    """Return the metadata with the triggers of the runs that were taken to the artifacts."""
    mended = [pace for pace in paces if pace.is_mended]
    if not mended:
        return {}
    triggers = np.array(view.metadata.triggers, dtype=np.int64)
    moved = triggers.copy()
    for pace in mended:
        given, starts = pace.given - view.offset, pace.starts - view.offset
        at = np.searchsorted(given, triggers).clip(max=len(given) - 1)
        moved = np.where(given[at] == triggers, starts[at], moved)
    changes: dict[str, Any] = {"triggers": moved}
    if len(paces) == 1 and view.metadata.artifact_length is not None:
        changes["artifact_length"] = paces[0].stretch(view.metadata.artifact_length)
    return changes


def _lay(times: np.ndarray, n_samples: int, view: View) -> subsample.Layout:
    """Return the layout of artifacts with given onsets, which end at breaks in time."""
    return subsample.Layout.of(times, n_samples, view.n_times).stop_at(view.pieces)


def _list_broken(layout: subsample.Layout, view: View) -> list[tuple[float, float]]:
    """Return the spans of artifacts that reach over a break, in s."""
    breaks = subsample.list_breaks(view.pieces, view.n_times)
    starts = layout.first[subsample.find_broken(layout.first, layout.n_samples, breaks)]
    return [(s / view.sfreq, (s + layout.n_samples) / view.sfreq) for s in starts.tolist()]


def _report(train: Train) -> dict[str, Any]:
    """Return the markers that were left out, for the history; nothing if there are none."""
    notes: dict[str, Any] = {}
    for kind, markers in (("doubled", train.doubled), ("stray", train.stray)):
        if len(markers):
            notes[f"n_{kind}_markers"] = len(markers)
            notes[f"{kind}_markers"] = [int(marker) for marker in markers]
    return notes


def _describe_unmarked(
    before: np.ndarray, after: np.ndarray, period: float, view: View
) -> dict[str, Any]:
    """Return number and spans (in s) of artifacts that have no markers, for the history."""
    spans = [
        [max(0.0, onsets[0] / view.sfreq), min(onsets[-1] + period, view.n_times) / view.sfreq]
        for onsets in (before, after)
        if len(onsets)
    ]
    return {"n_unmarked": len(before) + len(after), "unmarked_s": spans}


def _tell_corrected(notes: dict[str, Any]) -> tuple[Finding, ...]:
    if "n_unmarked" not in notes:
        return ()
    n = notes["n_unmarked"]
    return (
        make_finding(
            "unmarked_corrected",
            f"{n} artifact{'s' if n > 1 else ''} outside the markers {'were' if n > 1 else 'was'} "
            "found by continuing the train, and corrected.",
            span_s=[(begin, end) for begin, end in notes["unmarked_s"]],
            n_unmarked=n,
        ),
    )


def _list_ends(
    runs: Sequence[np.ndarray], notes: dict[str, Any], view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts of the artifacts of the first run and of the last one, in samples.

    Artifacts outside the markers that are corrected belong to them.
    """
    first, last = runs[0] + view.offset, runs[-1] + view.offset
    for span_s in notes.get("unmarked_s", ()):
        begin, end = (round(edge * view.sfreq) for edge in span_s)
        if begin < first[0]:
            first = np.append(begin, first)
        else:
            last = np.append(last, end - round(float(np.median(np.diff(last)))))
    return first, last


def _find_known_length(
    metadata: ProcessingMetadata, markers: np.ndarray, run: np.ndarray
) -> int | None:
    """Return the artifact length of a run that is known beforehand, in samples."""
    known = metadata.artifact_length
    if known is None or len(run) == len(markers):
        return known
    # A length that was derived from all distances counts markers of other runs, or no markers.
    derived = artifact_length(markers), int(np.median(np.diff(markers)))
    return artifact_length(run) if known in derived else known


def _find_length(clock: ClockFit, known: int | None) -> int:
    """Return the artifact length, in samples: the period, unless a shorter one is known."""
    whole = int(np.ceil(clock.period - 1e-6))
    return int(known) if known is not None and 0 < known < _SHORTER * whole else whole


def _group_slices(
    rest: np.ndarray, slices: subsample.Layout, clock: ClockFit, times: np.ndarray, sfreq: float
) -> np.ndarray:
    """Return the starts of volumes, in samples, if markers are those of slices; empty if unknown.

    Without a pause, the volume is what recurs in the corrected reference channel, `rest`, and may
    begin with any of its slices.
    """
    if clock.run.max(initial=0) > 0:
        return times[:0]
    if clock.pause > 0:
        paused = np.diff(times) > clock.period + 0.5 * clock.pause
        return times[np.concatenate([[True], paused])]
    n_slices = locked.find_volume(rest, slices, sfreq)
    return times[::n_slices] if n_slices > 1 else times[:0]


def _place(x: np.ndarray, clock: ClockFit, offset: float, n_samples: int) -> tuple[np.ndarray, str]:
    """Return the artifact onsets, in samples, and their source.

    If the fit of the clock model is not trusted, the reference channel decides between the fit, the
    markers, and the onsets found in its own samples: the source that leaves the least residual.
    """
    valid = clock.run >= 0
    if clock.trusted:
        times = np.sort(np.concatenate([clock.times[valid], clock.missing]))
        return times + offset, "clock"
    markers = (clock.fitted + clock.residuals)[valid] + offset
    reach = max(1, min(_MAX_JITTER, int(_MAX_JITTER_OF_LENGTH * n_samples)))
    tried = {"clock": clock.fitted[valid] + offset, "markers": markers}
    for source, times in list(tried.items()):
        whole = np.rint(times).astype(np.int64)
        found = subsample.find_onsets(x, whole, n_samples, max_lag=reach)
        tried[f"signal, from the {source}"] = found
    left = {
        source: measure_rest(x, subsample.Layout.of(times, n_samples, len(x)))
        for source, times in tried.items()
    }
    # Onsets from the signal also follow its noise: they are used only if they are clearly better.
    simple = min(("clock", "markers"), key=left.__getitem__)
    best = min(left, key=left.__getitem__)
    source = best if left[best] < _BETTER * left[simple] else simple
    return tried[source], source
