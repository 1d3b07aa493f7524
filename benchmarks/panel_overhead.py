"""Cost of a panel: CPU time of a run shown on it, over the same run alone.

``python benchmarks/panel_overhead.py [--works 2,10,30] [--panels Studio,RunPanel] [--pairs 5]``

It is measured where panels live: in a kernel of its own, with a panel on display, whose messages go
the whole way to a client, which counts them. CPU time is that of the kernel's process, from Run to
the last message of the panel: start, updates, the picture of the result, and what the saved
notebook keeps of it. Letting go of the samples of the run before is in neither.

The run's own CPU time differs from one time to the next by more than a panel takes. So besides the
ratio of runs with and without a panel, which take turns, the time of those threads is measured that
are the kernel's (the event loop's, and the one that sends messages), less what they take while
nothing happens: all of that is the panel's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
from pathlib import Path
from queue import Empty
from typing import Any

#: A message of a widget, or an updated output.
COUNTED = ("comm_msg", "update_display_data")
_SIGN = "@@panel "
_LIMIT_S = 3600.0


# -------------------------------------------------------------------------------- in the kernel
def make_work(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return a chain, a recording and settings of a run of about the given CPU seconds."""
    from facet_nb import FARMCorrection
    from facet_nb.datasets import simulate
    from facet_nb.models.chain_model import make_default_chain

    chain = make_default_chain()
    for _ in range({"2": 0, "10": 1, "30": 4}[name]):
        chain.add(FARMCorrection())
    settings = {"mode": "channel_sequential", "n_jobs": 2, "backend": "threading"}
    return chain, simulate(32, 5000.0, 240.0).context(), settings


async def measure(work: str, name: str, n_pairs: int) -> None:
    """Run in pairs, and report the time of each run."""
    from IPython.display import display

    from facet_nb import widgets

    chain, context, settings = make_work(work)
    given = (context, chain) if name == "Studio" else (chain, context)
    panel = getattr(widgets, name)(*given, **settings)
    model = getattr(panel.model, "run", None) if name == "Studio" else panel.model
    if name == "Studio":
        panel.show("Run")  # where the button is
    display(panel)
    await show_run(model)  # compiles, imports
    run_alone(chain, context, settings)
    shown: list[float] = []
    alone: list[float] = []
    own: list[float] = []
    for i in range(n_pairs):
        for which in (0, 1) if i % 2 else (1, 0):
            gc.collect()
            if which:
                took_s, own_s = await show_run(model)
                shown.append(took_s)
                own.append(own_s)
            else:
                alone.append(run_alone(chain, context, settings))
    say({"shown": shown, "alone": alone, "own": own, "wall_s": model.elapsed_s})


async def show_run(model: Any) -> tuple[float, float]:
    """Return the CPU time of a run shown on a panel, and the panel's part of it, in s."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    kept = model.result  # its samples are let go of after the measurement
    idle_s = await rest(model.elapsed_s)
    begin_s, threads = time.process_time(), read_threads_s()

    def look(change: Any) -> None:
        if change["new"] == "done":
            loop.call_later(0.3, ended.set)  # after all that others do about it

    model.observe(look, "status")
    model.start()
    await ended.wait()
    model.unobserve(look, "status")
    assert model.result.success, model.error
    took_s, now = time.process_time() - begin_s, read_threads_s()
    del kept
    return took_s, sum(now[t] - before for t, before in threads.items() if t in now) - idle_s


async def rest(seconds: float) -> float:
    """Return the CPU time of the kernel's idle threads in the given number of seconds."""
    begin = read_threads_s()
    await asyncio.sleep(min(seconds, 2.0))
    end = read_threads_s()
    spent_s = sum(end[t] - before for t, before in begin.items() if t in end)
    return spent_s * max(1.0, seconds / 2.0)


def read_threads_s() -> dict[str, float]:
    """Return the CPU time of each thread of this process, in s."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found


def run_alone(chain: Any, context: Any, settings: dict[str, Any]) -> float:
    """Return the CPU time of the same run without a panel, in s."""
    begin_s = time.process_time()
    result = chain.run(context, show_progress=False, **settings)
    took_s = time.process_time() - begin_s
    assert result.success, result.error
    return took_s


def say(found: dict[str, Any]) -> None:
    """Send a message to the client."""
    print(_SIGN + json.dumps(found), flush=True)


# -------------------------------------------------------------------------------- in the client
def ask(work: str, panel: str, n_pairs: int) -> dict[str, Any]:
    """Measure in a new kernel; return its report, and count the panel's messages."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    folder = str(Path(__file__).resolve().parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import panel_overhead\n"
    code += f"await panel_overhead.measure({work!r}, {panel!r}, {n_pairs})"
    try:
        request = client.execute(code)
        return listen(client, request) | {"runs": n_pairs + 1}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def listen(client: Any, request: str) -> dict[str, Any]:
    """Return the kernel's report, and the numbers of messages and bytes."""
    found: dict[str, Any] = {"messages": 0, "bytes": 0}
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        try:
            message = client.get_iopub_msg(timeout=10)
        except Empty:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind in COUNTED:
            found["messages"] += 1
            found["bytes"] += len(json.dumps(content))
        elif kind == "stream" and content["text"].startswith(_SIGN):
            found |= json.loads(content["text"][len(_SIGN) :].splitlines()[0])
        elif kind == "error":
            sys.exit("\n".join(content["traceback"]))
        elif (kind, content.get("execution_state")) == ("status", "idle") and (
            message["parent_header"].get("msg_id") == request
        ):
            return found
    sys.exit("the kernel did not answer")


def report(work: str, panel: str, found: dict[str, Any]) -> None:
    """Print medians."""
    shown, alone, runs = found["shown"], found["alone"], found["runs"]
    more = [100 * (s / a - 1) for s, a in zip(shown, alone, strict=True)]
    own = [100 * o / a for o, a in zip(found["own"], alone, strict=True)]
    print(
        f"{panel}, work of {work} s: {statistics.median(alone):.2f} s of CPU; the panel's threads "
        f"took {statistics.median(own):.1f} % ({min(own):.1f} to {max(own):.1f}), "
        f"{1000 * statistics.median(found['own']):.0f} ms; with it the run took "
        f"{statistics.median(more):+.1f} % ({min(more):+.1f} to {max(more):+.1f}); "
        f"{found['messages'] / runs:.0f} messages, {found['bytes'] / runs / 1e3:.0f} kB a run of "
        f"{found['wall_s']:.1f} s",
        flush=True,
    )


def main() -> None:
    """Measure each work with each panel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", default="2,10,30", help="CPU seconds of a run, about")
    parser.add_argument("--panels", default="Studio", help="Studio, RunPanel, ControlPanel")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    for panel in options.panels.split(","):
        for work in options.works.split(","):
            report(work, panel, ask(work, panel, options.pairs))


if __name__ == "__main__":
    main()
