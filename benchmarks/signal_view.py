"""How smoothly the signal view pans: ``python benchmarks/signal_view.py [--minutes 60]``.

A recording of random walks is written as int16 to a temporary folder and opened in JupyterLab, in
Chromium without a display. The page counts its own frames and the bytes of the tiles that it gets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import mne
import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser import harness
from tests.browser.conftest import write_notebook

SFREQ, SPAN_S, RUN_S = 5000.0, 10.0, 6.0
# Pan by a speed in s of signal for each s of time, and count what is drawn on the way.
PAN = """async (root, [speed, seconds]) => {
    const plot = root.querySelector('.fnb-sv-plot'), stats = root.fnbStats, store = root.fnbStore;
    const box = plot.getBoundingClientRect(), perPx = SPAN / (box.width - 72);
    const at = x => ({clientX: box.x + x, clientY: box.y + 150, pointerId: 1, bubbles: true});
    const first = {...stats}, bytes = store.received, start = performance.now();
    let x = 700, last = start, pixels = 0;
    plot.setPointerCapture = () => {};
    plot.dispatchEvent(new PointerEvent('pointerdown', at(x)));
    while (performance.now() - start < 1000 * seconds) {
        await new Promise(r => requestAnimationFrame(r));
        const now = performance.now();
        x -= speed * (now - last) / 1000 / perPx;
        last = now;
        plot.dispatchEvent(new PointerEvent('pointermove', at(x)));
    }
    plot.dispatchEvent(new PointerEvent('pointerup', at(x)));
    const time = (performance.now() - start) / 1000;
    return [(stats.frames - first.frames) / time, (store.received - bytes) / 1e6 / time];
}""".replace("SPAN", str(SPAN_S))


def write_recording(folder: Path, n_channels: int, minutes: float) -> Path:
    """Write samples of int16, one channel after another, and return the file."""
    rng, n_times = np.random.default_rng(0), int(minutes * 60 * SFREQ)
    path = folder / "samples.int16"
    one = np.cumsum(rng.integers(-30, 31, 1 << 20)).astype(np.int16)
    with open(path, "wb") as file:
        for _ in range(n_channels):
            np.resize(np.roll(one, int(rng.integers(1 << 20))), n_times).tofile(file)
    return path


CELL = """
import mne, numpy as np
from facet_nb.widgets import SignalView
x = np.memmap({path!r}, np.int16, mode="r").reshape({n}, -1)

class Mapped(mne.io.BaseRaw):
    def __init__(self):
        info = mne.create_info({n}, {sfreq}, "eeg")
        super().__init__(info, preload=False, last_samps=[x.shape[1] - 1], filenames=[None],
                         orig_format="short", verbose="error")
        self._cals = np.full({n}, 1e-7)
    def _read_segment_file(self, data, idx, fi, start, stop, cals, mult):
        data[:] = x[idx, start:stop] * 1e-7

raw = Mapped()
view = SignalView(raw, raw)
view.model.channels = view.model.names
view.model.span_s = {span}
view
"""


def main() -> None:
    """Print frames a second and traffic at three speeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    with tempfile.TemporaryDirectory() as name:
        root, private = Path(name) / "root", Path(name) / "private"
        root.mkdir()
        path = write_recording(root, args.channels, args.minutes)
        cell = CELL.format(path=str(path), n=args.channels, sfreq=SFREQ, span=SPAN_S)
        write_notebook(root / "pan.ipynb", [cell])
        with harness.serve_lab(root, private) as server, sync_playwright() as p:
            page = p.chromium.launch(executable_path=args.browser).new_page(
                viewport={"width": 1280, "height": 900}
            )
            lab = harness.Lab(page, *server).open("pan.ipynb")
            lab.run_all()
            view = page.locator(".fnb-sv")
            view.wait_for()
            page.wait_for_timeout(3000)
            print(f"{args.channels} channels × {args.minutes:g} min, window of {SPAN_S:g} s")
            for speed in (5.0, 10.0, 30.0):
                frames, traffic = view.evaluate(PAN, [speed, RUN_S])
                print(f"{speed:g} s/s: {frames:.0f} frames/s, {traffic:.2f} MB/s", flush=True)


if __name__ == "__main__":
    main()
