"""Checks of detected triggers: what is repaired, what is told, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from facet_nb.core.findings import Finding, FindingError, make_finding
from facet_nb.kernels.triggers import spacing, train
from facet_nb.kernels.triggers.clock import MAX_RMS, describe_runs, fit_clock

#: Bits of a stim channel that are tried as markers.
_BITS = 16
#: Distances, at least, of which more than half must be explained.
_ENOUGH = 8
#: Error of a distance that jitter by ±4 samples explains, in samples and as a share.
_LOOSE, _LOOSE_SHARE = 8.0, 0.05
#: A distance from here on that is unexplained is a break, in usual distances.
_BREAK = 2.9
#: Resultant length and probability from which events are locked to the volumes.
_LOCKED, _CHANCE, _EVENTS = 0.9, 1e-4, 5
#: Markers this near to nearly every volume's onset are those of volumes, in s.
_NEAR_S = 0.05
#: Numbers of equally spaced times of a volume at which stimuli may be: a share of what they evoke
#: is in each.
_TIMES = 4
#: Longest distance of slices, in s.
_SLICE_S = 0.5

#: Positions by description or code.
Events = Mapping[str, Sequence[int]]


@dataclass
class CheckedTriggers:
    """Triggers after the checks.

    Attributes
    ----------
    positions : ndarray of int, shape (n_triggers,)
        Positions, in samples.
    left_out : dict of str to list of int
        Positions that were left out, by kind: ``"doubled"``, ``"stray"``.
    findings : list of Finding
        What was found.
    """

    positions: np.ndarray
    left_out: dict[str, list[int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class EventTable:
    """All events of a recording, for hints at other trains.

    Attributes
    ----------
    named : mapping of str to positions
        Annotations, by description.
    codes : mapping of str to positions
        Events of stim channels, by code.
    read_values : callable
        Returns the values of stim channels, by name.
    sfreq : float
        Sampling rate, in Hz.
    """

    named: Events
    codes: Events
    read_values: Callable[[], Mapping[str, np.ndarray]]
    sfreq: float

    def list_regular(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Yield text, detector and positions of each regular train of annotations or codes."""
        for text, positions in [*self.named.items(), *self.codes.items()]:
            if train.is_regular(np.asarray(positions, dtype=np.int64)):
                call = f"TriggerDetector({self._write_regex(text)})"
                yield text, call, np.unique(positions)

    def list_bits(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield detector and positions of each bit that is a regular train."""
        for values in self.read_values().values():
            for bit in (1 << k for k in range(_BITS)):
                positions = find_rises(values, bit)
                if not train.is_regular(positions):
                    continue
                # A bit that never occurs with others is a code, which list_regular yields.
                if set(np.unique(values[positions]).tolist()) != {bit}:
                    yield f"TriggerDetector(r'.', mask={bit})", positions

    def propose(self, used: np.ndarray, larger: bool = False) -> str:
        """Return a sentence that names the longest regular train besides `used`, or nothing.

        If `larger`, it must contain nearly all of `used`: these are a part of it.
        """
        trains = [*((call, p) for _, call, p in self.list_regular()), *self.list_bits()]
        other = [(len(p), call, p) for call, p in trains if not _equal(p, used)]
        if larger:
            other = [found for found in other if _same(used, found[2])]
        if not other:
            return ""
        n, call, positions = max(other, key=lambda found: found[0])
        distance_s = spacing.describe_spacing(positions).usual / self.sfreq
        return f"There is a regular train of {n} markers, {distance_s:.4g} s apart: {call}."

    def _write_regex(self, text: str) -> str:
        """Return an expression that matches `text` and no other description or code."""
        tail = re.escape(text.rpartition("/")[2]).replace("\\ ", " ")
        others = [name for name in (*self.named, *self.codes) if name != text]
        for regex in (tail, f"{tail}$", rf"\b{tail}$", f"^{re.escape(text)}$"):
            if not any(re.search(regex, name) for name in others):
                break
        return f"r'{regex}'"


def find_rises(values: np.ndarray, mask: int) -> np.ndarray:
    """Return the samples at which bits of `mask` in a stim channel change to another code."""
    masked = values & mask
    rises = (masked[1:] != masked[:-1]) & (masked[1:] & ~masked[:-1] != 0)
    return np.flatnonzero(rises) + 1


def check_train(
    positions: np.ndarray, table: EventTable, matched: Sequence[str], repair: bool
) -> CheckedTriggers:
    """Return triggers without doubled and stray markers, and what was found.

    Parameters
    ----------
    positions : ndarray of int, shape (n_triggers,)
        Positions, in samples, sorted, without duplicates.
    table : EventTable
        All events.
    matched : sequence of str
        Descriptions and codes that are triggers.
    repair : bool
        Whether to leave markers out and to refuse a train without a regular distance; else all
        triggers stay, and only the findings are returned.

    Raises
    ------
    FindingError
        If more than half of the distances are not explained.
    """
    checked = CheckedTriggers(positions)
    if len(positions) < 3:
        return checked
    _leave_out_doubled(checked, table, repair)
    locked = _find_locked(checked.positions, table, matched)
    sequences = train.find_sequences(checked.positions)
    if len(sequences) > 1:
        checked.findings.append(_tell_sequences(checked.positions, sequences, table.sfreq))
    else:
        _leave_out_strays(checked, table, matched, repair)
        _check_distances(checked, table, matched, repair)
        known = {*matched, *(text for f in locked for text in f.evidence["events"])}
        if not any(f.code == "triggers_irregular" for f in checked.findings):
            checked.findings += _find_other(checked.positions, table, matched, known)
            checked.findings += _find_jitter(checked.positions, table.sfreq)
    checked.findings += locked
    checked.findings += _find_alpha(checked.positions, table.sfreq)
    return checked


def _leave_out_doubled(checked: CheckedTriggers, table: EventTable, repair: bool) -> None:
    positions, doubled = checked.positions, train.find_doubled(checked.positions)
    if not len(doubled):
        return
    gap_s = float(np.median(positions[doubled] - positions[doubled - 1])) / table.sfreq
    what = "were left out" if repair else "are in use"
    few = len(doubled) < len(positions) // 4
    checked.findings.append(
        make_finding(
            "triggers_doubled",
            f"{len(doubled)} of {len(positions)} markers follow another after {1e3 * gap_s:.3g} ms"
            f", nearer than two artifacts can be; they {what}.",
            span_s=_spans(positions[doubled], table.sfreq) if few else (),
            n=len(doubled),
            gap_s=gap_s,
        )
    )
    if repair:
        checked.left_out["doubled"] = positions[doubled].tolist()
        checked.positions = np.delete(positions, doubled)


def _leave_out_strays(
    checked: CheckedTriggers, table: EventTable, matched: Sequence[str], repair: bool
) -> None:
    positions, stray = checked.positions, train.find_strays(checked.positions)
    if not len(stray):
        return
    what = "were left out" if repair else "are in use"
    known = spacing.describe_spacing(np.delete(positions, stray))
    kinds = f" The expression matches {_list(matched)}." if len(matched) > 1 else ""
    checked.findings.append(
        make_finding(
            "triggers_stray",
            f"{len(stray)} of {len(positions)} markers are not on the train of the others, which "
            f"are {known.usual / table.sfreq:.4g} s apart; they {what}.{kinds}",
            span_s=_spans(positions[stray], table.sfreq),
            n=len(stray),
        )
    )
    if repair:
        checked.left_out["stray"] = positions[stray].tolist()
        checked.positions = np.delete(positions, stray)


def _check_distances(
    checked: CheckedTriggers, table: EventTable, matched: Sequence[str], repair: bool
) -> None:
    """Tell of missing triggers and unexplained distances; raise if nothing is regular."""
    positions, sfreq = checked.positions, table.sfreq
    known = describe_runs(positions)
    diffs, odd = np.diff(positions), known.slots == 0
    # A distance that is 25 % off may be due to jitter, but not half of all.
    loose = ~train.is_whole(diffs, known, max(_LOOSE, _LOOSE_SHARE * known.usual))
    if 2 * loose.sum() > len(diffs) >= _ENOUGH:
        odd = odd | loose
    if known.n_missing:
        gaps = np.flatnonzero(known.slots > 1)
        whole = table.propose(positions, larger=True)
        checked.findings.append(
            make_finding(
                "triggers_missing",
                f"{known.n_missing} markers are missing among {len(positions)}. {whole}".strip(),
                span_s=[(positions[i] / sfreq, positions[i + 1] / sfreq) for i in gaps],
                n=known.n_missing,
            )
        )
    if odd.any():
        hint = table.propose(positions)
        breaks = bool(np.all(diffs[odd] > _BREAK * known.usual))
        finding = make_finding(
            "triggers_irregular",
            f"{odd.sum()} of {len(diffs)} distances of the markers ({_list(matched)}) are no "
            f"multiple of the most frequent one, {known.usual / sfreq:.4g} s"
            + ("; they are breaks." if breaks else ".")
            + (f" {hint}" if hint else ""),
            severity="note" if breaks else None,
            span_s=[(positions[i] / sfreq, positions[i + 1] / sfreq) for i in np.flatnonzero(odd)],
            n=int(odd.sum()),
            n_distances=len(diffs),
        )
        if repair and len(diffs) >= _ENOUGH and 2 * odd.sum() > len(diffs):
            raise FindingError(_as_error(finding))
        checked.findings.append(finding)


def _find_jitter(positions: np.ndarray, sfreq: float) -> list[Finding]:
    """Return a finding about markers that are off the scanner's clock."""
    clock = fit_clock(positions)
    if clock.trusted or clock.rms <= MAX_RMS or len(positions) < _ENOUGH:
        return []
    detail = (
        f"Markers are off the scanner's clock by {clock.rms:.2f} samples "
        f"({1e3 * clock.rms / sfreq:.2g} ms) rms; rounding makes 0.29 samples."
    )
    return [make_finding("triggers_jittered", detail, rms_samples=clock.rms)]


def _as_error(finding: Finding) -> Finding:
    return make_finding(
        "triggers_irregular",
        f"TriggerDetector: {finding.detail}",
        severity="error",
        remedy="Choose the expression of the scanner's markers, or use TriggerDetector(…, "
        "repair=False) if the scanner was triggered at irregular times.",
        **finding.evidence,
    )


def _find_other(
    positions: np.ndarray, table: EventTable, matched: Sequence[str], known: Collection[str]
) -> list[Finding]:
    """Return a finding about another regular train that is not in step with this one."""
    usual = spacing.describe_spacing(positions).usual
    for text, call, other in table.list_regular():
        if text in known or _same(other, positions):
            continue
        inside = other[(other >= positions[0]) & (other <= positions[-1])]
        # Markers of volumes among those of slices, or of slices among those of volumes.
        if 2 * len(inside) < len(other) or _coincide(inside, positions):
            continue
        if _coincide(positions, other):
            continue
        distance_s = spacing.describe_spacing(other).usual / table.sfreq
        return [
            make_finding(
                "triggers_other_train",
                f"Markers {_list(matched)} are {usual / table.sfreq:.4g} s apart; another train "
                f"of {len(other)} markers, {distance_s:.4g} s apart, is not in step with them: "
                f"{call}.",
                n_other=len(other),
                distance_s=distance_s,
            )
        ]
    return []


def _coincide(some: np.ndarray, train_: np.ndarray) -> bool:
    """Whether nearly all of `some` lie on positions of a train, or at a constant delay of it."""
    if len(some) < 2 or len(train_) < 2:
        return False
    length, _ = train.measure_locking(some, train_)
    return length > 0.95


def _find_locked(positions: np.ndarray, table: EventTable, matched: Sequence[str]) -> list[Finding]:
    """Return a finding about stimuli that come at the same time of each volume."""
    known = spacing.describe_spacing(positions)
    volumes = positions
    if known.slices_per_volume:
        ends = np.flatnonzero(known.pauses > 0)
        volumes = positions[ends + 1]
    elif known.usual / table.sfreq < _SLICE_S:
        return []  # slices without volumes: any event is near one
    if len(volumes) < 3:
        return []
    found = []
    for text, events in [*table.named.items(), *table.codes.items()]:
        at = np.unique(np.asarray(events, dtype=np.int64))
        if text in matched or len(at) < _EVENTS:
            continue
        if train.is_regular(at) and _are_beside(volumes, at, _NEAR_S * table.sfreq):
            continue  # a marker of volumes, or of slices, by another name
        for n_times in range(1, _TIMES + 1):
            length, p = train.measure_locking(at, volumes, n_times)
            if length >= _LOCKED and p <= _CHANCE:
                found.append((text, len(at), length, n_times))
                break
    if not found:
        return []
    names = ", ".join(f"{text!r} ({n})" for text, n, *_ in found)
    most = max(n_times for *_, n_times in found)
    where = "the same time" if most == 1 else f"one of {most} times"
    return [
        make_finding(
            "stimuli_locked",
            f"Events {names} come at {where} of each volume: what they evoke is averaged into the "
            "template, and subtracted with it.",
            resultant_length=min(length for _, _, length, _ in found),
            events=[text for text, *_ in found],
            n_times=most,
        )
    ]


def _are_beside(some: np.ndarray, others: np.ndarray, reach: float) -> bool:
    """Whether nearly all of `some` have one of `others` within `reach` samples."""
    after = np.searchsorted(others, some)
    near = [np.abs(some - others[np.clip(i, 0, len(others) - 1)]) for i in (after - 1, after)]
    return bool(np.mean(np.minimum(*near) <= reach) > 0.9)


def _find_alpha(positions: np.ndarray, sfreq: float) -> list[Finding]:
    known = spacing.describe_spacing(positions)
    distance_s = known.usual / sfreq
    if not 0 < distance_s < _SLICE_S or not spacing.is_in_alpha(distance_s):
        return []
    return [
        make_finding(
            "slice_rate_in_alpha",
            f"Slices follow each other at {1 / distance_s:.4g} Hz.",
            rate_hz=1 / distance_s,
        )
    ]


def _tell_sequences(
    positions: np.ndarray, sequences: list[tuple[int, int, float]], sfreq: float
) -> Finding:
    usual = ", ".join(f"{distance / sfreq:.4g} s" for *_, distance in sequences)
    return make_finding(
        "triggers_two_sequences",
        f"{len(sequences)} sequences have different distances of markers: {usual}.",
        span_s=[(positions[a] / sfreq, positions[b] / sfreq) for a, b, _ in sequences],
        distances_s=[distance / sfreq for *_, distance in sequences],
    )


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two trains are the same but for a few markers; a part of the other is not."""
    return _same(a, b) and _same(b, a)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return len(np.setdiff1d(a, b)) <= 0.1 * len(a)


def _spans(positions: np.ndarray, sfreq: float) -> list[tuple[float, float]]:
    return [(p / sfreq, p / sfreq) for p in positions]


def _list(matched: Sequence[str]) -> str:
    return ", ".join(map(repr, matched[:4])) + (", …" if len(matched) > 4 else "")
