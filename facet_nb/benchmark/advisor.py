"""Recommend a configuration, from measurements or from a short probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from facet_nb.benchmark import stats
from facet_nb.benchmark.advice import Advice
from facet_nb.benchmark.grid import list_levels
from facet_nb.benchmark.inputs import find_input
from facet_nb.benchmark.measurement import MB, Configuration
from facet_nb.benchmark.summary import SummaryRow
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.core import Pipeline, PlanError, ProcessingContext
from facet_nb.core.backends.registry import count_cores
from facet_nb.core.errors import ValidationError
from facet_nb.core.memory import find_available, lasting_bytes, parse_bytes
from facet_nb.core.planning.cost_model import Candidate, Choice, choose
from facet_nb.core.processor import ArrayProcessor
from facet_nb.core.recording import data_picks

if TYPE_CHECKING:
    from facet_nb.benchmark.probe import ProbeResult, ProbeTiming

#: Relative errors to expect of a memory forecast, and of a time predicted from a probe.
_PEAK_ERROR, _PROBE_ERROR = 0.25, 0.15
#: Memory that a run may need beyond its forecast. benchmarks/advice_regret.py --memory measured up
#: to 7 %: each thread keeps a heap of its own.
_PEAK_MARGIN = 0.08
#: Basis of the memory of a candidate.
PeakBasis = Literal["measured", "forecast"]
#: Share of the free memory that a probe may use.
_ROOM_SHARE = 0.8
_BATCH = 4


def advise(
    pipeline: Pipeline,
    source: Any,
    *,
    memory_budget: str | float | None = None,
    goal: str = "fastest",
    probe_s: float = 10.0,
    table: BenchmarkTable | None = None,
) -> Advice:
    """Recommend how to run a pipeline, and say why.

    A table of measurements decides if one is given. Otherwise an excerpt of the recording, as
    large as `probe_s` allows, is run for about that long; its times are scaled to the whole
    recording, and the memory is the plan's forecast. Among the configurations that cannot be
    distinguished from the best and take at most 5 % longer, the simplest is chosen.

    Parameters
    ----------
    pipeline : Pipeline
        The chain. A probe runs its steps on an excerpt, except those that read or write files.
    source : ProcessingContext | path | Simulation | dict
        The recording, as in :func:`benchmark`.
    memory_budget : str | float | None
        Largest memory of the run with its workers: ``"1.5 GB"``, or a number of bytes.
    goal : {"fastest", "smallest", "balanced"}
        Least time, least memory, or least product of the two.
    probe_s : float
        Duration of a probe, in s.
    table : BenchmarkTable | None
        Measurements of this chain on this recording, from this machine.

    Returns
    -------
    Advice
        Settings, predictions with intervals, reason and evidence.

    Raises
    ------
    PlanError
        If nothing fits the budget, or the goal is unknown.
    ValidationError
        If the table is of another chain or recording, or the source cannot be used.
    """
    if not isinstance(probe_s, Real) or not float(probe_s) > 0:
        raise ValidationError(f"probe_s={probe_s!r} must be a number above 0, in s.")
    if table is not None and not isinstance(table, BenchmarkTable):
        raise ValidationError(f"table must be a BenchmarkTable, not {type(table).__name__}.")
    budget_mb = None if memory_budget is None else parse_bytes(memory_budget) / MB
    if table is not None:
        return _advise_from_table(pipeline, source, table, goal, budget_mb)
    return _advise_from_probe(pipeline, source, goal, budget_mb, probe_s)


# ----------------------------------------------------------------------------- from measurements
def _advise_from_table(
    pipeline: Pipeline, source: Any, table: BenchmarkTable, goal: str, budget_mb: float | None
) -> Advice:
    subject, context = find_input(pipeline, source)
    if subject.id != table.subject.id:
        raise ValidationError(
            "the table belongs to another chain or recording: measure this one with benchmark(), "
            "or omit table= to run a short probe."
        )
    rows = _list_usable(table)
    peaks = [_find_peak(row, pipeline, context) for row in rows]
    candidates, choice = _choose_measured(rows, peaks, goal, budget_mb)
    row = rows[choice.best]
    wall = stats.bootstrap_centre(row.point.wall_s)
    peak = peaks[choice.best]
    spread = 0.05 if row.point.memory is not None else _PEAK_ERROR
    return _make_advice(
        candidates,
        choice,
        wall_s=(
            _or_default(wall.low, (1 - _PROBE_ERROR) * row.wall_s),
            _or_default(wall.high, (1 + _PROBE_ERROR) * row.wall_s),
        ),
        peak_spread=spread,
        peak_mb=peak,
        reason=_explain(
            candidates,
            choice,
            goal,
            budget_mb,
            f"of {len(rows)} measured",
            [_name_peak_basis(r) for r in rows],
        ),
        evidence=[
            *(
                r.describe() + _show_peak(p, _name_peak_basis(r))
                for r, p in zip(rows, peaks, strict=True)
            ),
            *table.remarks,
        ],
        basis="measured",
        peak_basis=_name_peak_basis(row),
    )


def recommend(table: BenchmarkTable) -> Configuration:
    """Return the fastest configuration of a table, for which its recording is not needed.

    Of several that cannot be told apart, it is the simplest: fewer workers, threads before
    processes.

    Raises
    ------
    ValidationError
        If the table has no usable measurement.
    """
    rows = _list_usable(table)
    _, choice = _choose_measured(rows, [None] * len(rows), "fastest", None)
    return rows[choice.best].configuration


def _list_usable(table: BenchmarkTable) -> list[SummaryRow]:
    rows = [r for r in table.rows if r.point.usable and not r.machine]
    if not rows:
        raise ValidationError(
            "the table has no usable measurement: measure more, or go on without it."
        )
    return rows


def _choose_measured(
    rows: Sequence[SummaryRow], peaks: Sequence[float | None], goal: str, budget_mb: float | None
) -> tuple[list[Candidate], Choice]:
    """Return rows with their peaks as candidates, and the choice among them."""
    candidates = [
        _make_candidate(r.configuration, r.wall_s, peak)
        for r, peak in zip(rows, peaks, strict=True)
    ]

    def same(i: int, j: int) -> bool:
        a, b = rows[i].point, rows[j].point
        return stats.compare(a.wall_s, b.wall_s, a.blocks, b.blocks).verdict == "inconclusive"

    return candidates, choose(candidates, goal, budget_mb, same)


def _name_peak_basis(row: SummaryRow) -> PeakBasis:
    return "forecast" if row.point.memory is None else "measured"


def _find_peak(row: SummaryRow, pipeline: Pipeline, context: Any) -> float:
    """Return the measured peak memory, or its forecast where it was not measured, in MB."""
    if row.point.memory is not None:
        return row.point.memory.peak_mb
    return forecast_peak_mb(pipeline, context, row.configuration)


# ----------------------------------------------------------------------------------- from a probe
def _advise_from_probe(
    pipeline: Pipeline, source: Any, goal: str, budget_mb: float | None, probe_s: float
) -> Advice:
    from facet_nb.benchmark.probe import try_out  # lazy: it imports the preprocessing steps

    _, source = find_input(pipeline, source)
    context = _load(source)
    configurations = list_candidates(pipeline, context)
    peaks = {c: forecast_peak_mb(pipeline, context, c) for c in configurations}
    affordable = _keep_to_budget(peaks, budget_mb)
    found = try_out(
        pipeline,
        context,
        affordable,
        probe_s,
        cores=count_cores(),
        enlarge=max(peaks[c] for c in affordable) <= _find_room_mb(),
        skip_slow=goal == "fastest",
    )
    trials = found.trials
    candidates = [
        _make_candidate(t.configuration, _predict_s(t), peaks[t.configuration]) for t in trials
    ]
    choice = choose(candidates, goal)
    too_large = tuple(range(len(configurations) - len(affordable)))
    choice = replace(choice, too_large=too_large)
    trial = trials[choice.best]
    low, high = min(trial.wall_s), max(trial.wall_s)
    start_s = _start_s(trial)
    return _make_advice(
        candidates,
        choice,
        wall_s=((1 - _PROBE_ERROR) * low + start_s, (1 + _PROBE_ERROR) * high + start_s),
        peak_spread=_PEAK_ERROR,
        peak_mb=peaks[trial.configuration],
        reason=_explain(
            candidates,
            choice,
            goal,
            budget_mb,
            _describe_excerpt(found),
            ["forecast"] * len(configurations),
        ),
        evidence=[
            *(
                f"{t.configuration.label}: about {_predict_s(t):.3g} s, from {_count(t)}"
                + _show_peak(peaks[t.configuration], "forecast")
                for t in trials
            ),
            *found.warnings,
        ],
        basis="probe",
        peak_basis="forecast",
    )


def _keep_to_budget(
    peaks: dict[Configuration, float], budget_mb: float | None
) -> list[Configuration]:
    """Return what fits the budget with a margin; otherwise the smallest, if it fits at all."""
    if budget_mb is None:
        return list(peaks)
    safe = [c for c, peak in peaks.items() if (1 + _PEAK_MARGIN) * peak <= budget_mb]
    smallest = min(peaks, key=lambda c: peaks[c])
    if not safe and not peaks[smallest] <= budget_mb:
        raise PlanError(
            f"memory_budget={budget_mb:.0f} MB is too small: the smallest configuration needs "
            f"{peaks[smallest]:.0f} MB. run(memory_budget=…) can also keep samples in files."
        )
    return safe or [smallest]


def _find_room_mb() -> float:
    """Return the memory that this process may reach, in MB."""
    available, _ = find_available()
    return (_ROOM_SHARE * available + lasting_bytes()) / MB


def _describe_excerpt(found: ProbeResult) -> str:
    if found.excerpt.share == 1.0:
        return "in a probe of the whole recording"
    raw = found.excerpt.context.get_raw()
    return f"in a probe of {found.excerpt.n_channels} channels and {raw.times[-1]:.0f} s"


def _count(trial: ProbeTiming) -> str:
    n = len(trial.wall_s)
    return "one run" if n == 1 else f"{n} runs"


def list_candidates(pipeline: Pipeline, context: ProcessingContext) -> list[Configuration]:
    """Return the configurations worth trying, the simplest first.

    Threads suffice for built-in steps, whose kernels release the GIL; processes are also tried if
    the chain has user-defined steps.
    """
    n_data = len(data_picks(context.get_raw()))
    most = min(count_cores(), n_data)
    foreign = any(p.channel_wise and not isinstance(p, ArrayProcessor) for p in pipeline.processors)
    one = Configuration("channel_sequential")
    found = [Configuration(), one]
    for jobs in list_levels(most)[1:]:
        found.append(Configuration("channel_sequential", "threading", jobs))
        if foreign:
            found.append(Configuration("channel_sequential", "multiprocessing", jobs))
    if not foreign and n_data >= 2 * _BATCH:
        found.append(replace(one, batch_size=_BATCH))
        if most > 1 and n_data >= 2 * _BATCH * most:
            found.append(replace(one, backend="threading", n_jobs=most, batch_size=_BATCH))
    return found


def forecast_peak_mb(pipeline: Pipeline, context: Any, configuration: Configuration) -> float:
    """Return the plan's forecast of the peak memory, in MB."""
    c = configuration
    plan = pipeline.plan(
        context,
        mode=c.mode,
        n_jobs=c.n_jobs,
        n_workers=c.n_workers,
        backend="threading" if c.backend == "serial" else c.backend,
        batch_size=c.batch_size,
    )
    return float("nan") if plan.forecast is None else plan.forecast.peak_bytes / MB


# -------------------------------------------------------------------------------------- together
def _load(source: Any) -> ProcessingContext:
    if isinstance(source, str):  # find_input returns a file as its path
        from facet_nb.io import load

        return load(source)
    return source


def _start_s(trial: ProbeTiming) -> float:
    """Return the time to start workers, in s: a run starts its worker processes itself."""
    return trial.cold_s if trial.configuration.backend == "multiprocessing" else 0.0


def _predict_s(trial: ProbeTiming) -> float:
    return trial.likely_s + _start_s(trial)


def _make_candidate(c: Configuration, wall_s: float, peak_mb: float | None) -> Candidate:
    return Candidate(**c.settings, wall_s=wall_s, peak_mb=peak_mb, complexity=c.complexity)


def _make_advice(
    candidates: Sequence[Candidate],
    choice: Choice,
    *,
    wall_s: tuple[float, float],
    peak_spread: float,
    peak_mb: float | None,
    reason: str,
    evidence: Sequence[str],
    basis: Any,
    peak_basis: PeakBasis,
) -> Advice:
    best = candidates[choice.best]
    c = _name(best)
    peak = float("nan") if peak_mb is None else peak_mb
    return Advice(
        **c.settings,
        predicted_wall_s=best.wall_s,
        predicted_peak_mb=peak,
        wall_interval_s=(min(wall_s[0], best.wall_s), max(wall_s[1], best.wall_s)),
        peak_interval_mb=((1 - peak_spread) * peak, (1 + peak_spread) * peak),
        runner_up=None if choice.runner_up is None else _name(candidates[choice.runner_up]),
        reason=reason,
        evidence=tuple(evidence),
        code=write_call(c),
        basis=basis,
        clear=choice.clear,
        peak_basis=peak_basis,
    )


def write_call(configuration: Configuration) -> str:
    """Return the call that runs a pipeline with this configuration."""
    # A run without them chooses the size of batches and, in parallel, the number of workers.
    usual, named = Configuration(backend="multiprocessing"), {"mode", "batch_size"}
    named |= {"n_jobs"} if configuration.mode == "parallel" else set()
    given = {
        name: value
        for name, value in configuration.settings.items()
        if name in named or value != getattr(usual, name)
    }
    if configuration.n_jobs == 1:
        given.pop("backend", None)
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"result = pipeline.run(context, {arguments})"


def _name(c: Candidate) -> Configuration:
    return Configuration(c.mode, c.backend, c.n_jobs, c.n_workers, c.batch_size)


def _explain(
    candidates: Sequence[Candidate],
    choice: Choice,
    goal: str,
    budget_mb: float | None,
    where: str,
    peak_bases: Sequence[PeakBasis],
) -> str:
    best = candidates[choice.best]
    word = {"fastest": "fastest", "smallest": "smallest", "balanced": "least time × memory"}[goal]
    size = "" if best.peak_mb is None else f" and {best.peak_mb:.0f} MB"
    size += " (forecast)" if size and peak_bases[choice.best] == "forecast" else ""
    costs = f"{best.wall_s:.2g} s{size}"
    text = f"{word} {where}: {costs}"
    if not choice.clear and choice.runner_up is not None:
        other = candidates[choice.runner_up]
        text = (
            f"no clear difference from {_name(other).label} ({other.wall_s:.2g} s), so the "
            f"simplest {where}: {costs}"
        )
    if choice.too_large:
        text += f"; {len(choice.too_large)} others need more than {budget_mb:.0f} MB"
        if any(peak_bases[i] == "forecast" for i in choice.too_large):
            text += " by forecast"
    return text


def _show_peak(peak_mb: float | None, basis: PeakBasis) -> str:
    return "" if peak_mb is None else f"; {peak_mb:.0f} MB {basis}"


def _or_default(value: float, other: float) -> float:
    return other if value != value else value
