"""Which recordings of a study run at once: forecasts of their memory decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from facet_nb.core.backends.registry import count_cores
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError, PlanError
from facet_nb.core.memory import describe_bytes, find_available, parse_bytes, rss_bytes
from facet_nb.core.planning.budget import add_forecast, find_input, fit_to_budget
from facet_nb.core.planning.memory_forecast import RunInput
from facet_nb.core.planning.plan import Plan
from facet_nb.core.planning.planner import RunOptions
from facet_nb.core.processor import Processor

#: Recordings up to this size are loaded; larger ones stay in files, unless results keep samples.
_SMALL = 64 * 10**6

#: Length of the chunks of recordings that stay in files, in s.
_CHUNK_S = 30.0

#: Memory of a worker process beside the run itself. Measured: after it had corrected, judged and
#: written 6 channels of 36 s, it had 265 MB, 44 MB of them shared libraries (Python 3.11, Linux).
_WORKER = 220 * 10**6

#: Fraction of the available memory that a study uses without a budget.
_SHARE = 0.8

#: Headers that are read. Of more, files of about one size are taken for recordings of one shape.
_HEADERS = 200

#: Kinds of such files per octave of size; and members whose headers are tried.
#: With eight kinds, the files of one kind differ in size by 9 % at most.
_PER_OCTAVE, _TRIES = 8, 3


@dataclass(frozen=True)
class FilePlan:
    """How one recording of a study runs.

    Attributes
    ----------
    index : int
        Position of the input.
    name : str
        Its name.
    n_bytes : int
        Size of its samples as float64, in bytes; 0 if unknown.
    needs_bytes : int
        Memory of its run beside that of this process, in bytes; 0 if unknown.
    at_once : int
        How many such recordings run at once; 0 for one that cannot run.
    in_files : bool
        Whether its samples stay in files.
    options : tuple of (str, Any)
        Options of its run that the schedule sets.
    basis : {"header", "memory", "size", "unknown"}
        What the forecast was made from: its header; the recording in memory; the header of another
        file of about the same size; nothing, as its header cannot be read.
    problem : FacetError | None
        Why it cannot run.
    """

    index: int
    name: str
    n_bytes: int = 0
    needs_bytes: int = 0
    at_once: int = 1
    in_files: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    basis: str = "unknown"
    problem: FacetError | None = None


@dataclass(frozen=True)
class StudyPlan:
    """The schedule of a study.

    Attributes
    ----------
    files : tuple of FilePlan
        The recordings, in the order of the inputs.
    backend : str
        The backend of the workers.
    n_jobs : int
        Most recordings at once.
    limit_bytes : int
        Memory that the study keeps to, in bytes.
    given : bool
        Whether this is a budget; otherwise it is a part of the available memory.
    local : bool
        Whether the workers run on this machine; otherwise the memory is that of one of them.
    """

    files: tuple[FilePlan, ...]
    backend: str
    n_jobs: int
    limit_bytes: int
    given: bool = False
    local: bool = True

    @cached_property
    def groups(self) -> tuple[tuple[FilePlan, ...], ...]:
        """Recordings that run together: those of which most fit at once first, the longest first.

        Recordings that cannot run are in no group.
        """
        runnable = [file for file in self.files if file.at_once]
        counts = sorted({file.at_once for file in runnable}, reverse=True)
        # A long one that began last would run alone, and keep the other workers idle.
        order = sorted(runnable, key=lambda file: -file.n_bytes)  # stable: the order of the inputs
        return tuple(tuple(f for f in order if f.at_once == n) for n in counts)

    def find_running(self, ended: Collection[int]) -> tuple[int, ...]:
        """Return the positions of the recordings that run now, if those in `ended` have ended.

        Workers take the recordings of a group in its order.
        """
        for group in self.groups:
            left = [file.index for file in group if file.index not in ended]
            if left:
                return tuple(left[: group[0].at_once])
        return ()

    def __str__(self) -> str:
        kind = "budget" if self.given else "available"
        kind += "" if self.local else ", of each worker"
        head = (
            f"{len(self.files)} recordings, at most {self.n_jobs} at once ({self.backend}), "
            f"{describe_bytes(self.limit_bytes)} of memory ({kind})"
        )
        bad = [f"  cannot run: {f.name}: {f.problem}" for f in self.files if f.problem]
        groups = [*map(_describe_group, self.groups), *bad]
        return "\n".join([head, *groups, *self._advise_limit()])

    def _advise_limit(self) -> list[str]:
        """Return which memory limit the workers of a cluster should have."""
        needs = max((file.needs_bytes for file in self.files if file.at_once), default=0)
        if self.local or not needs:
            return []
        # Workers of Dask pause at 80 % of their limit, and are ended at 95 %.
        return [f"  workers should have {describe_bytes(needs / _SHARE)} for each of their threads"]

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as plain Python values."""
        files = [
            {
                "input": f.name,
                "at_once": f.at_once,
                "samples_bytes": f.n_bytes,
                "needs_bytes": f.needs_bytes,
                "in_files": f.in_files,
                "options": dict(f.options),
                "basis": f.basis,
                "problem": None if f.problem is None else str(f.problem),
            }
            for f in self.files
        ]
        return {
            "backend": self.backend,
            "n_jobs": self.n_jobs,
            "limit_bytes": self.limit_bytes,
            "files": files,
        }


def _describe_group(group: tuple[FilePlan, ...]) -> str:
    at_once, needs = group[0].at_once, max(f.needs_bytes for f in group)
    size = f"up to {describe_bytes(needs)} each" if needs else "of unknown size"
    threads = dict(group[0].options).get("n_workers", 1)
    inner = f", {threads} threads each" if threads > 1 else ""
    where = sum(f.in_files for f in group)
    place = f", samples of {where} in files" if where else ""
    guessed = sum(f.basis == "size" for f in group)
    told = f", {guessed} judged by the size of the file" if guessed else ""
    names = ", ".join(Path(f.name).name for f in group[:3]) + (", …" if len(group) > 3 else "")
    return f"  {at_once} at once: {len(group)} {size}{inner}{place}{told} ({names})"


def find_limit(budget: Any, of_worker: int | None = None) -> int:
    """Return the memory that a study keeps to, with that of this process, in bytes.

    On a cluster it is that of one worker, of which `of_worker` bytes are known.
    """
    if budget is not None:
        return parse_bytes(budget)
    if of_worker is not None:
        return int(_SHARE * of_worker)
    # What this process holds already is not among the available memory, but within the limit.
    return int(_SHARE * find_available()[0]) + rss_bytes()


@dataclass
class Scheduler:
    """Plans the recordings of a study.

    Parameters
    ----------
    make_steps : callable
        Returns the steps for the input of a position.
    options : RunOptions
        Options of each run.
    n_jobs : int
        Most recordings at once.
    budget : str | int | None
        Limit of the memory of the study.
    isolates : bool
        Whether workers are other processes, which have libraries of their own.
    local : bool
        Whether they run on this machine, and share its memory.
    of_worker : int | None
        Memory of one worker elsewhere, in bytes, if it is known.
    keeps_samples : bool
        Whether results keep their samples: then they are loaded.
    divides : bool
        Whether a recording that runs with fewer others gets their cores as threads.
    chunks : bool
        Whether recordings in files may be cut into chunks.
    """

    make_steps: Callable[[int], list[Processor]]
    options: RunOptions
    n_jobs: int
    budget: Any = None
    isolates: bool = False
    local: bool = True
    of_worker: int | None = None
    keeps_samples: bool = False
    divides: bool = False
    chunks: bool = True

    def __post_init__(self) -> None:
        self.limit = find_limit(self.budget, self.of_worker)
        # On a cluster the budget is that of one worker, which is another process.
        self.room = self.limit - (rss_bytes() if self.local else 0)
        self._known: dict[Any, FilePlan] = {}

    def plan(self, names: Sequence[str], inputs: Sequence[Any]) -> tuple[FilePlan, ...]:
        """Return the plan of each input."""
        kinds = _list_kinds(inputs)
        found: dict[Any, tuple[list[Processor], RunInput | None]] = {}
        for kind, members in kinds.items():
            # The largest one stands for all; the next ones, should its header be damaged.
            for index in members[:_TRIES]:
                found[kind] = self._find_input(index, inputs[index])
                if found[kind][1] is not None:
                    break
        files: dict[int, FilePlan] = {}
        for kind, members in kinds.items():
            for index in members:
                file = self._plan_one(*found[kind], inputs[index])
                basis = "memory" if isinstance(inputs[index], ProcessingContext) else "header"
                basis = basis if len(members) == 1 else "size"
                basis = basis if file.n_bytes else "unknown"
                files[index] = replace(file, index=index, name=names[index], basis=basis)
        return tuple(files[index] for index in range(len(inputs)))

    def _find_input(self, index: int, item: Any) -> tuple[list[Processor], RunInput | None]:
        """Return steps and size of an input; no size if it cannot be read: its run will say why."""
        try:
            steps = self.make_steps(index)
            context = item if isinstance(item, ProcessingContext) else None
            return steps, find_input(steps, context, strict=False)
        except (FacetError, OSError, ValueError):
            return [], None

    def _plan_one(self, steps: list[Processor], found: RunInput | None, item: Any) -> FilePlan:
        if found is None:
            return FilePlan(0, "", at_once=self.n_jobs)
        is_file = not isinstance(item, ProcessingContext)
        # Many recordings of a study have one shape: for these the plans are tried once.
        known = (found, is_file)
        if known not in self._known:
            self._known[known] = self._fit(steps, found, is_file)
        return self._known[known]

    def _fit(self, steps: list[Processor], found: RunInput, is_file: bool) -> FilePlan:
        size = found.shape.n_bytes
        count, needs = self.n_jobs, 0
        while True:
            for in_files, options in self._list_variants(found, is_file, count):
                given = replace(found, lazy=True) if in_files else found
                try:
                    plan = fit_to_budget(steps, options, given)
                except FacetError:  # a step that cannot be planned: the run will say so
                    return FilePlan(0, "", size, at_once=self.n_jobs)
                needs = self._count_bytes(steps, plan, given)
                # On a cluster each recording has a worker's share to itself.
                if needs <= (self.room // count if self.local else self.room):
                    chosen = self._list_options(plan, options)
                    return FilePlan(0, "", size, needs, count, in_files, chosen)
            if count == 1:
                return self._refuse(steps, found, needs)
            # Halves: each count makes a group of its own, and groups run one after another.
            count //= 2

    def _list_variants(
        self, found: RunInput, is_file: bool, count: int
    ) -> list[tuple[bool, RunOptions]]:
        """Return whether samples stay in files, and the options of a run: the fastest first."""
        options = self.options
        if self.divides and count < self.n_jobs:
            options = replace(options, n_workers=max(1, min(self.n_jobs, count_cores()) // count))
        if options.mode == "auto":
            return [(False, options)]
        loaded = [(False, options)]
        if not is_file or self.keeps_samples or found.must_load:
            return loaded
        cut = options
        if self.chunks and options.chunk_duration_s is None:
            cut = replace(options, chunk_duration_s=_CHUNK_S)
        in_files = [(True, cut)]
        if options.batch_size == "auto":
            in_files.append((True, replace(cut, batch_size=1, n_workers=1)))
        return in_files if found.shape.n_bytes > _SMALL else [*loaded, *in_files]

    def _count_bytes(self, steps: list[Processor], plan: Plan, found: RunInput) -> int:
        """Return the memory of a run beside that of this process."""
        if plan.forecast is None:
            plan = add_forecast(plan, steps, found)
        # A recording that this process holds already takes nothing more here; a worker gets a copy.
        own = plan.forecast.own_bytes - (0 if self.isolates else found.held_bytes)
        return int(max(0, own)) + (_WORKER if self.isolates else 0)

    def _list_options(self, plan: Plan, options: RunOptions) -> tuple[tuple[str, Any], ...]:
        if options.mode == "auto":
            return ()
        chosen = {"n_workers": plan.n_workers, "chunk_duration_s": options.chunk_duration_s}
        if self.options.batch_size == "auto" and plan.batch_size:
            chosen["batch_size"] = plan.batch_size
        return tuple(chosen.items())

    def _refuse(self, steps: list[Processor], found: RunInput, needs: int) -> FilePlan:
        """Return the plan of a recording that does not fit alone."""
        size = found.shape.n_bytes
        if self.budget is None:  # the limit is an estimate: it is tried, alone
            variants = self._list_variants(found, True, 1)
            in_files, options = variants[-1]
            plan = fit_to_budget(steps, options, replace(found, lazy=in_files or found.lazy))
            chosen = self._list_options(plan, options)
            return FilePlan(0, "", size, needs, 1, in_files, chosen)
        # Rounded up, with a reserve: the budget that is named must suffice when it is given.
        least = -(-math.ceil(1.03 * (needs + self.limit - self.room)) // 10**7) * 10**7
        problem = PlanError(
            f"memory_budget={describe_bytes(self.limit)} is too little: this recording needs "
            f"{describe_bytes(needs)} beside the {describe_bytes(self.limit - self.room)} of this "
            f"process. The smallest sufficient budget is {describe_bytes(least)}."
        )
        return FilePlan(0, "", size, needs, 0, problem=problem)


def _list_kinds(inputs: Sequence[Any]) -> dict[Any, list[int]]:
    """Return the positions of inputs that are taken for recordings of one shape, by their kind."""
    sizes = [None if isinstance(item, ProcessingContext) else _find_size(item) for item in inputs]
    each = len(inputs) <= _HEADERS
    coarse = len({size for size in sizes if size is not None}) > _HEADERS
    kinds: dict[Any, list[int]] = {}
    for index, size in enumerate(sizes):
        kind: Any = index
        if not each and size is not None:
            suffix, n_bytes = size
            kind = suffix, round(_PER_OCTAVE * math.log2(n_bytes)) if coarse else n_bytes
        kinds.setdefault(kind, []).append(index)
    for members in kinds.values():
        members.sort(key=lambda index: -(sizes[index] or ("", 0))[1])
    return kinds


def _find_size(path: Any) -> tuple[str, int] | None:
    """Return suffix and size of a recording's files; None if there are none."""
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    parts = [path]
    # The samples are in another file, whose name is guessed: to look it up in the header would
    # cost what this function saves.
    if suffix in (".vhdr", ".vmrk", ".set"):
        parts.append(path.with_suffix(".fdt" if suffix == ".set" else ".eeg"))
    total = 0
    for part in parts:
        try:
            total += part.stat().st_size
        except (OSError, ValueError):
            continue
    return (suffix, total) if total else None
