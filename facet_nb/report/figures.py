"""The figures of a report, with their captions."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from facet_nb.plots import picture as pic
from facet_nb.plots import run_figures as draw
from facet_nb.report.measure import (
    WINDOW_S,
    Locked,
    TriggerTrain,
    UnusualWindows,
    average_locked,
    compare_windows,
    estimate_spectrum,
)
from facet_nb.report.pair import Pair

#: Channels in one figure, and the length of its window, in s.
_CHANNELS, _SHOWN_S = 8, 4.0
#: Scales of the EEG that are used, in µV from one channel to the next.
_SCALES_UV = (20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4)
_FMAX_HZ = 120.0
_COLORS = {"before": pic.BEFORE, "after": pic.AFTER}

Section = tuple[str, str, str]


def _show(picture: pic.Picture, key: str, caption: str, *, as_png: bool = False) -> str:
    picture.caption = caption
    image = draw.write_png(picture) if as_png else draw.write_inline(picture, key)
    return f'<figure class="fnb-figure">{image}<figcaption>{escape(caption)}</figcaption></figure>'


def show_train(train: TriggerTrain) -> str:
    """Return the triggers as a picture of their intervals over time."""
    picture, (ax,) = draw.make_page_figure(2.7)
    draw.draw_intervals(train.times_s, train.missing_s, train.extra_s, train.usual_s, ax)
    picture.legend(loc="outside upper right", ncols=3, frameon=False)
    kind = f", {train.per_volume} to a volume" if train.per_volume > 1 else ""
    odd = [
        f"{len(places)} {word}"
        for places, word in ((train.missing_s, "missing"), (train.extra_s, "left out"))
        if len(places)
    ]
    caption = (
        f"{len(train.times_s)} triggers{kind}, usually {1e3 * train.usual_s:.2f} ms apart (grey "
        f"line), from {train.times_s[0]:.1f} to {train.times_s[-1]:.1f} s; "
        f"{' and '.join(odd) or 'none is missing or was left out'}."
    )
    return _show(picture, "train", caption)


def show_signals(pair: Pair, train: TriggerTrain | None) -> Iterator[Section]:
    """Yield the sections with figures of the recording before and after the run."""
    names = pair.channels
    if pair.after is None or not names:
        return
    windows = compare_windows(pair, names)
    scale_uv = _choose_scale_uv(windows.quiet_v)
    changed = len(pair.versions) > 1
    title = "Before and after" if changed else "Signals"
    yield "signals", title, _show_stacks(pair, train, names, scale_uv)
    yield "spectrum", "Spectrum", _show_spectrum(pair, train, names)
    if train is not None:
        yield from _show_residual(pair, train, names)
    if changed and len(windows.begins_s) > 2:
        yield "worst", "The worst two seconds", _show_worst(pair, names, windows)


def _choose_channels(names: list[str], most: int = _CHANNELS) -> list[str]:
    picks = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    return [names[i] for i in picks]


def _choose_scale_uv(rms_v: float) -> float:
    return next((scale for scale in _SCALES_UV if scale >= 4e6 * rms_v), _SCALES_UV[-1])


def _show_stacks(pair: Pair, train: TriggerTrain | None, names: list[str], scale_uv: float) -> str:
    begin_s = pair.begin_s
    if train is not None:
        begin_s = max(begin_s, train.times_s[0] - 1.0)
    begin_s = min(begin_s, max(pair.begin_s, pair.begin_s + pair.duration_s - _SHOWN_S))
    chosen = _choose_channels(names)
    shown = pair.versions
    picture, axes = draw.make_page_figure(0.6 + 2.4 * len(shown), len(shown), share_x=True)
    for ax, which in zip(axes, shown, strict=True):
        times_s, values_v = pair.read(which, chosen, begin_s, _SHOWN_S)
        color = _COLORS[which]
        draw.draw_stack(times_s, values_v, chosen, ax, spacing_uv=scale_uv, color=color)
        ax.set_title(_name_version(pair, which), loc="left", fontsize=10.0)
    axes[-1].set_xlabel("time (s)")
    caption = (
        f"{len(chosen)} of {len(names)} electrodes, {begin_s:.1f} to {begin_s + _SHOWN_S:.1f} s, "
        f"at the scale of the EEG: {scale_uv:g} µV from one channel to the next; what is larger "
        "than one and a half of that is cut."
    )
    return _show(picture, "stacks", caption)


def _show_spectrum(pair: Pair, train: TriggerTrain | None, names: list[str]) -> str:
    spectra = [
        (*estimate_spectrum(pair, which, names, train), _COLORS[which], _name_version(pair, which))
        for which in pair.versions
    ]
    rate_hz = 0.0 if train is None else train.rate_hz
    fmax_hz = min(_FMAX_HZ, pair.sfreq / 2)
    picture, (ax,) = draw.make_page_figure(3.0)
    draw.draw_density(spectra, rate_hz, fmax_hz, ax)
    picture.legend(loc="outside upper right", ncols=3, frameon=False)
    of = "triggers" if train is None or train.slices == 1 else "slices"
    told = f"; marked: multiples of {rate_hz:.4g} Hz, the rate of the {of}" if rate_hz else ""
    caption = (
        f"Power density, mean over {min(len(names), 16)} electrodes, from up to 60 s of the scan, "
        f"up to {fmax_hz:g} Hz{told}."
    )
    return _show(picture, "density", caption)


def _show_residual(pair: Pair, train: TriggerTrain, names: list[str]) -> Iterator[Section]:
    averages = {which: average_locked(pair, which, names, train) for which in pair.versions}
    found = {which: locked for which, locked in averages.items() if locked is not None}
    after = found.get("after")
    if after is None:
        return
    row = int(np.argmax(after.rms_v**2 - after.noise_v**2))
    picture, axes = draw.make_page_figure(0.5 + 1.6 * len(found), len(found), share_x=True)
    for ax, (which, locked) in zip(axes, found.items(), strict=True):
        mean_v, noise_v = locked.mean_v[row], locked.noise_v[row]
        draw.draw_locked(locked.times_s, mean_v, noise_v, ax, color=_COLORS[which])
        title = f"{_name_version(pair, which)}, {names[row]}"
        ax.set_title(title, loc="left", fontsize=10.0, parse_math=False)
    what = train.unit
    axes[-1].set_xlabel(f"time after the {what} (s)")
    numbers = "; ".join(f"{w} {_describe(locked)}" for w, locked in found.items())
    caption = (
        f"What recurs with the {what}: mean over {after.n_epochs} epochs in {names[row]}, the "
        f"electrode in which most of it is left. Grey: twice what noise alone would leave. "
        f"Median over electrodes: {numbers}."
    )
    yield "residual", f"Residual locked to the {what}", _show(picture, "locked", caption)
    topography = _show_topography(pair, names, found, what)
    if topography:
        yield "topography", "Topography of the residual", topography


def _describe(locked: Locked) -> str:
    rms, noise = (_write_uv(float(np.median(v))) for v in (locked.rms_v, locked.noise_v))
    return f"{rms} RMS, where noise alone would leave {noise}"


def _write_uv(value_v: float) -> str:
    return f"{1e6 * value_v:.0f} µV" if value_v >= 100e-6 else f"{1e6 * value_v:.2g} µV"


def _name_version(pair: Pair, which: str) -> str:
    return which if len(pair.versions) > 1 else "recording"


def _show_topography(pair: Pair, names: list[str], found: dict[str, Locked], what: str) -> str:
    import mne

    raw: Any = pair.after
    rows = [raw.ch_names.index(name) for name in names]
    places = np.array([raw.info["chs"][row]["loc"][:3] for row in rows])
    known = np.isfinite(places).all(axis=1) & (np.abs(np.nan_to_num(places)).sum(axis=1) > 0)
    distinct = len(np.unique(places[known].round(6), axis=0)) == int(known.sum())
    if known.sum() < 6 or not distinct:
        return ""
    info = mne.pick_info(raw.info, np.array(rows)[known])
    maps = [(_name_version(pair, w), locked.rms_v[known]) for w, locked in found.items()]
    caption = (
        f"RMS of what recurs with the {what}, at {int(known.sum())} electrodes with positions; "
        "each map has its own scale."
    )
    return _show(draw.plot_topographies(maps, info), "maps", caption)


def _show_worst(pair: Pair, names: list[str], windows: UnusualWindows) -> str:
    begin_s, ratios = float(windows.begins_s[windows.worst]), windows.ratios[windows.worst]
    order = np.argsort(-ratios)[:_CHANNELS]
    chosen = [names[i] for i in order]
    times_s, values_v = pair.read("after", chosen, begin_s, WINDOW_S)
    picture, (ax,) = draw.make_page_figure(2.9)
    scale_uv = _choose_scale_uv(float(np.median(values_v.std(axis=1))))
    draw.draw_stack(times_s, values_v, chosen, ax, spacing_uv=scale_uv)
    ax.set_xlabel("time (s)")
    part = "all" if windows.complete else "spread over the file"
    caption = (
        f"The result from {begin_s:.1f} to {begin_s + WINDOW_S:.1f} s: of {len(windows.begins_s)} "
        f"windows of {WINDOW_S:g} s ({part}), the one that differs most from the others. The "
        f"electrodes that differ most: {chosen[0]} has {ratios[order[0]]:.1f} times its median "
        f"RMS. {scale_uv:g} µV from one channel to the next."
    )
    return _show(picture, "worst", caption)
