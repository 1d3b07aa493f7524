"""Findings and verdicts against truth, on simulations with planted faults.

Each kind of fault is simulated with several protocols (rate, markers, repetition time, motion) and
chains, written to a file, and corrected from there as a user does. Three tables: what was told of
each fault, what was told without one, and the verdict on good and bad results.

    python benchmarks/confusion.py [--set test] [--first 0] [--number 240] [--save FILE]
    python benchmarks/confusion.py --set recordings

Limits were chosen on ``--set choose``, the tables of ``docs/quality.md`` are those of ``--set
test``. ``--set recordings`` prints what is told of the recordings of ``benchmarks/quality.py``.
`--save` appends a line of JSON for each simulation; with `--read FILE …` the tables are printed
from such lines, so that the simulations can be run in pieces.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb import AASCorrection, GradientCorrection, LowPassFilter, Pipeline, TriggerDetector
from facet_nb.datasets import Simulation, simulate
from facet_nb.datasets.agreement import compare_snr_db

#: Seeds of the two sets.
FIRST_SEED = {"choose": 1_000, "test": 40_000}

#: Chains behind the trigger detector.
CHAINS: dict[str, Callable[[], list[Any]]] = {
    "gradient": lambda: [GradientCorrection()],
    "gradient, 70 Hz": lambda: [GradientCorrection(), LowPassFilter(70)],
    "AAS": lambda: [AASCorrection(30, subsample=True)],
    "AAS, as marked": lambda: [AASCorrection(25, realign_after_averaging=False)],
}

Options = tuple[dict[str, Any], dict[str, Any]]


def _extra(rng: np.random.Generator, volumes: bool) -> Options:
    return {}, {"extra_markers": int(rng.integers(1, 4))}


def _missing(rng: np.random.Generator, volumes: bool) -> Options:
    n = int(rng.integers(1, 4))
    most = 14 if volumes else 200
    return {"missing": sorted(int(i) for i in 2 + rng.permutation(most)[:n])}, {}


def _doubled(rng: np.random.Generator, volumes: bool) -> Options:
    share = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.2, 0.6))
    return {}, {"doubled_share": share, "doubled_after_s": float(rng.uniform(2e-3, 8e-3))}


def _jitter(rng: np.random.Generator, volumes: bool) -> Options:
    return {"marker_jitter_samples": int(rng.integers(2, 5))}, {}


def _two(rng: np.random.Generator, volumes: bool) -> Options:
    return {}, {"second_tr_s": float(rng.choice([1.4, 1.6])), "second_n_slices": 12}


def _dead(rng: np.random.Generator, volumes: bool) -> Options:
    return {}, {"dead_channels": [0]}


def _emg(rng: np.random.Generator, volumes: bool) -> Options:
    share = float(rng.uniform(0.5, 1.0))
    return {}, {"emg_bursts": int(rng.integers(4, 8)), "emg_share": share}


def _dummies(rng: np.random.Generator, volumes: bool) -> Options:
    return {}, {"dummy_volumes": int(rng.integers(1, 4))}


def _partial(rng: np.random.Generator, volumes: bool) -> Options:
    return {"markers": "volume"}, {"start_in_volume": float(rng.uniform(0.1, 0.7))}


def _net_mean(rng: np.random.Generator, volumes: bool) -> Options:
    name = "preparation_v" if rng.random() < 0.5 else "rectification_v"
    return {}, {name: float(rng.uniform(2e-4, 4e-4))}


def _pause(rng: np.random.Generator, volumes: bool) -> Options:
    return {"volume_gap_s": float(rng.uniform(0.08, 0.2))}, {"causal_lowpass_hz": 150.0}


def _clipping(rng: np.random.Generator, volumes: bool) -> Options:
    return {}, {"clip_v": float(rng.uniform(1e-3, 2.5e-3))}


#: What tells of an artifact outside the markers, which `GradientCorrection` corrects.
_UNMARKED = ("artifact_unmarked", "unmarked_corrected")

#: Faults: the options of `simulate`, and what tells of them: codes of findings, names of measures.
#: Of those in `MEASURED`, which markers do not show, any measure tells; a result that is not bad
#: needs no telling (but that of muscles).
KINDS: dict[str, tuple[Callable[[np.random.Generator, bool], Options], tuple[str, ...]]] = {
    "none": (lambda rng, volumes: ({}, {}), ()),
    "extra markers": (_extra, ("triggers_stray", "triggers_irregular", "triggers_doubled")),
    "missing markers": (_missing, ("triggers_missing",)),
    "doubled markers": (_doubled, ("triggers_doubled",)),
    "jittered markers": (_jitter, ("triggers_jittered",)),
    "two sequences": (_two, ("triggers_two_sequences", "runs_apart", "triggers_irregular")),
    "dead reference": (_dead, ("reference_replaced", "odd_channels")),
    "muscles": (_emg, ("bursts",)),
    "unmarked dummies": (_dummies, _UNMARKED),
    "begins in a volume": (_partial, _UNMARKED),
    "net mean": (
        _net_mean,
        ("locked_to_volumes", "locked_residual", "slow_residual", "slow_band_residual"),
    ),
    "pauses, causal": (_pause, ("locked_residual", "slow_residual", "slow_band_residual")),
    "clipping": (_clipping, ("channels_saturated",)),
}
MEASURED = ("muscles", "net mean", "pauses, causal")
#: Kinds of which "check" is right however good the other channels are.
FLAGGED = ("muscles", "dead reference")
#: Kinds of which no code or measure may tell without them. (Others are told of bad results, too.)
ALARMS = {
    "triggers_stray": ("extra markers",),
    "triggers_missing": ("missing markers",),
    "triggers_doubled": ("doubled markers", "extra markers"),
    "triggers_jittered": ("jittered markers",),
    "triggers_two_sequences": ("two sequences",),
    "reference_replaced": ("dead reference",),
    "artifact_unmarked": ("unmarked dummies", "begins in a volume"),
    "unmarked_corrected": ("unmarked dummies", "begins in a volume"),
    "channels_saturated": ("clipping",),
    "triggers_drift": (),
}
#: Signal-to-noise ratio (0.5 to 70 Hz, median over channels) of good and of bad results, in dB.
#: Good is also 10 dB from 30 to 70 Hz; bad is also a channel whose error exceeds its EEG. A fault
#: that leaves a result at 10 dB was dealt with.
GOOD_DB, BAD_DB, BAD_CHANNEL_DB, GOOD_GAMMA_DB, RIGHT_DB = 15.0, 5.0, 0.0, 10.0, 10.0


def draw(kind: str, number: int, first_seed: int) -> tuple[Simulation, str]:
    """Return a simulation with a planted fault, and the name of its chain."""
    rng = np.random.default_rng([first_seed, number])
    volumes = bool(rng.random() < 0.5)
    options: dict[str, Any] = {
        "n_channels": 4,
        "sfreq": float(rng.choice([500.0, 1000.0])),
        "duration_s": 50.0,
        "tr_s": float(rng.choice([1.8, 2.0, 2.4])),
        "n_slices": int(rng.choice([15, 18])),
        "markers": "volume" if volumes else "slice",
        "motion": float(rng.choice([0.0, 0.01, 0.03])),
        "slice_variation": float(rng.choice([0.0, 0.02])),
        "seed": first_seed + number,
    }
    chain = str(rng.choice(list(CHAINS), p=[0.45, 0.25, 0.2, 0.1]))
    more, faults = KINDS[kind][0](rng, volumes)
    return simulate(**options | more, imperfections=faults), chain


def measure(kind: str, number: int, first_seed: int) -> dict[str, Any]:
    """Return what was told of a simulation, and the truth."""
    simulation, chain = draw(kind, number, first_seed)
    pipeline = Pipeline([TriggerDetector(r"S  1|R128"), *CHAINS[chain]()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulation_raw.fif"
        simulation.raw.save(path, fmt="double", verbose="error")
        result = pipeline.run(str(path), show_progress=False)
    found: dict[str, Any] = {
        "kind": kind,
        "number": number,
        "chain": chain,
        "markers": simulation.spec["markers"],
        "codes": [finding.code for finding in result.findings],
        "verdict": None,
        "snr_db": None,
    }
    if not result.success:
        return found
    snr_db = simulation.snr_db(result.raw)
    quality = result.quality
    return found | {
        "verdict": quality.verdict,
        "snr_db": float(np.nanmedian(snr_db)),
        "worst_db": float(np.nanmin(snr_db)),
        "gamma_db": float(np.nanmedian(simulation.snr_db(result.raw, 30.0, 60.0))),
        "flagged": [m.name for m in quality.measures if m.verdict == "check"],
        "measures": {m.name: m.value for m in quality.measures},
    }


def is_bad(row: dict[str, Any]) -> bool:
    """Whether a result is bad by the truth."""
    return row["snr_db"] < BAD_DB or row["worst_db"] < BAD_CHANNEL_DB


def is_good(row: dict[str, Any]) -> bool:
    """Whether a result is good by the truth."""
    return row["snr_db"] >= GOOD_DB and row["gamma_db"] >= GOOD_GAMMA_DB and not is_bad(row)


def is_told(row: dict[str, Any]) -> bool:
    """Whether the fault was told, or repaired."""
    told = {*row["codes"], *row.get("flagged", ())} & set(KINDS[row["kind"]][1])
    refused = row["verdict"] is None and bool(row["codes"])
    if told or refused or row["kind"] not in MEASURED:
        return bool(told) or refused
    repaired = row["kind"] != "muscles" and row["snr_db"] >= RIGHT_DB
    return bool(row["verdict"] == "check") or repaired


def write_tables(rows: Sequence[dict[str, Any]]) -> str:
    """Return the three tables as Markdown."""
    lines = ["| fault | simulations | told or right |", "|---|---|---|"]
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        if own and kind != "none":
            share = sum(map(is_told, own)) / len(own)
            lines.append(f"| {kind} | {len(own)} | {share:.2f} |")
    lines += ["", "| told without the fault | simulations | false alarms |", "|---|---|---|"]
    for code, kinds in ALARMS.items():
        own = [row for row in rows if row["kind"] not in kinds]
        share = sum(code in row["codes"] for row in own) / max(1, len(own))
        lines.append(f"| {code} | {len(own)} | {share:.3f} |")
    done = [row for row in rows if row["snr_db"] is not None]
    good = [row for row in done if is_good(row) and row["kind"] not in FLAGGED]
    bad = [r for r in done if is_bad(r)]
    lines += ["", '| result by the truth | simulations | "check" |', "|---|---|---|"]
    for name, own in ((f"good (≥ {GOOD_DB:g} dB)", good), ("bad", bad)):
        share = sum(row["verdict"] == "check" for row in own) / max(1, len(own))
        lines.append(f"| {name} | {len(own)} | {share:.3f} |")
    return "\n".join(lines)


def run(numbers: Iterable[int], which: str, save: Path | None = None) -> list[dict[str, Any]]:
    """Simulate, and return a row for each number; kinds take turns."""
    kinds, rows = list(KINDS), []
    for number in numbers:
        # Every third simulation has no fault.
        fault = (number - number // 3 - 1) % (len(kinds) - 1)
        kind = "none" if number % 3 == 0 else kinds[1 + fault]
        rows.append(measure(kind, number, FIRST_SEED[which]))
        if save is not None:
            with save.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    return rows


def judge_recordings() -> str:
    """Return a table of what is told of the recordings of ``benchmarks/quality.py``."""
    import quality

    lines = ["| recording | SNR, dB | told | verdict |", "|---|---|---|---|"]
    rows = []
    for name in [*quality.RECORDINGS, *quality.EVERYDAY]:
        chain: list[Any] = [GradientCorrection()]
        if name in quality.RECORDINGS:
            recording = quality.make(name, 3, 60.0)
        else:
            arguments, imperfections = quality.EVERYDAY[name]
            options = {"sfreq": 1000, "n_slices": 20, "tr_s": 2.0, "seed": 2} | arguments
            own = simulate(3, duration_s=60.0, **options, imperfections=imperfections)
            begin, end = (max(0, int(t * own.sfreq)) for t in own.acquisition_s)
            recording = quality.Recording(own.context(), own.clean, slice(begin, end))
            chain.insert(0, TriggerDetector(r"S  1|R128"))
        result = Pipeline(chain).run(recording.context, show_progress=False)
        data = result.get_raw().get_data()[: len(recording.clean)]
        sfreq, span = result.context.get_sfreq(), recording.span
        edges = {"start": span.start, "stop": span.stop}
        snr_db = compare_snr_db(data, recording.clean, sfreq, **edges)
        gamma_db = compare_snr_db(data, recording.clean, sfreq, 30.0, 60.0, **edges)
        verdict = result.quality
        row = {
            "snr_db": float(np.nanmedian(snr_db)),
            "worst_db": float(np.nanmin(snr_db)),
            "gamma_db": float(np.nanmedian(gamma_db)),
            "verdict": verdict.verdict,
        }
        rows.append(row)
        codes = {f.code for f in result.findings} - {"slice_rate_in_alpha"}
        flagged = [m.name for m in verdict.measures if m.verdict == "check"]
        told = ", ".join([*sorted(codes), *flagged])
        lines.append(f"| {name} | {row['snr_db']:.1f} | {told} | {verdict.verdict} |")
    for word, choose in (("good", is_good), ("bad", is_bad)):
        own_rows = [row for row in rows if choose(row)]
        n = sum(row["verdict"] == "check" for row in own_rows)
        lines.append(f"\n{word} by the truth: {len(own_rows)}, of which {n} are 'check'.")
    return "\n".join(lines)


def main() -> None:
    """Run the simulations, or read their results, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=[*FIRST_SEED, "recordings"], default="test", dest="which")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--number", type=int, default=240)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--read", type=Path, nargs="*")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if given.which == "recordings":
        print(judge_recordings())
        return
    if given.read:
        rows = [json.loads(line) for path in given.read for line in path.open(encoding="utf-8")]
    else:
        rows = run(range(given.first, given.first + given.number), given.which, given.save)
    print(write_tables(rows))


if __name__ == "__main__":
    main()
