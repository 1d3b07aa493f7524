"""Accuracy of the advice: advised and best configuration, forecast and measured memory and time.

    python benchmarks/advice_regret.py [--repeats 5] [--all] [--cases 0 1 …] [--out regret.json]
    python benchmarks/advice_regret.py --others [--probe 2]
    python benchmarks/advice_regret.py --memory [--others] [--cases 0 1 …]

Three simulated recordings (4, 32 and 64 channels) and two chains. For each, the advisor chooses
in a fresh process, from a probe alone; then all configurations are measured in fresh processes, in
randomised blocks. Regret is the chosen configuration's median time over that of the best one.
A second advice is asked for with a memory budget between what the smallest and the largest way to
run need, and its measured peak is held to that budget. Measured are serial and channel-sequential
runs over 1, 2, … threads, one or four channels in a batch; with --all parallel mode and processes,
too. Prints a table for the documentation. --others takes recordings of other sizes and rates, and
--probe the time of a probe, in s: after a short one, times of a small piece are scaled up. With
--memory one run of each configuration is watched, and its forecast is held to its exact peak
(VmHWM): that needs no quiet machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from _measure import describe_commit, describe_machine

from facet_nb import (
    AASCorrection,
    DownSample,
    HighPassFilter,
    LowPassFilter,
    Pipeline,
    TriggerAligner,
    TriggerDetector,
    UpSample,
)
from facet_nb.benchmark import Advice, Configuration, SummaryRow, advise, benchmark
from facet_nb.benchmark.advisor import forecast_peak_mb, list_candidates
from facet_nb.benchmark.inputs import write_job
from facet_nb.benchmark.measured_process import MeasuredProcess
from facet_nb.core import CancelToken
from facet_nb.datasets import simulate

RECORDINGS = {
    "4 channels × 120 s": {"n_channels": 4, "duration_s": 120.0},
    "32 channels × 60 s": {"n_channels": 32, "duration_s": 60.0},
    "64 channels × 40 s": {"n_channels": 64, "duration_s": 40.0},
}
OTHERS = {
    "16 channels × 200 s": {"n_channels": 16, "duration_s": 200.0},
    "128 channels × 20 s": {"n_channels": 128, "duration_s": 20.0},
    "32 channels × 150 s at 2048 Hz": {"n_channels": 32, "duration_s": 150.0, "sfreq": 2048.0},
}
CHAINS = ("upsampling", "native rate")
FACTOR, WINDOW, HIGHPASS_HZ, LOWPASS_HZ = 10, 30, 1.0, 70.0


@dataclass
class Case:
    """One chain on one recording: advice and measurements."""

    recording: str
    chain: str
    chosen: str
    best: str
    regret: float
    predicted_s: float
    measured_s: float
    forecast_mb: float
    peak_mb: float
    budget_mb: float
    chosen_in_budget: str
    peak_in_budget_mb: float
    busy: bool
    n_repeats: int

    @property
    def time_error(self) -> float:
        """Predicted over measured time, minus 1."""
        return self.predicted_s / self.measured_s - 1

    @property
    def peak_error(self) -> float:
        """Forecast over measured peak, minus 1."""
        return self.forecast_mb / self.peak_mb - 1


def make_chain(name: str) -> Pipeline:
    """Return one of the two chains."""
    head = [TriggerDetector(r"\b1\b"), HighPassFilter(HIGHPASS_HZ)]
    if name == "native rate":
        steps = [*head, AASCorrection(WINDOW, subsample=True), LowPassFilter(LOWPASS_HZ)]
    else:
        middle = [UpSample(FACTOR), TriggerAligner(), AASCorrection(WINDOW), DownSample(FACTOR)]
        steps = [*head, *middle, LowPassFilter(LOWPASS_HZ)]
    return Pipeline(steps, name)


def ask(chain: str, path: Path, probe_s: float) -> Advice:
    """Return the advice; in a fresh process, because its memory is part of the forecast."""
    return advise(make_chain(chain), pickle.loads(path.read_bytes()), probe_s=probe_s)


def ask_within_budget(chain: str, path: Path) -> tuple[Advice, float]:
    """Return the advice within a budget, and the budget in MB."""
    pipeline, context = make_chain(chain), pickle.loads(path.read_bytes())
    peaks = [forecast_peak_mb(pipeline, context, c) for c in list_candidates(pipeline, context)]
    budget_mb = 1.03 * min(peaks) + 0.1 * (max(peaks) - min(peaks))
    return advise(pipeline, context, memory_budget=budget_mb * 1e6, probe_s=1.0), budget_mb


def measure_case(
    chain: str, recording: str, repeats: int, everything: bool, probe_s: float
) -> Case:
    """Ask, measure and compare."""
    source = simulate(**{**RECORDINGS, **OTHERS}[recording]).context()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        path.write_bytes(pickle.dumps(source))
        with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
            advice = pool.submit(ask, chain, path, probe_s).result()
            within, budget_mb = pool.submit(ask_within_budget, chain, path).result()
    table = benchmark(
        make_chain(chain),
        source,
        modes=["serial", "channel_sequential", *(["parallel"] if everything else [])],
        backends=["threading", *(["multiprocessing"] if everything else [])],
        batch_sizes=[1, 4],
        repeats=repeats,
        time_budget_s=3600.0,
    )
    usable = [row for row in table.rows if row.point.usable]
    best = min(usable, key=lambda row: row.wall_s)
    chosen, small = table.find(advice.configuration), table.find(within.configuration)
    assert chosen is not None and chosen.point.memory is not None
    assert small is not None and small.point.memory is not None
    return Case(
        recording=recording,
        chain=chain,
        chosen=advice.configuration.label,
        best=best.configuration.label,
        regret=chosen.wall_s / best.wall_s - 1,
        predicted_s=advice.predicted_wall_s,
        measured_s=chosen.wall_s,
        forecast_mb=advice.predicted_peak_mb,
        peak_mb=read_peak_mb(chosen),
        budget_mb=budget_mb,
        chosen_in_budget=within.configuration.label,
        peak_in_budget_mb=read_peak_mb(small),
        busy=bool(table.noise and table.noise.busy),
        n_repeats=chosen.point.n_repeats,
    )


def forecast_all(chain: str, path: Path) -> list[tuple[Configuration, float]]:
    """Return configurations with the forecast of their peaks, in MB; in a fresh process."""
    pipeline, context = make_chain(chain), pickle.loads(path.read_bytes())
    ways = list_candidates(pipeline, context)
    return [(c, forecast_peak_mb(pipeline, context, c)) for c in ways]


def watch_memory(chain: str, recording: str) -> None:
    """Print forecast and measured peak of each configuration."""
    source = simulate(**{**RECORDINGS, **OTHERS}[recording]).context()
    spawn = multiprocessing.get_context("spawn")
    print(f"{recording}, {chain}")
    with tempfile.TemporaryDirectory() as folder:
        path, job = Path(folder) / "recording", Path(folder) / "job"
        path.write_bytes(pickle.dumps(source))
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            forecasts = pool.submit(forecast_all, chain, path).result()
        write_job(job, make_chain(chain), source)
        for configuration, forecast_mb in forecasts:
            child = MeasuredProcess(job, configuration, CancelToken())
            try:
                _, use = child.run_watched(600.0)
            finally:
                child.close()
            error = forecast_mb / use.peak_hwm_mb - 1
            print(
                f"  {configuration.label:<45}{forecast_mb:7.0f} MB forecast"
                f"{use.peak_hwm_mb:7.0f} MB measured ({error:+.0%}), meter "
                f"{use.sampler_cpu_share:.1%} of CPU"
            )


def read_peak_mb(row: SummaryRow) -> float:
    """Return the measured peak: exact for one process, including shared pages."""
    memory = row.point.memory
    assert memory is not None
    return memory.peak_hwm_mb if len(memory.processes) == 1 else memory.peak_mb


def write_table(cases: list[Case]) -> str:
    """Return the cases as a table in Markdown."""
    lines = [
        "| recording, chain | advised | regret | time: predicted / measured (s) | "
        "peak: forecast / measured (MB) | within budget (MB) |",
        "|---|---|---|---|---|---|",
    ]
    for c in cases:
        lines.append(
            f"| {c.recording}, {c.chain} | {c.chosen} | {c.regret:.0%} | "
            f"{c.predicted_s:.2f} / {c.measured_s:.2f} ({c.time_error:+.0%}) | "
            f"{c.forecast_mb:.0f} / {c.peak_mb:.0f} ({c.peak_error:+.0%}) | "
            f"{c.peak_in_budget_mb:.0f} of {c.budget_mb:.0f} |"
        )
    busy = sum(c.busy for c in cases)
    return "\n".join([*lines, "", f"The machine was busy in {busy} of {len(cases)} cases."])


def main() -> None:
    """Measure all cases; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--memory", action="store_true", help="forecasts only")
    parser.add_argument("--others", action="store_true", help="recordings of other sizes")
    parser.add_argument("--probe", type=float, default=10.0, help="time of a probe, in s")
    parser.add_argument("--cases", type=int, nargs="*", help="some of the six, by number")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cases: list[Case] = []
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "commit": describe_commit(Path(__file__).parent),
    }
    pairs = list(product(OTHERS if arguments.others else RECORDINGS, CHAINS))
    for i in range(len(pairs)) if arguments.cases is None else arguments.cases:
        recording, chain = pairs[i]
        if arguments.memory:
            watch_memory(chain, recording)
            continue
        case = measure_case(chain, recording, arguments.repeats, arguments.all, arguments.probe)
        cases.append(case)
        print(json.dumps(asdict(case)), flush=True)
        if arguments.out:
            report["cases"] = [asdict(c) for c in cases]
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    if cases:
        print(write_table(cases))


if __name__ == "__main__":
    main()
