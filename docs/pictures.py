"""Draw the pictures of README.md, the home page and the gallery from real runs.

``python docs/pictures.py [NAME …]`` writes them into docs/_static/home, with their captions in
captions.json. A script of docs/gallery runs in a process of its own, whose time and largest memory
are written there as well: measure on a quiet machine.
"""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb import classic_correction, gradient_correction
from facet_nb.benchmark.tracing import trace_run
from facet_nb.datasets import Simulation, example, simulate
from facet_nb.lessons import load_table
from facet_nb.plots import Picture, draw_lanes, plot_scaling
from facet_nb.plots.picture import AFTER, BEFORE, add_axes, make_picture

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "_static" / "home"
SCRIPTS = {path.stem: path for path in sorted((HERE / "gallery").glob("*.py"))}
TRIGGER = r"\b1\b"
#: Shown time, in s, and shown channels.
BEGIN_S, LENGTH_S, CHANNELS = 8.0, 4.0, 4
#: Distance between the rows, in V.
RAW_ROW_V, ROW_V = 8e-3, 120e-6
_PATCH = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
_TITLES = {
    "before": "as recorded",
    "after": "corrected (blue), truth (grey)",
    "both": "as recorded",
}
_SAID = {
    "before": "Four EEG channels as recorded: millivolts of gradient artifact in every slice.",
    "after": "The same channels corrected, with the known EEG behind them.",
    "both": "Four EEG channels: left as recorded, in millivolts; right corrected, in microvolts, "
    "with the known EEG behind.",
}


def correct() -> tuple[Simulation, Any]:
    """Return the example, and the result of the default chain."""
    simulation = example()
    result = gradient_correction(TRIGGER).run(simulation.context(), raise_on_error=True)
    return simulation, result


def describe(simulation: Simulation, result: Any) -> str:
    before, after = (np.median(simulation.snr_db(r)) for r in (simulation.raw, result.raw))
    return f"{before:.1f} dB before and {after:.1f} dB after, against the known EEG"


def draw_rows(ax: Any, x: np.ndarray, times_s: np.ndarray, row_v: float, **style: Any) -> None:
    """Draw channels below each other, one unit apart for `row_v`."""
    for i, row in enumerate(x):
        ax.plot(times_s, -i + row / row_v, linewidth=0.7, **style)


def draw_scale(ax: Any, x_s: float, text: str) -> None:
    """Draw a bar as high as one row."""
    ax.plot([x_s, x_s], [-CHANNELS + 0.2, -CHANNELS + 1.2 - 0.5], color="#595959", linewidth=2)
    ax.text(x_s + 0.05, -CHANNELS + 0.45, text, fontsize=8, va="center", bbox=_PATCH)


def draw_signals(what: str) -> Picture:
    """Draw raw and corrected channels: ``"before"``, ``"after"``, or ``"both"`` side by side."""
    simulation, result = correct()
    sfreq = simulation.sfreq
    start, stop = int(BEGIN_S * sfreq), int((BEGIN_S + LENGTH_S) * sfreq)
    times_s = np.arange(start, stop) / sfreq
    picture = make_picture(7.5, 2.6)
    (ax,) = add_axes(picture)
    raw, clean = (r.get_data()[:CHANNELS, start:stop] for r in (simulation.raw, result.raw))
    truth = simulation.clean[:CHANNELS, start:stop]
    cut = {"before": stop - start, "after": 0, "both": (stop - start) // 2}[what]
    draw_rows(ax, raw[:, :cut], times_s[:cut], RAW_ROW_V, color=BEFORE)
    draw_rows(ax, truth[:, cut:], times_s[cut:], ROW_V, color="#000000", alpha=0.45)
    draw_rows(ax, clean[:, cut:], times_s[cut:], ROW_V, color=AFTER)
    if cut:
        draw_scale(ax, BEGIN_S + 0.03, f"{1e3 * RAW_ROW_V / 2:g} mV")
    if cut < stop - start:
        draw_scale(ax, times_s[min(cut, len(times_s) - 1)] + 0.03, f"{1e6 * ROW_V / 2:g} µV")
    ax.set(yticks=-np.arange(CHANNELS), yticklabels=simulation.raw.ch_names[:CHANNELS])
    ax.set(ylim=(-CHANNELS + 0.1, 0.8), xlabel="time (s)")
    ax.set_title(_TITLES[what], loc="left")
    if what == "both":
        ax.set_title("corrected (blue), truth (grey)", loc="right")
    ax.margins(x=0)
    ax.grid(False)
    picture.caption = f"{_SAID[what]} SNR {describe(simulation, result)}."
    return picture


def draw_plan(**settings: Any) -> Picture:
    """Draw the plan of the classic chain."""
    return classic_correction(TRIGGER).plan(example().context(), **settings).plot()


def draw_spectrum() -> Picture:
    """Draw the spectrum before and after the GPU example's filter."""
    sys.path.insert(0, str(FOLDER.parents[2] / "examples"))
    low_pass = import_module("gpu_processor").low_pass
    raw = example().raw
    x = raw.get_data()[0]
    picture = make_picture(7.5, 2.6)
    (ax,) = add_axes(picture)
    freqs = np.fft.rfftfreq(len(x), 1 / raw.info["sfreq"])
    after = low_pass(x[None], raw.info["sfreq"], 70.0)[0]
    for y, color, label in ((x, BEFORE, "before"), (after, AFTER, "after")):
        level_db = 20 * np.log10(np.abs(np.fft.rfft(y)) + 1e-9)
        ax.plot(freqs, level_db, color=color, label=label, linewidth=0.6)
    ax.set(xlim=(0, 200), xlabel="frequency (Hz)", ylabel="dB")
    ax.legend(frameon=False)
    picture.caption = "Spectrum before and after a low-pass filter of 70 Hz."
    return picture


def draw_error() -> Picture:
    """Draw SNR before and after of several recordings, corrected at once."""
    size = {"n_channels": 4, "sfreq": 500, "duration_s": 30, "tr_s": 2}
    runs = [simulate(**size, seed=seed) for seed in range(3)]
    results = gradient_correction(TRIGGER).map([s.context() for s in runs], backend="threading")
    pairs = [
        [np.median(s.snr_db(raw)) for raw in (s.raw, r.raw)]
        for s, r in zip(runs, results, strict=True)
    ]
    picture = make_picture(7.5, 2.6)
    (ax,) = add_axes(picture)
    for i, (color, label) in enumerate(((BEFORE, "before"), (AFTER, "after"))):
        at = np.arange(len(pairs)) + 0.35 * i
        ax.bar(at, [pair[i] for pair in pairs], 0.35, color=color, label=label)
    ax.axhline(0, color="#595959", linewidth=0.8)
    ax.set_xticks(np.arange(len(pairs)) + 0.17, [f"recording_{i}" for i in range(len(pairs))])
    ax.set_ylabel("SNR (dB)")
    ax.legend(frameon=False)
    after = ", ".join(f"{pair[1]:.0f}" for pair in pairs)
    picture.caption = f"Three recordings corrected at once: {after} dB against the known EEG."
    return picture


def draw_timeline() -> Picture:
    """Draw what each worker did in three modes, measured now, on one clock."""
    recording = simulate(16, 5000, 60, 2.0, 30).context()
    one = {"mode": "channel_sequential", "batch_size": 1}
    ways: dict[str, dict[str, Any]] = {
        "serial": {"mode": "serial", "batch_size": 1},
        "channel-sequential": one,
        "channel-sequential, 2 threads": {**one, "n_jobs": 2, "backend": "threading"},
    }
    chain = classic_correction(TRIGGER)
    traces = {}
    for name, way in ways.items():
        chain.run(recording, **way)  # caches are warm afterwards
        events: list[Any] = []
        result = chain.run(recording, **way, on_event=events.append, raise_on_error=True)
        traces[name] = trace_run(events, result.plan.stages, chain.processors)
    picture = make_picture(7.5, 3.6)
    longest_s = max(trace.wall_s for trace in traces.values())
    for ax, (name, trace) in zip(add_axes(picture, 3, share_x=True), traces.items(), strict=True):
        draw_lanes(trace, ax)
        ax.set(xlim=(0, longest_s), ylabel="", xlabel="")
        ax.set_title(f"{name}: {trace.wall_s:.2f} s", loc="left", fontsize=9)
    ax.set_xlabel("time (s)")
    said = ", ".join(f"{name} {trace.wall_s:.2f} s" for name, trace in traces.items())
    picture.caption = f"The same chain and the same bits in three modes, measured: {said}."
    return picture


def draw_curve() -> Picture:
    """Draw the scaling curve of the table that was measured on a quiet machine."""
    picture = plot_scaling(load_table("two_cores"))
    picture.set_size_inches(7.5, 3.6)
    return picture


PICTURES: dict[str, Callable[[], Picture]] = {
    "timeline": draw_timeline,
    "curve": draw_curve,
    "readme": lambda: draw_signals("both"),
    "before": lambda: draw_signals("before"),
    "after": lambda: draw_signals("after"),
    "channelwise_execution": lambda: draw_plan(
        mode="channel_sequential", n_jobs=2, backend="threading", batch_size=3
    ),
    "custom_executor": lambda: draw_plan(mode="serial"),
    "dask_cluster": lambda: draw_plan(mode="parallel", n_jobs=2, backend="threading", batch_size=3),
    "files_in_a_process_pool": draw_error,
    "gpu_processor": draw_spectrum,
    "mne_script": lambda: draw_signals("both"),
}


def measure_script(path: Path) -> dict[str, Any]:
    """Run a script in a process of its own; write its picture, and return caption and costs."""
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--script", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    wall_s = time.perf_counter() - began_s
    return {**json.loads(done.stdout.splitlines()[-1]), "wall_s": round(wall_s, 1)}


def write_script(path: Path) -> None:
    """Write the picture of a script; print its caption and the largest memory of this process."""
    picture = runpy.run_path(str(path))["picture"]
    (FOLDER / f"{path.stem}.png").write_bytes(picture.to_png())
    # Not getrusage: its peak is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak_mb = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6
    print(json.dumps({"caption": picture.caption, "peak_mb": round(peak_mb)}))


def main(names: list[str]) -> None:
    """Draw the pictures of these names, or all of them."""
    file = FOLDER / "captions.json"
    captions = json.loads(file.read_text(encoding="utf-8")) if names and file.exists() else {}
    for name in names or [*PICTURES, *SCRIPTS]:
        if name in SCRIPTS:
            captions[name] = measure_script(SCRIPTS[name])
            continue
        picture = PICTURES[name]()
        (FOLDER / f"{name}.png").write_bytes(picture.to_png())
        captions[name] = {"caption": picture.caption}
    text = json.dumps(captions, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:2] == ["--script"]:
        write_script(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
