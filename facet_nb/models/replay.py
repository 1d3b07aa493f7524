"""Replay of a benchmark: earlier states of a table, derived from the finished table."""

from __future__ import annotations

from dataclasses import replace

from facet_nb.benchmark import BenchmarkPoint, BenchmarkTable

#: Largest number of frames: a replay takes a few seconds, at about ten frames per second.
MOST_FRAMES = 60


def list_frames(table: BenchmarkTable) -> list[BenchmarkTable]:
    """Return the states of a table after each measurement, and the finished table.

    First each configuration has one run, then two, and so on; memory comes last, in the order of
    measurement. At most about 60 states are returned.
    """
    most = max((p.n_repeats for p in table.points), default=0)
    steps = [
        (repeat, number)
        for repeat in range(1, most + 1)
        for number, point in enumerate(table.points)
        if point.n_repeats >= repeat
    ]
    stride = -(-len(steps) // MOST_FRAMES) or 1
    frames = [_freeze(table, *step) for step in steps[::stride]]
    return [*frames, table]


def _freeze(table: BenchmarkTable, repeat: int, last: int) -> BenchmarkTable:
    """Return the table after run `repeat` of point `last`."""
    points = [
        _cut(point, repeat if number <= last else repeat - 1)
        for number, point in enumerate(table.points)
    ]
    shown = tuple(p for p in points if p.n_repeats or p.error is not None)
    return replace(table, points=shown, warnings=())


def _cut(point: BenchmarkPoint, n: int) -> BenchmarkPoint:
    return replace(
        point,
        wall_s=point.wall_s[:n],
        cpu_s=point.cpu_s[:n],
        blocks=point.blocks[:n],
        memory=None,
        trace=None,
    )
