"""*Beat x dB*: a chain of steps, scored against the truth of simulated recordings."""

from __future__ import annotations

import math
import pickle
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from facet_nb.core.errors import FacetError, ValidationError, cut, read_message

if TYPE_CHECKING:
    from facet_nb.core.pipeline import Pipeline
    from facet_nb.datasets import Simulation

#: Kinds of recordings, as arguments of :func:`facet_nb.datasets.simulate`.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "synchronised": {"clock_offset_ppm": 0.0},
    "free clock": {},
    "motion": {"motion": 0.05, "motions_per_min": 4.0},
    "missing markers": {"missing": (40, 41, 130, 260, 333)},
    "volume markers": {"markers": "volume"},
    "pauses": {"volume_gap_s": 0.2},
}
_RECORDING = {"n_channels": 2, "sfreq": 1000.0, "duration_s": 45.0, "n_slices": 25}

#: Seeds of the practice board; and how many the final board draws from its salt.
PRACTICE = (1, 2, 3, 4, 5)
_DRAWN = 3

#: An entry's most steps, its CPU time in s, and the SNR above which nothing is gained, in dB.
_STEPS, _CPU_S, _BEST_DB = 12, 60, 35.0

#: Most characters of a reason.
_LONGEST = 200

#: Packages whose steps an entry may use. Their steps for files, own code and people are left out.
_PACKAGES = ("facet_nb.preprocessing.", "facet_nb.correction.")
_REFUSED = (
    *("conditional", "sequence", "switch", "raw_transform", "trigger_explorer"),
    *("denoiser_correction", "moosmann_correction"),
)


@dataclass(frozen=True)
class ChainScore:
    """The score of an entry to *Beat x dB*.

    Attributes
    ----------
    snr_db : dict of str to tuple of float
        SNR from 0.5 to 70 Hz against the truth, in dB, for each kind and seed: the median of the
        channels. Of a recording that could not be corrected, that of leaving it as it is.
    steps : int
        Steps of the chain; of equal entries, the one with fewer wins.
    problems : dict of str to str
        Why recordings could not be corrected, by kind and seed.
    """

    snr_db: Mapping[str, tuple[float, ...]]
    steps: int
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """Mean over the kinds of the worst seed, in whole tenths; above 35 dB nothing counts."""
        worst = [min(min(values), _BEST_DB) for values in self.snr_db.values()]
        return round(sum(worst) / len(worst), 1)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {min(values):.1f}" for kind, values in self.snr_db.items())
        reasons: dict[str, list[str]] = {}
        for name, why in self.problems.items():
            reasons.setdefault(cut(why, _LONGEST), []).append(name)
        failed = "".join(
            f"\n  {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {why}"
            for why, names in reasons.items()
        )
        return f"{self.points:.1f} dB with {self.steps} steps; worst seeds: {kinds}{failed}"

    __repr__ = __str__


def score_chain(
    entry: str | Path | Mapping[str, Any] | Pipeline, salt: int | None = None
) -> ChainScore:
    """Score a chain by what it makes of simulated recordings whose truth is known.

    The steps run in a process of their own, which knows the recordings, but not their truth. Time
    is no part of the score.

    Parameters
    ----------
    entry : path | str | dict | Pipeline
        The chain, as YAML, as from ``Pipeline.to_dict()``, or as it is: at most 12 registered steps
        of preprocessing and correction.
    salt : int | None
        Chooses the recordings of the final board, which nobody knows before. None for the five
        seeds of the practice board.

    Raises
    ------
    ValidationError
        If the chain cannot be read, or has a step or a length that is not accepted.
    """
    chain = _read_entry(entry)
    seeds = (
        PRACTICE if salt is None else tuple(random.Random(salt).sample(range(100, 2**31), _DRAWN))
    )
    board = {(kind, seed): _simulate(kind, seed) for kind in KINDS for seed in seeds}
    answers = _run_apart(chain, [sim.raw for sim in board.values()])
    snr_db: dict[str, list[float]] = {kind: [] for kind in KINDS}
    problems = {}
    for (kind, seed), answer in zip(board, answers, strict=True):
        sim = board[kind, seed]
        value, problem = _judge(sim, answer)
        snr_db[kind].append(value)
        if problem:
            problems[f"{kind}, seed {seed}"] = problem
    found = {kind: tuple(values) for kind, values in snr_db.items()}
    return ChainScore(found, len(chain["processors"]), problems)


def _read_entry(entry: Any) -> dict[str, Any]:
    """Return the chain as plain values, if it may take part."""
    from facet_nb.core.pipeline import Pipeline
    from facet_nb.core.registry import list_processors

    if isinstance(entry, Pipeline):
        pipeline = entry
    elif isinstance(entry, Mapping):
        pipeline = Pipeline.from_dict(entry)
    else:
        pipeline = Pipeline.from_yaml(entry)
    steps = pipeline.processors
    if not 1 <= len(steps) <= _STEPS:
        raise ValidationError(f"the chain has {len(steps)} steps: give 1 to {_STEPS}.")
    known = set(list_processors())
    for step in steps:
        ours = type(step).__module__.startswith(_PACKAGES) and step.name in known
        if not ours or step.name in _REFUSED:
            raise ValidationError(
                f"{step.name} cannot take part: use registered steps of preprocessing and "
                "correction, without files and code of your own."
            )
    return pipeline.to_dict()


def _simulate(kind: str, seed: int) -> Simulation:
    from facet_nb.datasets import simulate

    arguments: Any = _RECORDING | dict(KINDS[kind])
    return simulate(**arguments, seed=seed)


def _run_apart(chain: Mapping[str, Any], raws: Sequence[Any]) -> list[Any]:
    """Return the corrected samples of each recording, or why there are none."""
    words = [sys.executable, "-W", "ignore", "-m", "facet_nb.lessons.chain_game"]
    done = subprocess.run(
        words, input=pickle.dumps((chain, list(raws), _CPU_S)), capture_output=True
    )
    answers = []
    view = memoryview(done.stdout)
    while view:
        size = int.from_bytes(view[:8], "little")
        answers.append(pickle.loads(view[8 : 8 + size]))
        view = view[8 + size :]
    told = done.stderr.decode(errors="replace").strip().splitlines()
    reason = told[-1] if told else "its process ended"
    if done.returncode < 0:
        reason = f"the chain was stopped: all recordings have {_CPU_S} s of CPU time"
    return answers + [reason] * (len(raws) - len(answers))


def serve(given: BinaryIO, answers: BinaryIO) -> None:
    """Correct the recordings of a board, in a process of their own."""
    import contextlib

    import mne

    from facet_nb.core.pipeline import Pipeline

    chain, raws, limit_s = pickle.load(given)
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    mne.set_log_level("error")
    pipeline = Pipeline.from_dict(chain)
    for raw in raws:
        result = pipeline.run(raw, show_progress=False)
        answer: Any = read_message(result.error) if result.error else _take_samples(result, raw)
        content = pickle.dumps(answer)
        answers.write(len(content).to_bytes(8, "little") + content)
        answers.flush()


def _take_samples(result: Any, raw: Any) -> Any:
    """Return the samples of a result with the channels and length of `raw`, or what it has."""
    out = result.get_raw()
    if out.ch_names != raw.ch_names or out.n_times != raw.n_times:
        return (
            f"it has {len(out.ch_names)} channels and {out.n_times} samples instead of "
            f"{len(raw.ch_names)} and {raw.n_times}"
        )
    return out.get_data()


def _judge(sim: Simulation, answer: Any) -> tuple[float, str]:
    """Return the SNR of an answer, and why it is that of the raw recording."""
    problem = answer if isinstance(answer, str) else ""
    samples = sim.raw.get_data() if problem else answer
    try:
        value = float(np.median(sim.snr_db(samples)))
    except FacetError as error:
        value, problem = math.nan, read_message(error)
    if not math.isfinite(value) and not problem:
        problem = "its samples are not finite"
    if not math.isfinite(value):
        value = float(np.median(sim.snr_db(sim.raw.get_data())))
    return value, problem


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
