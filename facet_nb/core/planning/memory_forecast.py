"""Predict peak memory and scratch space of a run.

The peak is the maximum over the stages of the sum of: interpreter and libraries; recordings in
memory; the needs of the batches in flight (each step's ``memory()``); and, for processes, the
libraries of the workers. Memory means the private memory of all processes, plus shared libraries
once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from facet_nb.core.backends import registry
from facet_nb.core.errors import FacetError, PlanError
from facet_nb.core.memory import describe_bytes, lasting_bytes
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.recording import MB, Shape
from facet_nb.core.steps import changes_samples
from facet_nb.core.storage import shared_memory

if TYPE_CHECKING:
    from facet_nb.core.planning.plan import Plan, Stage

T = TypeVar("T")


#: Memory that the first run of a process adds for libraries, measured by
#: benchmarks/out_of_core.py --libraries (Python 3.11, Linux).
_SCIPY_SIGNAL = 50 * MB

_READERS = 20 * MB

#: Private memory of a loky process with the kernels; and of loky's helper processes.
_WORKER = 35 * MB

_HELPERS = 30 * MB

#: Copies of a channel that a user-defined step is assumed to make: a Raw, and its own arrays.
_USER_STEP_COPIES = 4


@dataclass(frozen=True)
class RunInput:
    """The recording at the beginning of a run.

    Attributes
    ----------
    shape : Shape
        Its size.
    held_bytes : int
        Bytes of it that are already in this process's memory.
    lazy : bool
        Whether its samples were left in the file.
    loader : int | None
        Position of the step that loads it; -1 if it is loaded before the first step.
    must_load : bool
        Whether its format cannot be read in parts.
    """

    shape: Shape
    held_bytes: int = 0
    lazy: bool = False
    loader: int | None = None
    must_load: bool = False


@dataclass(frozen=True)
class StageForecast:
    """Predicted needs of one stage at its peak.

    Attributes
    ----------
    base_bytes : int
        Interpreter and libraries.
    recordings_bytes : int
        Recordings in memory.
    batch_bytes : int
        Memory of one batch.
    n_batches : int
        Batches in flight.
    workers_bytes : int
        Libraries of worker processes.
    disk_bytes : int
        Scratch files.
    loads_all : bool
        Whether a user-defined step may load the whole recording.
    """

    base_bytes: int
    recordings_bytes: int = 0
    batch_bytes: int = 0
    n_batches: int = 1
    workers_bytes: int = 0
    disk_bytes: int = 0
    loads_all: bool = False

    @property
    def peak_bytes(self) -> int:
        """The sum."""
        batches = self.batch_bytes * self.n_batches
        return self.base_bytes + self.recordings_bytes + batches + self.workers_bytes

    def __str__(self) -> str:
        times = f"{self.n_batches} × " if self.n_batches > 1 else ""
        parts = [
            f"{describe_bytes(self.base_bytes)} libraries",
            f"{describe_bytes(self.recordings_bytes)} recordings",
            f"{times}{describe_bytes(self.batch_bytes)} batch",
        ]
        if self.workers_bytes:
            parts.append(f"{describe_bytes(self.workers_bytes)} workers")
        text = f"{describe_bytes(self.peak_bytes)} = {' + '.join(parts)}"
        if self.disk_bytes:
            text += f"; {describe_bytes(self.disk_bytes)} of scratch files"
        return text + ("; may load the whole recording" if self.loads_all else "")


@dataclass(frozen=True)
class MemoryForecast:
    """Predicted needs of a run.

    Attributes
    ----------
    stages : tuple of StageForecast
        The forecast of each stage of the plan.
    """

    stages: tuple[StageForecast, ...]

    @property
    def peak_bytes(self) -> int:
        """Largest memory of the process tree."""
        return max((s.peak_bytes for s in self.stages), default=0)

    @property
    def own_bytes(self) -> int:
        """Largest memory of the run itself, without the interpreter and its libraries.

        What a process held before the run is in the peak, but not in this figure.
        """
        return max((s.peak_bytes - s.base_bytes for s in self.stages), default=0)

    @property
    def disk_bytes(self) -> int:
        """Largest sum of scratch files."""
        return max((s.disk_bytes for s in self.stages), default=0)

    @property
    def bottleneck(self) -> int:
        """Position of the stage with the largest peak."""
        sizes = [s.peak_bytes for s in self.stages]
        return sizes.index(max(sizes)) if sizes else 0

    def __str__(self) -> str:
        text = f"forecast: {describe_bytes(self.peak_bytes)} of memory at stage "
        text += f"{self.bottleneck + 1}"
        if self.disk_bytes:
            text += f", {describe_bytes(self.disk_bytes)} of scratch files"
        return text


def make_forecast(
    processors: Sequence[Processor], plan: Plan, run_input: RunInput, spill: bool
) -> MemoryForecast:
    """Return the forecast of a run.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps.
    plan : Plan
        Its stages.
    run_input : RunInput
        The recording.
    spill : bool
        Whether samples stay in files.
    """
    # One stage in processes is enough: a run keeps all its arrays where workers reach them.
    isolated = any(registry.get_backend(s.backend).isolates for s in plan.stages)
    account = _MemoryAccount(processors, plan, run_input, spill or run_input.lazy, isolated)
    needs = [account.add_stage(stage) for stage in plan.stages]
    if needs:
        needs[-1] = max(needs[-1], account.add_final_load(), key=lambda s: s.peak_bytes)
    return MemoryForecast(tuple(needs))


@dataclass
class _MemoryAccount:
    """Memory and files that are held from stage to stage."""

    processors: Sequence[Processor]
    plan: Plan
    run_input: RunInput
    spill: bool
    shared: bool
    shape: Shape = field(init=False)
    libraries: bool = False  # whether kernels that load more have computed in this process
    private: bool = False
    staged: bool = False
    workers: int = 0
    result_on_disk: int = 0
    in_files: int = 0  # bytes in files of the run, which are loaded into memory at its end
    in_reach: bool = False  # whether workers can read the current samples without a copy

    def __post_init__(self) -> None:
        self.shape = self.run_input.shape
        # Samples that are held already are counted as a recording, and must not count twice.
        self.base = lasting_bytes() - self.run_input.held_bytes
        # Bytes in memory of the original samples, the current ones, and those kept for the noise.
        self.original = self.current = self.kept = 0
        self.on_disk = 0
        self.lazy = False
        self.lineage = False
        if self.run_input.loader is None or self.run_input.loader < 0:
            self._begin()

    def _begin(self) -> None:
        """Account for the recording as it is loaded."""
        whole = self.shape.n_bytes
        lazy = self.run_input.lazy or (self.run_input.loader is not None and self.spill)
        lazy = lazy and not self.run_input.must_load
        self.lazy = lazy
        self.original = 0 if lazy else max(whole, self.run_input.held_bytes)
        self.current = 0  # it is the original
        self.lineage = True

    def add_stage(self, stage: Stage) -> StageForecast:
        """Return the needs of `stage`, and account for what it leaves behind."""
        units = self.plan.fusions.replace(self.processors, stage.steps)
        steps = [unit.processor for unit in units]
        if stage.kind == "global" and not isinstance(steps[0], ArrayProcessor):
            return self._add_global_step(stage, steps[0])
        return self._add_array_steps(stage, steps)

    # ------------------------------------------------------------------ one step, all channels
    def _add_global_step(self, stage: Stage, step: Processor) -> StageForecast:
        loads = self.run_input.loader is not None and self.run_input.loader == stage.steps[0]
        if loads:
            self._begin()
            reading = self.shape.piece_bytes + (_READERS if "mne.io" not in sys.modules else 0)
            return self._sum(reading, 1)
        size = self.shape.n_channels, self.shape.n_times
        work = ask(step, step.memory, size, self.shape.sfreq)
        if step.accepts_lazy and self.spill:
            work = min(work, self.shape.piece_bytes)
        loads_all = not step.accepts_lazy
        if not step.built_in and not self.spill:
            work += self.shape.n_bytes  # the private copy that it is given
        needs = replace(self._sum(work, 1), loads_all=loads_all)
        if step.modifies_raw and loads_all:
            self.kept += 0 if self.lineage else self.current
            self.current = self.shape.n_bytes  # a recording of its own, in memory
            self.lineage, self.private, self.in_files = False, False, 0
            self.in_reach = False
        return needs

    # ------------------------------------------------------------------------ steps over arrays
    def _add_array_steps(self, stage: Stage, steps: list[Processor]) -> StageForecast:
        before, after = self.shape, self.shape
        sizes = []
        for step in steps:
            new = shape_after(step, after)
            sizes.append((step, after, new))
            after = new
        isolated = registry.get_backend(stage.backend).isolates
        deciding, computes = _prepare_bytes(sizes)
        # Reference channels are then streamed as well, into scratch files of their own.
        if stage.chunk_duration_s is not None and self.spill:
            streams = _stream_bytes(sizes, stage)
            deciding = min(deciding, streams + _deciding_bytes(sizes) + before.piece_bytes // 2)
        loads = any(p.loads_scipy_signal for p in steps)
        # Decisions are made in this process, wherever batches are computed.
        self.libraries = self.libraries or (loads and computes)
        share = self._share(stage, steps)
        over = False
        if self.spill and not self.staged:
            deciding, self.staged = max(deciding, before.piece_bytes), True  # the transposing pass
            self.on_disk = int(share * before.n_bytes) if self.lazy else 0
            over = self.lazy and self._streams_over(stage, steps, before, after)
        decided = self._sum(deciding, 1)
        if not any(changes_samples(p) for p in steps):
            return decided
        in_place = self._in_place(steps)
        # Shared memory is memory; of files that workers map, the system can drop pages.
        filed = self.spill or (self.shared and not shared_memory.is_usable())
        in_memory = 0 if filed or in_place else after.n_bytes
        lent = 0
        if isolated and not filed and not self.in_reach and before.n_times != after.n_times:
            lent = before.n_bytes  # with the same length, results overwrite the lent samples
        k = min(stage.batch_size or after.n_data, after.n_data)
        n = min(stage.n_jobs, -(-after.n_data // k))
        if stage.kind == "global":
            batch = after.piece_bytes if self.spill else self._scratch(sizes[0])
        else:
            batch = _batch_bytes(sizes, k, isolated, filed or stage.dtype == "float32")
            if stage.chunk_duration_s is not None:
                batch = _stream_bytes(sizes, stage)
            batch //= 2 if stage.dtype == "float32" else 1
        if (self.spill or self.shared) and stage.chunk_duration_s is None:
            batch += k * (before.row_bytes + after.row_bytes)  # pages of the files
        self.libraries = self.libraries or (loads and not isolated)
        written = 0 if over else int(share * after.n_bytes)
        disk = self.on_disk + self.result_on_disk + written if self.spill else 0
        if isolated:
            # Workers stay alive between stages.
            self.workers = max(self.workers, n * worker_bytes() + _HELPERS)
        needs = self._sum(batch, n, extra=in_memory + lent, disk=disk)
        self.result_on_disk = written if self.spill else 0
        if over:  # the result has overwritten the file of its input
            self.result_on_disk, self.on_disk = self.on_disk, 0
        self._move_on(steps, after, in_memory, in_place)
        # Not their sum: a stage decides before its first batch begins.
        return max(needs, decided, key=lambda s: s.peak_bytes)

    def _share(self, stage: Stage, steps: list[Processor]) -> float:
        """Return the size of a stage's files relative to float64."""
        # Steps that see all channels decide on samples that are not rounded.
        single = stage.dtype == "float32" and self.lazy and not _sees_all(steps)
        return 0.5 if single else 1.0

    def _streams_over(
        self, stage: Stage, steps: list[Processor], before: Shape, after: Shape
    ) -> bool:
        """Whether a stage overwrites the file that it reads."""
        # After the death of a worker process its batch is computed again, and needs the input.
        alone = not registry.get_backend(stage.backend).isolates and not _sees_all(steps)
        return alone and stage.chunk_duration_s is not None and before.n_times == after.n_times

    def add_final_load(self) -> StageForecast:
        """Return the needs of loading the results from files at the end of a run."""
        # Arrays are loaded one after another, and each file is removed at once (load_results).
        return self._sum(
            self.shape.piece_bytes // 4 if self.in_files else 0, 1, extra=self.in_files
        )

    def _scratch(self, size: tuple[Processor, Shape, Shape]) -> int:
        step, before, after = size
        work = step_bytes(step, before, after) - after.row_bytes
        return max(work, 0) + after.piece_bytes // 2

    def _in_place(self, steps: list[Processor]) -> bool:
        if self.spill or self.shared or not self.private or len(steps) > 1:
            return False
        step = steps[0]
        # The estimated noise is computed from the samples before the first correction.
        if getattr(step, "subtracts", False) and not self.lineage:
            return False
        return isinstance(step, ArrayProcessor) and step.can_overwrite()

    def _move_on(
        self, steps: list[Processor], after: Shape, in_memory: int, in_place: bool
    ) -> None:
        corrects = any(getattr(p, "subtracts", False) for p in steps)
        if corrects and not self.lineage:
            self.kept += self.current
            self.lineage = True
        if not in_place:
            self.current = in_memory
            filed = self.shared and not self.spill and not in_memory
            self.in_files = after.n_bytes if filed else 0
            self.in_reach = self.shared
        # A user-defined step may have kept a reference to the samples.
        self.private = all(isinstance(p, ArrayProcessor) for p in steps)
        self.shape = after

    def _sum(self, batch: int, n: int, *, extra: int = 0, disk: int = 0) -> StageForecast:
        base = self.base
        if self.libraries:
            base += pending_libraries()
        held = self.original + self.current + self.kept + extra
        disk = disk or self.on_disk + self.result_on_disk
        return StageForecast(base, held, int(batch), n, self.workers, disk)


def ask(step: Processor, question: Callable[..., T], *args: Any) -> T:
    """Return ``question(*args)``, a method of `step`, which may not have checked itself yet.

    Raises
    ------
    PlanError
        If a parameter of the step is wrong.
    """
    try:
        return question(*args)
    except FacetError:
        raise
    except Exception as error:
        raise PlanError(
            f"{step!r} cannot be planned: {type(error).__name__}: {error}. Check its parameters."
        ) from error


def shape_after(step: Processor, shape: Shape) -> Shape:
    """Return the predicted shape of a recording after a step."""
    if not isinstance(step, ArrayProcessor) or not changes_samples(step):
        return shape
    try:
        n_times, sfreq = ask(step, step.resize, shape.n_times, shape.sfreq)
    except FacetError:
        return shape  # the run will raise the same error, with the name of the step
    return replace(shape, n_times=n_times, sfreq=sfreq)


def step_bytes(step: Processor, before: Shape, after: Shape) -> int:
    """Return the memory of a channel-wise step for one channel with its result, in bytes."""
    if isinstance(step, ArrayProcessor):
        try:
            return int(ask(step, step.memory, (1, before.n_times), before.sfreq))
        except FacetError:
            return 2 * after.row_bytes  # the run will raise the same error
    return _USER_STEP_COPIES * max(before.row_bytes, after.row_bytes)


def _work_bytes(step: Processor, before: Shape, after: Shape, k: int) -> int:
    """Return the memory of a step for `k` channels without their results, in bytes."""
    # Memory that does not grow with the recording is scratch of the whole call, and counts once.
    # It is twice the memory for half of the recording, minus that for the whole.
    whole = step_bytes(step, before, after)
    half = replace(before, n_times=max(1, before.n_times // 2))
    once = 0
    if isinstance(step, ArrayProcessor):
        once = min(whole, max(0, 2 * step_bytes(step, half, shape_after(step, half)) - whole))
    return once + k * max(whole - once - after.row_bytes, 0)


def _batch_bytes(
    sizes: Sequence[tuple[Processor, Shape, Shape]], k: int, isolated: bool, apart: bool
) -> int:
    """Return the peak memory of `k` channels that are sent through steps.

    The last result is not included: it is written to the stage's own array. So are those before it
    that later steps overwrite, unless intermediate arrays are kept `apart` from it.
    """
    # Workers read their rows from files; in this process a batch is a view of the samples.
    held = k * sizes[0][1].row_bytes if isolated else 0
    changing = [size for size in sizes if changes_samples(size[0])]
    noise = sum(getattr(p, "uses_noise", False) for p, *_ in sizes) > 0
    peak, direct = held, len(changing) - 1
    while direct > 0 and not (apart or isolated or noise):
        step, before, after = changing[direct]
        if before != after or not (isinstance(step, ArrayProcessor) and step.can_overwrite()):
            break
        direct -= 1
    for i, (step, before, after) in enumerate(changing):
        last = i >= direct
        own = held > 0 and i > 0
        in_place = own and isinstance(step, ArrayProcessor) and step.can_overwrite()
        result = k * after.row_bytes
        work = _work_bytes(step, before, after, k)
        new = 0 if last or (in_place and before == after) else result
        # The noise, and the uncorrected signal that it is the difference from.
        beside = 2 * k * before.row_bytes if noise else 0
        peak = max(peak, held + work + new + beside)
        held = held if last else (new or held)
    return peak


def _stream_bytes(sizes: Sequence[tuple[Processor, Shape, Shape]], stage: Stage) -> int:
    """Return the memory of one channel that is sent through the streams of all steps."""
    total = 0
    for step, before, after in sizes:
        if isinstance(step, ArrayProcessor) and changes_samples(step):
            stream = ask(step, step.stream_memory, stage.count_chunk(before.sfreq), before.sfreq)
            # A channel that is shorter than the memory of a stream is kept completely.
            whole = step_bytes(step, before, after) + 4 * max(before.row_bytes, after.row_bytes)
            total += min(stream, whole)
    return total


def _sees_all(steps: Sequence[Processor]) -> bool:
    return any(getattr(step, "needs", "reference") == "all" for step in steps)


def _deciding_bytes(sizes: Sequence[tuple[Processor, Shape, Shape]]) -> int:
    """Return the peak extra memory of ``prepare`` on a reference channel in a file."""
    return max(
        (
            ask(step, step.memory_to_prepare, (1, before.n_times), before.sfreq)
            for step, before, _ in sizes
            if isinstance(step, ArrayProcessor) and step.needs == "reference"
        ),
        default=0,
    )


def _prepare_bytes(sizes: Sequence[tuple[Processor, Shape, Shape]]) -> tuple[int, bool]:
    """Return the peak memory of preparing all steps, and whether this runs kernels."""
    peak, held, computes = 0, 0, False
    # As prepare_stage does: reference channels go no further than to the last step that looks.
    last = max(
        (
            i
            for i, (step, *_) in enumerate(sizes)
            if not isinstance(step, ArrayProcessor) or step.needs == "reference"
        ),
        default=-1,
    )
    for i, (step, before, after) in enumerate(sizes[: last + 1]):
        if isinstance(step, ArrayProcessor) and step.needs == "reference":
            peak = max(
                peak, held + ask(step, step.memory_to_prepare, (1, before.n_times), before.sfreq)
            )
        if i < last and changes_samples(step):
            peak = max(peak, held + step_bytes(step, before, after))
            held, computes = after.row_bytes, True
    return peak, computes


def pending_libraries() -> int:
    """Return the memory that libraries will add when kernels are first used, in bytes."""
    total = 0
    # Once imported, it is part of this process's resident memory.
    if "scipy.signal" not in sys.modules:
        total += _SCIPY_SIGNAL
    return total


def worker_bytes() -> int:
    """Return the private memory of an idle worker process, in bytes."""
    return _WORKER
