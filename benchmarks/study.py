"""A study of many recordings: throughput, memory of a worker, and bytes sent to a cluster.

Writes BrainVision recordings and corrects them from file to file with ``Pipeline.map``: one at a
time, in two worker processes, in two processes of ``concurrent.futures`` that call the same
pipeline, and on a Dask cluster of two processes. Kinds alternate in random order; ratios are taken
within a turn. Then one recording of an hour runs in a worker, whose peak memory is read.

    python benchmarks/study.py                                   # 8 files, 3 turns, an hour
    python benchmarks/study.py --only throughput,bytes --turns 5
    python benchmarks/study.py --files 4 --channels 8 --minutes 0.5 --turns 1 --hour 2
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from _measure import cpu_times_s, describe_machine, ratios, spread
from out_of_core import make_steps, write_recording

WORKERS = 2


def make_pipeline() -> Any:
    """Return the chain without loader and exporter, which the study adds."""
    from facet_nb import Pipeline

    return Pipeline(make_steps(Path("unused"), None, 1, None)[1:])


def run_one(path: str, target: str) -> bool:
    """Correct one file: what ``concurrent.futures`` calls."""
    return bool(make_pipeline().map([path], output=[target], **_quiet())[0].success)


def _quiet() -> dict[str, Any]:
    return {"show_progress": False, "table": False}


# -------------------------------------------------------------------------------------- throughput
def map_in_turn(paths: list[str], folder: Path) -> None:
    """One recording after another."""
    _check(make_pipeline().map(paths, output=folder, n_jobs=1, **_quiet()), paths)


def map_at_once(paths: list[str], folder: Path) -> None:
    """Two recordings at once, in worker processes."""
    _check(make_pipeline().map(paths, output=folder, n_jobs=WORKERS, **_quiet()), paths)


def map_with_futures(pool: ProcessPoolExecutor, paths: list[str], folder: Path) -> None:
    """The same with ``concurrent.futures``, whose processes stay as those of ``map`` do."""
    folder.mkdir(exist_ok=True)
    targets = [str(folder / Path(path).name) for path in paths]
    if not all(pool.map(run_one, paths, targets)):
        raise RuntimeError("a recording failed")


def _check(batch: Any, paths: list[str]) -> None:
    if sum(result.success for result in batch) != len(paths):
        raise RuntimeError(batch.summary())


def measure_throughput(paths: list[str], folder: Path, turns: int) -> dict[str, Any]:
    """Return wall and CPU time of each kind, and ratios to one at a time."""
    pool = ProcessPoolExecutor(WORKERS, get_context("spawn"))
    kinds: dict[str, Callable[[list[str], Path], None]] = {
        "one at a time": map_in_turn,
        "map, 2 workers": map_at_once,
        "concurrent.futures": partial(map_with_futures, pool),
    }
    cluster = make_cluster()
    if cluster is not None:
        kinds["map on Dask"] = lambda paths, folder: map_on_dask(cluster[1], paths, folder)
    walls: dict[str, list[float]] = {name: [] for name in kinds}
    order = random.Random(0)
    for turn in range(turns + 1):  # the first one starts workers and fills caches
        for name in order.sample(list(kinds), len(kinds)):
            target = folder / "out"
            shutil.rmtree(target, ignore_errors=True)
            begin = time.perf_counter()
            kinds[name](paths, target)
            wall = time.perf_counter() - begin
            print(f"[{turn}/{turns}] {name}: {wall:.2f} s", file=sys.stderr, flush=True)
            if turn:
                walls[name].append(wall)
    pool.shutdown()
    if cluster is not None:
        cluster[1].close()
        cluster[0].close()
    one, two = walls["one at a time"], walls["map, 2 workers"]
    found: dict[str, Any] = {"wall_s": walls, "one at a time / map": spread(ratios(one, two))}
    for name in ("concurrent.futures", "map on Dask"):
        if name in walls:
            found[f"{name} / map"] = spread(ratios(walls[name], two))
    return found


# -------------------------------------------------------------------------------------------- Dask
def make_cluster() -> tuple[Any, Any] | None:
    """Return a cluster of two processes on this machine, and its client; None without Dask."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    # Dask sets it for its workers, and for all processes that this one starts afterwards: freed
    # arrays go back at once, and their pages are asked for anew (docs/studies.md, Dask).
    dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    cluster = LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )
    return cluster, Client(cluster)


def map_on_dask(client: Any, paths: list[str], folder: Path) -> None:
    """Two recordings at once, on the workers of a cluster."""
    with client.as_current():
        _check(make_pipeline().map(paths, output=folder, backend="dask", **_quiet()), paths)


def measure_bytes(paths: list[str], folder: Path) -> dict[str, float]:
    """Return the bytes that this process, client and scheduler in one, sends per recording.

    The cluster's own messages of the same time without tasks are subtracted.
    """
    from distributed.comm import tcp

    sent, write = [0], tcp.TCP.write

    async def count(self: Any, msg: Any, *args: Any, **options: Any) -> Any:
        n_bytes = await write(self, msg, *args, **options)
        sent[0] += n_bytes or 0
        return n_bytes

    tcp.TCP.write = count
    try:
        cluster, client = make_cluster()
        map_on_dask(client, paths[:1], folder / "first")  # imports, versions
        before, begin = sent[0], time.perf_counter()
        map_on_dask(client, paths, folder / "bytes")
        total, lasted = sent[0] - before, time.perf_counter() - begin
        before = sent[0]
        time.sleep(lasted)
        idle = sent[0] - before
        client.close()
        cluster.close()
    finally:
        tcp.TCP.write = write
    n = len(paths)
    return {"kB_per_recording": (total - idle) / n / 1e3, "of_it_idle_kB": idle / n / 1e3}


# ------------------------------------------------------------------------------------------ memory
def run_watched(path: str, folder: str) -> dict[str, float]:
    """Correct one recording in this process; return its own peak memory and CPU time."""
    begin = sum(cpu_times_s())
    batch = make_pipeline().map([path], output=folder, memory_budget="600 MB", **_quiet())
    _check(batch, [path])
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(float(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return {"peak_mb": peak * 1024 / 1e6, "cpu_s": sum(cpu_times_s()) - begin}


def measure_memory(path: str, folder: Path) -> dict[str, float]:
    """Return the peak memory of a fresh worker with one long recording."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(run_watched, path, str(folder / "long")).result()


# ------------------------------------------------------------------------------------- the command
def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="throughput,bytes,memory")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--long-channels", type=int, default=64)
    parser.add_argument("--hour", type=float, default=60.0, help="min of the long recording")
    parser.add_argument("--folder", type=Path, help="where recordings are written; a temporary one")
    return parser.parse_args(argv)


def main() -> None:
    """Write recordings, measure, print."""
    options = parse()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    only, found = options.only.split(","), {"machine": describe_machine()}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        paths = [str(folder / f"sub-{i + 1:02}.vhdr") for i in range(options.files)]
        for path in paths if {"throughput", "bytes"} & set(only) else []:
            write_recording(Path(path), options.channels, options.minutes)
        if "throughput" in only:
            found["throughput"] = measure_throughput(paths, folder, options.turns)
        if "bytes" in only:
            found["bytes"] = measure_bytes(paths, folder)
        if "memory" in only:
            write_recording(folder / "long.vhdr", options.long_channels, options.hour)
            found["memory"] = measure_memory(str(folder / "long.vhdr"), folder)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
