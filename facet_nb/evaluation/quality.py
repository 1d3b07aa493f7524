"""The quality of a result without ground truth, and a gate for files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.findings import FindingError
from facet_nb.core.processor import Processor
from facet_nb.core.quality import Measure, Quality, check_accept, find_quality, reject
from facet_nb.core.registry import list_processors, register_processor
from facet_nb.evaluation.base import MetricStep
from facet_nb.evaluation.quality_measures import (
    find_held,
    judge_added,
    judge_amplitude,
    judge_beats,
    judge_bursts,
    judge_ecg,
    judge_equal,
    judge_gain,
    judge_high,
    judge_kept,
    judge_level,
    judge_lines,
    judge_locked,
    judge_odd,
    judge_saturated,
    judge_told,
    judge_untouched,
)
from facet_nb.evaluation.quality_tables import EPOCHS, Tables, read_spots, read_tables
from facet_nb.evaluation.quality_windows import Scan, cut_ecg, cut_scan

#: Channels that hold no EEG.
_OTHERS = ("ecg", "eog", "emg", "resp")

#: Measures that the sentence lists.
_SAID = 3
#: Pairs of epochs that are read at the first look, and of channels that exceed a limit there.
_FEW_PAIRS, _PAIRS = 4, 16
#: A figure that is so many times its limit at the first look is that of no good result.
_FAR = 2.0


@register_processor
class QualityCalculator(MetricStep):
    """Judge a corrected recording without ground truth.

    ``result.quality`` is calculated by this step on the first access; in a chain it stores the
    figures among the metrics (``quality_<measure>``) as well. See *Quality* in the documentation
    for equations, limits and how often they err.
    """

    name = "quality_calculator"
    description = "Judge the corrected recording without ground truth"
    requires_triggers = False

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the figures, and the verdict for the history."""
        quality = find_quality(context)
        figures = {f"quality_{m.name}": m.value for m in quality.measures if m.value is not None}
        return figures, {"verdict": quality.verdict, "sentence": quality.sentence}

    def measure_quality(self, context: ProcessingContext) -> Quality:
        """Return the quality of the recording of `context`."""
        if not context.has_raw():
            return Quality("not measured", "the samples were released.")
        if not is_corrected(context):
            return Quality("not measured", "nothing was corrected.")
        eeg, others = _list_channels(context)
        if not eeg:
            return Quality("not measured", "there is no good EEG channel.")
        scan = cut_scan(context)
        tables = read_tables(context, scan, eeg, _FEW_PAIRS)
        is_first = len(tables.windows) < len(scan.windows)
        if not tables.n_marked:  # more windows stand out than were read
            tables, is_first = read_tables(context, scan, eeg, _PAIRS), False
        beside = self._read_others(context, scan, others)
        spots = read_spots(context, scan, eeg)
        contact = [judge_amplitude(tables), judge_odd(tables)]
        contact += [judge_equal(spots), judge_gain(spots)]
        # Shares of hardly any signal say nothing.
        held = find_held(tables)
        tables = tables.take(held) if 0 < len(held) < len(eeg) else tables
        sampled = _judge_sampled(tables, scan)
        if is_first and (names := _find_doubtful(sampled, tables)):
            again = read_tables(context, scan, names, _PAIRS)
            sampled = _judge_sampled(again, scan, sampled)
        measures = (
            *sampled,
            *contact,
            judge_kept(tables, context),
            judge_added([tables, *beside], context),
            judge_untouched(tables, context),
            judge_saturated(tables),
            judge_beats(context),
            judge_told(context),
            *(judge_ecg(own) for own in beside[:1] if others["ecg"]),
        )
        return summarise(measures)

    def _read_others(
        self, context: ProcessingContext, scan: Scan, others: dict[str, list[str]]
    ) -> list[Tables]:
        """Read the ECG, and all other channels that hold no EEG, within the scan."""
        scan = cut_ecg(scan, context.get_sfreq())
        groups = [others["ecg"], [n for kind, own in others.items() if kind != "ecg" for n in own]]
        enough = len(scan.windows) >= EPOCHS
        return [read_tables(context, scan, names) for names in groups if names and enough]

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes: a few windows of all channels, and sums."""
        return int(8 * shape[0] * (8 * sfreq + 100_000))


@register_processor
class QualityGate(Processor):
    """Raise an error if a corrected recording is not accepted, so that no file is written.

    ``pipeline.run(accept=…)`` puts one before each file.

    Parameters
    ----------
    accept : "good" | dict of str to float | callable
        The verdict that is needed; the largest value of measures, by name; or a function of the
        :class:`facet_nb.Quality` that returns whether it is accepted.

    Raises
    ------
    FindingError
        If it is not; its finding has code ``result_rejected``.
    """

    name = "quality_gate"
    description = "Refuse a recording that is not well corrected"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True
    output_only = True

    def __init__(self, accept: Any = "good") -> None:
        self.accept = accept

    def validate(self, context: ProcessingContext) -> None:
        super().validate(context)
        check_accept(self.accept)

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context, or raise."""
        finding = reject(context, self.accept)
        if finding is not None:
            raise FindingError(finding)
        return context

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes."""
        return QualityCalculator().memory(shape, sfreq)


def is_corrected(context: ProcessingContext) -> bool:
    """Whether a correction has run."""
    if context.has_estimated_noise():
        return True
    return bool(_list_corrections(context))


def _list_corrections(context: ProcessingContext) -> set[str]:
    """Return the names of the corrections in the history."""
    known = list_processors()
    names = {step.name for step in context.get_history()}
    return {name for name in names if getattr(known.get(name), "subtracts", False)}


def _judge_sampled(tables: Tables, scan: Scan, known: Sequence[Measure] = ()) -> list[Measure]:
    """Return the measures that a sample of the windows estimates.

    Of those that are known from another look, only the ones that exceed a limit are judged.
    """
    doubtful = {measure.name for measure in known if measure.verdict == "check"}
    found: dict[str, Measure] = {measure.name: measure for measure in known}
    singles = {
        "harmonic_loss": judge_lines,
        "high_residual": judge_high,
        "bursts": judge_bursts,
        "level": judge_level,
    }
    if not known or doubtful - set(singles):
        locked = judge_locked(tables, scan)
        found |= {m.name: m for m in locked if not known or m.name in doubtful}
    for name, judge in singles.items():
        if not known or name in doubtful:
            found[name] = judge(tables)
    return list(found.values())


def _find_doubtful(measures: Iterable[Measure], tables: Tables) -> list[str]:
    """Return the channels whose figures exceed a limit; all where a median over channels does.

    None of them if a figure exceeds its limit by far: more epochs would not change the verdict.
    """
    flagged = [m for m in measures if m.verdict == "check"]
    if any(m.value > _FAR * m.limit for m in flagged if m.value is not None and m.limit):
        return []
    if any(not m.channels for m in flagged):
        return tables.names
    bad = {name for m in flagged for name in m.channels}
    return [name for name in tables.names if name in bad]


def _list_channels(context: ProcessingContext) -> tuple[list[str], dict[str, list[str]]]:
    """Return the good EEG channels, and the others by their kind."""
    raw = context.get_raw()
    bads = set(raw.info["bads"])
    eeg: list[str] = []
    others: dict[str, list[str]] = {kind: [] for kind in _OTHERS}
    for name, ch_type in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        if ch_type in recording.DATA_TYPES and name not in bads:
            others.get(recording.kind_of(name, ch_type), eeg).append(name)
    return eeg, others


def _write(time_s: float) -> str:
    """Return a time to a tenth of a second, however late it is."""
    return f"{time_s:.1f}".removesuffix(".0")


def summarise(measures: Iterable[Measure]) -> Quality:
    """Return the verdict on measures, in one sentence."""
    measures = tuple(measures)
    # Measures that name a cause, and whose limit is zero, come first.
    flagged = sorted((m for m in measures if m.verdict == "check"), key=lambda m: m.limit != 0.0)
    if not any(m.verdict != "not measured" for m in measures):
        reasons = "; ".join(dict.fromkeys(m.detail.rstrip(".") for m in measures))
        return Quality("not measured", f"{reasons}.", measures)
    if not flagged:
        return Quality("good", "corrected; residual at the noise floor.", measures)
    channels = list(dict.fromkeys(name for m in flagged for name in m.channels))
    spans = sorted({span for m in flagged for span in m.span_s})
    places = []
    if spans:
        more = ", …" if len(spans) > 3 else ""
        places.append(", ".join(f"{_write(a)}–{_write(b)} s" for a, b in spans[:3]) + more)
    if channels:
        more = ", …" if len(channels) > 4 else ""
        places.append(f"channels {', '.join(channels[:4])}{more}")
    what = "; ".join(f"{m.title}: {m.detail.rstrip('.')}" for m in flagged[:_SAID])
    what += f"; {len(flagged) - _SAID} more" if len(flagged) > _SAID else ""
    where = f"look at {', '.join(places)} – " if places else ""
    return Quality("check", f"{where}{what}.", measures)
