"""The measures of quality: figures of a corrected recording, and their limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.quality import Measure, Verdict
from facet_nb.evaluation.quality_tables import EPOCHS, UNTOUCHED, Spots, Tables, find_loud
from facet_nb.evaluation.quality_windows import Scan
from facet_nb.kernels.measures.residual import LockedSums, find_medians, measure_gaps

#: Smallest number of quiet windows.
_QUIETS = 2
#: Channels, at most, that are looked at where a fault is one of the whole chain, or chance is told.
_FEW = 4
#: Windows in which a saturated channel is at its limit, at least.
_CUT = 3

#: Limits; ``docs/quality.md`` has the reason of each, and how often it errs.
LOCKED, LOCKED_PART, SLOW, SLOW_BAND, REMOVED = 0.1, 0.25, 0.2, 0.3, 0.15
HIGH_DB, LEVEL_DB, BURSTS = 6.0, 3.0, 0.15
#: A window has a burst with so many times the usual power: above 75 Hz, and behind a low-pass
#: filter, where EEG is part of the power.
BURST, BURST_BELOW = 10.0, 5.0
#: Bands in which neighbouring epochs are compared, in Hz: a vibration fills one of them. Lower
#: ones have too few frequencies to tell a residual from chance.
BANDS_HZ = ((8.0, 15.0), (15.0, 25.0), (25.0, 40.0), (40.0, 70.0))
#: Standard errors that a share must exceed: in one band, and at the harmonics of slices.
_SIGMAS, _SIGMAS_PART = 4.0, 6.0
LOSS_DB, LINES_DB, ECG_BURST = 3.0, 0.8, 10.0
BEATS = 0.75
#: Usual amplitude of EEG, and of a flat channel, in V; decades above and below the former.
USUAL_V, FLAT_V, DECADES, DECADES_BELOW = 3.2e-6, 1e-13, 2.5, 1.5
#: Channels, at least, that are compared; what is odd in powers relative to the median channel, and
#: the limits: a hundredth of the artifact's amplitude, ten times that of the EEG or of noise …
_MANY = 4
_ODD = (
    ("no artifact before correction", "artifact", 1e-4, np.inf),
    ("much less signal", "signal", 1e-3, np.inf),
    ("much more signal", "signal", 0.0, 1e2),
    ("much more noise above 75 Hz", "noise", 0.0, 1e2),
)
#: Relative amplitude of the difference of two channels that are one.
_EQUAL = 1e-3
#: A step of the gain that is told, what it must exceed the scatter of windows by, and the windows
#: on each side of it, at least. Movements change the artifact by less.
GAIN, _CLEAR, _SPOTS_BESIDE = 1.4, 5.0, 3
#: Warnings that stand: artifact is left, or EEG went with it. Those which another finding repairs.
_STANDING = {
    "alignment_at_edge",
    "artifact_unmarked",
    "epochs_few",
    "gradient_left",
    "runs_apart",
    "signal_lost",
    "triggers_missing",
    "triggers_two_sequences",
}
_REPAIRED = {"triggers_completed": ["triggers_missing"], "runs_apart": ["triggers_two_sequences"]}
#: A mean over fewer artifacts takes 3 % of the EEG's power (-15 dB) or more.
FEW_EPOCHS = 32
#: Energy from 20 to 70 Hz after correction, in parts of that before; rms that is none, in V.
ADDED, QUIETEST_V = 2.0, 1e-7


def judge(
    name: str,
    title: str,
    value: float,
    limit: float,
    detail: str,
    bad: bool | None = None,
    **more: Any,
) -> Measure:
    """Return a measure that is good up to its limit."""
    # NaN is not within its limit.
    exceeds = not value <= limit if bad is None else bad
    verdict: Verdict = "check" if exceeds else "good"
    value = float(value) + 0.0  # no "-0"
    return Measure(name, title, value, limit, verdict=verdict, detail=detail, **more)


def judge_locked(tables: Tables, scan: Scan) -> list[Measure]:
    """Judge the residual that recurs with epochs, with their parts, or from epoch to epoch."""
    titles = {
        "locked_residual": "recurs with the volumes" if scan.is_volume else "recurs with the scan",
        "slice_residual": "recurs with the slices",
        "slow_residual": "recurs in neighbouring epochs",
        "slow_band_residual": "recurs in neighbouring epochs in one band",
        "eeg_removed": "EEG that was subtracted with the template",
    }
    sums = tables.locked
    if sums is None:
        reason = f"fewer than {EPOCHS} complete epochs of the scanner's triggers."
        return [Measure(name, title, detail=reason) for name, title in titles.items()]
    whole = slice(None)
    share = sums.locked(whole)
    found = [_judge_share("locked_residual", titles, share, sums, whole, LOCKED, tables)]
    first = sums.band.start
    parts = slice(-first % scan.n_parts, None, scan.n_parts)
    if scan.n_parts > 1:
        # Few harmonics of few epochs scatter, and more so where a residual changes slowly.
        n = max(1, sums.n_products * sums.power[0, parts].size)
        limit = max(LOCKED_PART, _SIGMAS_PART / float(np.sqrt(2.0 * n)))
        here = sums.locked(parts)
        found.append(_judge_share("slice_residual", titles, here, sums, parts, limit, tables))
    else:
        reason = "the markers are those of volumes."
        found.append(Measure("slice_residual", titles["slice_residual"], detail=reason))
    together = sums.together()
    worst = float(together.max())
    bad = [name for name, value in zip(tables.names, together, strict=True) if value > SLOW]
    detail = f"epochs resemble the next one by {worst:.2f} (at most {SLOW:g})."
    title = titles["slow_residual"]
    found.append(judge("slow_residual", title, worst, SLOW, detail, channels=tuple(bad)))
    found.append(_judge_bands(tables, sums, titles["slow_band_residual"]))
    taken = np.maximum(-share, -together).clip(0.0)
    if scan.n_parts > 1:
        taken = taken + _measure_notch(sums, scan.n_parts)
    worst = float(find_medians(taken))
    detail = f"about {100 * worst:.1f} % of the EEG's power was subtracted with the template."
    found.append(judge("eeg_removed", titles["eeg_removed"], worst, REMOVED, detail))
    return found


def _judge_bands(tables: Tables, sums: LockedSums, title: str) -> Measure:
    """Judge the residual from epoch to epoch in the band that holds most of it."""
    name, freqs = "slow_band_residual", sums.grid.freqs[sums.band]
    edges = [np.searchsorted(freqs, band) for band in BANDS_HZ]
    bands = [slice(int(low), int(high)) for low, high in edges]
    shares = np.stack([sums.together(band) for band in bands])
    chance = [
        _SIGMAS / np.sqrt(2.0 * max(sums.n_pairs, 1) * max(b.stop - b.start, 1)) for b in bands
    ]
    limits = np.maximum(SLOW_BAND, chance)[:, np.newaxis]
    exceeds = np.any(shares > limits, axis=0).tolist()
    bad = [name for name, e in zip(tables.names, exceeds, strict=True) if e]
    band, _ = np.unravel_index(int(np.argmax(shares / limits)), shares.shape)
    low, high = BANDS_HZ[band]
    worst, limit = float(shares[band].max()), float(limits[band, 0])
    detail = f"epochs resemble the next one by {worst:.2f} from {low:g} to {high:g} Hz."
    return judge(name, title, worst, limit, detail, channels=tuple(bad))


def _judge_share(
    name: str,
    titles: dict[str, str],
    share: np.ndarray,
    sums: LockedSums,
    which: slice,
    limit: float,
    tables: Tables,
) -> Measure:
    worst = float(share.max())
    # Where no channel exceeds the limit, chance decides nothing: some channels show it.
    some = slice(None) if worst > limit else slice(None, None, -(-len(share) // _FEW))
    chance = sums.take(some).locked_by_chance(which).max(axis=1)
    level = float(chance.max())
    bad = [n for n, s in zip(tables.names, share, strict=True) if s > max(limit, level)]
    detail = f"{100 * max(worst, 0):.1f} % of the power (by chance up to {100 * level:.1f} %)."
    return judge(
        name,
        titles[name],
        worst,
        limit,
        detail,
        bool(bad),
        null=(float(find_medians(chance)), level),
        channels=tuple(bad),
    )


def _measure_notch(sums: LockedSums, n_parts: int) -> np.ndarray:
    """Return the part of the power that is lacking at the harmonics of slices."""
    bins = np.arange(sums.band.start, sums.band.stop)
    away = np.minimum(bins % n_parts, -bins % n_parts)
    at, beside = away == 0, (away == 2) | (away == 3)
    if not at.any() or n_parts < 8:
        return np.zeros(len(sums.power))
    ratio = np.log(np.maximum(sums.power[:, at], 1e-300)).mean(axis=1)
    ratio -= np.log(np.maximum(sums.power[:, beside], 1e-300)).mean(axis=1)
    return (1.0 - np.exp(ratio)).clip(0.0) / n_parts


def judge_lines(tables: Tables) -> Measure:
    """Judge whether EEG is missing beside the frequencies of the artifact."""
    name, title = "harmonic_loss", "EEG that lacks beside the frequencies of the artifact"
    sums, artifact = tables.locked, tables.artifact
    if sums is None or artifact is None:
        reason = f"fewer than {EPOCHS} complete epochs, or nothing to compare them with."
        return Measure(name, title, unit="dB", detail=reason)
    some = slice(None, None, -(-len(artifact) // _FEW))  # what is lost beside lines, all lose
    gaps = measure_gaps(sums.power[some], artifact[some], sums.grid.freqs[sums.band])
    if np.isnan(gaps).all():
        return Measure(name, title, unit="dB", detail="the artifact has no lines to look at.")
    worst = float(-find_medians(gaps[~np.isnan(gaps)]))
    detail = f"{abs(worst):.1f} dB {'less' if worst > 0 else 'more'} than further away."
    return judge(name, title, max(worst, 0.0), LINES_DB, detail, unit="dB")


def _level_db(values: np.ndarray, scan: np.ndarray, quiet: np.ndarray) -> np.ndarray:
    """Return the level within the scan relative to quiet time, in dB, from logarithms."""
    logs = 10.0 * np.log10(np.maximum(values, 1e-300))
    return np.asarray(np.mean(logs[scan], axis=0) - np.mean(logs[quiet], axis=0))


def judge_high(tables: Tables) -> Measure:
    """Judge the power at high frequencies relative to quiet time."""
    name, title = "high_residual", "power at high frequencies relative to unscanned time"
    scan, quiet = tables.scan, tables.quiet
    if np.isnan(tables.high).any():
        return Measure(name, title, unit="dB", detail="nothing is left above 40 Hz.")
    if quiet.sum() < _QUIETS or not scan.any():
        return Measure(name, title, unit="dB", detail="there is no unscanned time of 2 s or more.")
    return _judge_level(name, title, _level_db(tables.high, scan, quiet), HIGH_DB, tables)


def judge_bursts(tables: Tables) -> Measure:
    """Judge windows whose power at high frequencies stands out: muscles, or movements."""
    name, title = "bursts", "share of windows with bursts at high frequencies (muscles, movements)"
    scan = tables.marked
    behind = bool(np.isnan(tables.high).any() or tables.lowpassed)
    power = tables.inner if np.isnan(tables.high).any() else tables.high
    if scan.sum() < EPOCHS:
        return Measure(name, title, detail="too few windows within the scan.")
    # Not the median: muscles may be tense in half of the windows, or more.
    ordered = np.sort(power[scan & tables.sampled], axis=0)
    usual = np.maximum(ordered[len(ordered) // 4], 1e-300)
    loud = (power > (BURST_BELOW if behind else BURST) * usual) & scan[:, np.newaxis]
    windows = loud.any(axis=1)
    channels = [n for n, column in zip(tables.names, loud.T, strict=True) if column.any()]
    counted = windows if tables.n_marked else windows & tables.sampled
    n = tables.n_marked or int((scan & tables.sampled).sum())
    detail = f"{int(counted.sum())} of {n} windows."
    more: dict[str, Any] = {"channels": tuple(channels), "span_s": tables.spans(windows)}
    return judge(name, title, float(counted.sum()) / n, BURSTS, detail, **more)


def judge_ecg(tables: Tables) -> Measure:
    """Judge windows in which an ECG has many times its usual power, so that R peaks may be lost."""
    name, title = "ecg_bursts", "windows with bursts in the ECG (movements, or the correction)"
    usual = find_medians(tables.inner)
    loud = np.asarray(tables.inner > ECG_BURST * usual)
    windows = np.asarray(loud.any(axis=1))
    channels = tuple(n for n, column in zip(tables.names, loud.T, strict=True) if column.any())
    more: dict[str, Any] = {"channels": channels, "span_s": tables.spans(windows)}
    detail = f"{int(windows.sum())} of {len(windows)} windows have {ECG_BURST:g} times the power."
    if windows.any():
        detail += " Compare with GradientCorrection(picks='ecg', max_courses=4) on the ECG."
    return judge(name, title, float(windows.sum()), 0.0, detail, **more)


def judge_level(tables: Tables) -> Measure:
    """Judge the level of the EEG bands relative to quiet time, up or down."""
    name, title = "level", "level from 1 to 70 Hz relative to unscanned time"
    scan, quiet = tables.scan, tables.quiet
    if quiet.sum() < _QUIETS or not scan.any():
        return Measure(name, title, unit="dB", detail="there is no unscanned time of 2 s or more.")
    level = find_medians(_level_db(tables.bands, scan, quiet), axis=1)
    return _judge_level(name, title, level, LEVEL_DB, tables)


def _judge_level(
    name: str, title: str, level_db: np.ndarray, limit: float, tables: Tables
) -> Measure:
    """Judge levels of channels, which may be too high (a residual) or too low (lost EEG)."""
    worst = float(level_db[np.argmax(np.abs(level_db))])
    bad = [n for n, v in zip(tables.names, level_db, strict=True) if abs(v) > limit]
    what = "less" if worst < 0 else "more"
    detail = f"{abs(worst):.1f} dB {what} in the worst channel (up to {limit:g} dB is usual)."
    return judge(name, title, abs(worst), limit, detail, unit="dB", channels=tuple(bad))


def _measure_decades(tables: Tables) -> np.ndarray:
    """Return the amplitude of each channel from 1 to 70 Hz, in decades from that of EEG."""
    power = find_medians(tables.bands[tables.sampled].sum(axis=2))
    return np.asarray(np.log10(np.maximum(np.sqrt(power), FLAT_V) / USUAL_V))


def find_held(tables: Tables) -> np.ndarray:
    """Return the channels that are not flat."""
    return np.flatnonzero(_measure_decades(tables) >= -DECADES_BELOW)


def judge_amplitude(tables: Tables) -> Measure:
    """Judge whether amplitudes are those of EEG in volts: contact, and units."""
    name, title = "amplitude", "amplitude from 1 to 70 Hz, in decades from 3 µV"
    decades = _measure_decades(tables)
    low, high = decades < -DECADES_BELOW, decades > DECADES
    worst = int(np.argmax(np.maximum(decades / DECADES, -decades / DECADES_BELOW)))
    bad = [n for n, is_bad in zip(tables.names, low | high, strict=True) if is_bad]
    detail = f"{1e6 * USUAL_V * 10 ** decades[worst]:.3g} µV rms in {tables.names[worst]}."
    if low.any():
        detail += " A channel with hardly any signal has no contact: mark it as bad."
    if high.any() or low.all():
        detail += " Samples must be in volts: check the unit of these channels."
    limit = DECADES_BELOW if decades[worst] < 0 else DECADES
    return judge(name, title, abs(float(decades[worst])), limit, detail, channels=tuple(bad))


def judge_odd(tables: Tables) -> Measure:
    """Judge whether channels differ from all others as electrodes without contact do."""
    name, title = "odd_channels", "channels unlike all others"
    if len(tables.names) < _MANY:
        return Measure(name, title, detail=f"fewer than {_MANY} channels.")
    scan = tables.scan
    if not scan.any():
        return Measure(name, title, detail="too few windows within the scan.")
    powers = {"signal": tables.bands[scan].sum(axis=2), "noise": tables.high[scan]}
    levels = {kind: find_medians(power) for kind, power in powers.items()}
    levels["artifact"] = tables.find_usual()
    odd: dict[str, list[str]] = {}
    for what, kind, low, high in _ODD:
        relative = levels[kind] / max(float(find_medians(levels[kind])), 1e-300)
        # NaN: not measured.
        for channel in np.flatnonzero((relative < low) | (relative > high)):
            odd.setdefault(tables.names[channel], []).append(what)
    detail = "; ".join(f"{channel}: {', '.join(reasons)}" for channel, reasons in odd.items())
    detail = f"{detail}. Mark channels without contact as bad." if odd else "none."
    return judge(name, title, float(len(odd)), 0.0, detail, channels=tuple(odd))


def judge_equal(spots: Spots | None) -> Measure:
    """Judge whether channels hold the same signal: bridged electrodes, or one recorded twice."""
    name, title = "equal_channels", "channels that hold the same signal"
    if spots is None:
        return Measure(name, title, detail="the recording before correction is gone, or short.")
    x = spots.differences.reshape(len(spots.names), -1)
    energy = np.einsum("ck,ck->c", x, x)
    equal: dict[str, str] = {}
    order = np.argsort(energy, kind="stable").tolist()
    for k, one in enumerate(order):
        for other in order[k + 1 :]:
            # Equal signals have equal energies; a channel without any signal equals no other.
            if energy[other] > (1.0 + _EQUAL) * energy[one] or not energy[one]:
                break
            if np.sum((x[one] - x[other]) ** 2) <= _EQUAL**2 * energy[one]:
                first, second = sorted((one, other))
                equal[spots.names[second]] = spots.names[first]
    pairs = ", ".join(f"{first} and {second}" for second, first in equal.items())
    detail = f"{pairs}: electrodes are bridged, or one signal was recorded twice."
    detail = f"{detail} Mark all but one as bad." if equal else "none."
    channels = dict.fromkeys([*equal.values(), *equal])
    return judge(name, title, float(len(equal)), 0.0, detail, channels=tuple(channels))


def judge_gain(spots: Spots | None) -> Measure:
    """Judge whether the artifact of a channel changes its size at once, unlike that of others."""
    name, title = "gain_step", "largest step of a channel's gain"
    if spots is None:
        return Measure(name, title, detail="the recording before correction is gone, or short.")
    if len(spots.names) < _MANY:
        return Measure(name, title, detail=f"fewer than {_MANY} channels.")
    energy = np.einsum("cwk,cwk->cw", spots.differences, spots.differences)
    levels = 0.5 * np.log(np.maximum(energy, 1e-300))
    # Each relative to its own: a channel whose level is in the middle would move the median.
    levels -= find_medians(levels, axis=1)[:, np.newaxis]
    levels -= find_medians(levels)  # what changes in all channels is another sequence
    changed = np.flatnonzero(np.ptp(levels, axis=1) > np.log(GAIN))
    found, at = np.zeros(len(levels)), np.zeros(len(levels), dtype=int)
    if len(changed):
        found[changed], at[changed] = _find_steps(levels[changed])
    worst = float(np.exp(np.abs(found).max()))
    bad = np.flatnonzero(np.abs(found) > np.log(GAIN)).tolist()
    spans = {(float(spots.begins_s[at[c] - 1]), float(spots.begins_s[at[c]])) for c in bad}
    detail = f"the artifact changes by a factor of {worst:.2g} at once, in few channels."
    if bad:
        detail += " Correct the parts before and after it each by itself (Crop)."
    more: dict[str, Any] = {
        "channels": tuple(spots.names[c] for c in bad),
        "span_s": tuple(sorted(spans)),
    }
    return judge(name, title, worst, GAIN, detail if bad else "no step.", **more)


def _find_steps(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the clear step of each row and its place, where the rest is least; 0 without one."""
    n = levels.shape[1]
    steps, left = np.zeros(levels.shape), np.full(levels.shape, np.inf)
    for k in range(_SPOTS_BESIDE, n - _SPOTS_BESIDE + 1):
        one, two = (find_medians(side, axis=1) for side in (levels[:, :k], levels[:, k:]))
        rest = np.abs(levels - np.where(np.arange(n) < k, one[:, np.newaxis], two[:, np.newaxis]))
        scatter = np.maximum(*(find_medians(part, axis=1) for part in (rest[:, :k], rest[:, k:])))
        clear = np.abs(two - one) > np.maximum(_CLEAR * scatter, np.log(GAIN))
        steps[:, k], left[:, k] = two - one, np.where(clear, rest.sum(axis=1), np.inf)
    at, rows = np.argmin(left, axis=1), np.arange(len(levels))
    return np.where(np.isfinite(left[rows, at]), steps[rows, at], 0.0), at


def judge_told(context: ProcessingContext) -> Measure:
    """Judge whether a warning stands that says that artifact, or much EEG, must be lacking."""
    name, title = "warnings", "what findings say of the result"
    findings = context.get_findings()
    repaired = {code for f in findings for code in _REPAIRED.get(f.code, ())}
    standing = [
        f
        for f in findings
        if f.severity == "warning" and f.code in _STANDING and f.code not in repaired
        # A mean over n artifacts takes 1/n of the EEG's power, whatever the other channels say.
        if f.code != "epochs_few" or f.evidence.get("n", 0) < FEW_EPOCHS
    ]
    detail = "; ".join(dict.fromkeys(f.title for f in standing))
    more: dict[str, Any] = {
        "channels": tuple(dict.fromkeys(c for f in standing for c in f.channels)),
        "span_s": tuple(sorted({span for f in standing for span in f.span_s})),
    }
    value = float(len({f.code for f in standing}))
    return judge(name, title, value, 0.0, f"{detail}." if standing else "none.", **more)


def _is_rereferenced(context: ProcessingContext) -> bool:
    return any(step.name == "common_reference" for step in context.get_history())


def judge_added(tables: Iterable[Tables], context: ProcessingContext) -> Measure:
    """Judge whether a correction added power to a channel."""
    name, title = "added_energy", "time in which a channel has more energy than before correction"
    if _is_rereferenced(context):
        return Measure(name, title, unit="s", detail="the reference was changed.")
    known, bad, spans = False, [], set()
    for own in tables:
        known |= not np.isnan(own.before).all()
        more = (own.inner > ADDED * own.before) & (own.inner > QUIETEST_V**2)
        bad += [n for n, column in zip(own.names, more.T, strict=True) if column.any()]
        spans |= set(own.spans(np.asarray(more.any(axis=1))))
    if not known:
        return Measure(name, title, unit="s", detail="the recording before correction is gone.")
    seconds = sum(stop - start for start, stop in spans)
    detail = f"{seconds:.1f} s of the windows that were looked at."
    places: dict[str, Any] = {"channels": tuple(bad), "span_s": tuple(sorted(spans))}
    return judge(name, title, seconds, 0.0, detail, unit="s", **places)


def judge_kept(tables: Tables, context: ProcessingContext) -> Measure:
    """Judge how much the chain changed outside the scan."""
    name, title = "quiet_loss", "EEG that was removed where no scanner was running"
    quiet = tables.quiet & ~np.isnan(tables.kept).any(axis=1)
    if _is_rereferenced(context):
        return Measure(name, title, unit="dB", detail="the reference was changed.")
    if quiet.sum() < _QUIETS:
        return Measure(name, title, unit="dB", detail="there is no unscanned time of 2 s or more.")
    loss = -find_medians(tables.kept[quiet])
    worst = float(loss.max())
    bad = [n for n, v in zip(tables.names, loss, strict=True) if v > LOSS_DB]
    rounded = round(worst, 1) + 0.0  # no "-0.0"
    detail = f"{rounded:.1f} dB from 20 to 70 Hz in the worst channel (at most {LOSS_DB:g} dB)."
    return judge(name, title, worst, LOSS_DB, detail, unit="dB", channels=tuple(bad))


def judge_untouched(tables: Tables, context: ProcessingContext) -> Measure:
    """Judge the time in which the artifact is still there, within and outside the marked time."""
    name, title = "untouched_artifact", "time in which the artifact is left"
    marked = tables.marked
    usual = tables.find_usual()
    if np.isnan(usual).any():
        return Measure(name, title, unit="s", detail="the recording before correction is gone.")
    left = np.asarray(find_loud(tables) & (tables.before > UNTOUCHED * usual))
    windows = np.asarray(left.any(axis=1))
    spans, outside = tables.spans(windows), bool((windows & ~marked).any())
    # Time between the marked time and the first window outside is reported by the correction.
    for finding in context.get_findings():
        if finding.code == "artifact_unmarked" and not outside:
            spans, outside = (*spans, *finding.span_s), True
    seconds = sum(stop - start for start, stop in spans)
    where = f", {'partly ' * bool((windows & marked).any())}outside the marked time" * outside
    bad = [n for n, column in zip(tables.names, left.T, strict=True) if column.any()]
    more: dict[str, Any] = {"channels": tuple(bad), "span_s": spans}
    return judge(name, title, seconds, 0.0, f"{seconds:.1f} s{where}.", unit="s", **more)


def judge_saturated(tables: Tables) -> Measure:
    """Judge whether channels stay at their extreme value in the scan, as a recorder's limit does.

    A loader looks at all samples; this sees recordings that none has loaded.
    """
    name, title = "saturated", "channels that reach the recorder's limit"
    if len(tables.edges) < _CUT:
        return Measure(name, title, detail="the recording before correction is gone.")
    edges = np.stack(tables.edges)
    limits = np.stack([edges[:, :, 0].max(axis=0), edges[:, :, 1].min(axis=0)], axis=1)
    cut = np.count_nonzero(edges[:, :, 2:] == limits, axis=0).max(axis=1) >= _CUT
    bad = tuple(n for n, c in zip(tables.names, cut, strict=True) if c)
    detail = (
        f"{len(bad)} of {len(cut)} channels stay at an extreme value in {_CUT} windows or more."
    )
    return judge(name, title, float(len(bad)), 0.0, detail, channels=bad)


def judge_beats(context: ProcessingContext) -> Measure:
    """Judge how many heartbeats the EEG itself supports, as the pulse correction noted."""
    name, title = "beats_unsupported", "share of heartbeats without an artifact in the EEG"
    for step in reversed(context.get_history()):
        share = step.parameters.get("beats_supported")
        if share is not None:
            detail = f"{100 * share:.0f} % of the beats have the artifact of a beat."
            return judge(name, title, 1.0 - share, 1.0 - BEATS, detail)
    return Measure(name, title, detail="no pulse artifact was corrected by method='obs'.")
