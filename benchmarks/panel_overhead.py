"""What the panel costs: CPU time of a run with a panel that shows it, over the same run alone.

``python benchmarks/panel_overhead.py``: 32 channels at 5 kHz, 240 s, runs in turns, medians of the
CPU time of this process. The panel does all it does in a notebook: it drains events on an event
loop, writes the grid, the log and the strip chart, and draws the result at the end, which counts
apart: it takes the same time after a run of a second and after one of an hour. Its messages go to
a comm that throws them away.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time

N_PAIRS = 5


class Discard:
    """A comm without a browser behind it."""

    comm_id = "discarded"
    n_messages = n_bytes = 0

    def send(self, data=None, **_: object) -> None:
        """Count a message and throw it away."""
        import json

        Discard.n_messages += 1
        Discard.n_bytes += len(json.dumps(data, default=lambda _: None))

    def close(self, *_: object, **__: object) -> None:
        """Nothing to close."""

    on_msg = on_close = open = close


def make_run():
    """Return a chain, a recording and settings of a run that takes seconds."""
    from facet_nb.datasets import simulate
    from facet_nb.models.studio_model import make_usual_chain

    settings = {"mode": "channel_sequential", "n_jobs": 2, "backend": "threading"}
    return make_usual_chain(), simulate(32, 5000.0, 240.0).context(), settings


async def show_run(panel) -> tuple[float, float]:
    """Return the CPU time of a run that a panel shows, and of its last drawing, in s."""
    drawn: list[float] = []
    draw = panel.results._draw

    def draw_measured() -> None:
        began_s = time.thread_time()
        draw()
        drawn.append(time.thread_time() - began_s)

    panel.results._draw = draw_measured
    begin_s = time.process_time()
    panel.start()
    while panel.model.running:
        await asyncio.sleep(0.02)
    took_s = time.process_time() - begin_s
    panel.results._draw = draw
    return took_s - sum(drawn), sum(drawn)


def run_alone(pipeline, context, settings) -> float:
    """Return the CPU time of the same run without a panel, in s."""
    begin_s = time.process_time()
    assert pipeline.run(context, show_progress=False, **settings).success
    return time.process_time() - begin_s


async def main() -> None:
    """Measure in pairs, and print medians and the ratio."""
    import comm

    comm.create_comm = lambda *_, **__: Discard()
    from facet_nb.widgets import RunPanel

    pipeline, context, settings = make_run()
    panel = RunPanel(pipeline, context, **settings)
    await show_run(panel)  # compiles, imports
    run_alone(pipeline, context, settings)
    alone, shown, drawn = [], [], []
    Discard.n_messages = Discard.n_bytes = 0
    for i in range(N_PAIRS):
        for which in (0, 1) if i % 2 else (1, 0):
            gc.collect()
            if which:
                took_s, drawing_s = await show_run(panel)
                shown.append(took_s)
                drawn.append(drawing_s)
            else:
                alone.append(run_alone(pipeline, context, settings))
    ratios = [s / a - 1 for s, a in zip(shown, alone, strict=True)]
    wall_s = panel.model.elapsed_s
    print(f"the picture of the result: {statistics.median(drawn):.3f} s of CPU, once")
    print(f"alone {statistics.median(alone):.3f} s, shown {statistics.median(shown):.3f} s of CPU")
    print(f"more by {100 * statistics.median(ratios):.1f} % (median of {N_PAIRS} pairs)")
    messages, kilobytes = Discard.n_messages / N_PAIRS, Discard.n_bytes / N_PAIRS / 1e3
    print(f"{messages:.0f} messages, {kilobytes:.0f} kB a run")
    print(f"the last run took {wall_s:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())
