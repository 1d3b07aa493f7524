"""Checkpoints: a folder with the finished parts of a run, so that a killed run can resume.

The folder contains the samples after each stage (float64 rows, one file per stage), the results of
user-defined steps on their reference channels, and a journal of the finished rows with their
checksums. The key of a stage covers everything that its samples depend on: the samples, header and
metadata before it, its steps with their parameters and code, and the versions of the libraries. A
stage with another key is computed again. Nothing in the folder is executed or unpickled.
"""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.backends.registry import get_backend
from facet_nb.core.errors import FacetError
from facet_nb.core.execution.deferred import DeferredSamples
from facet_nb.core.execution.job import Failure, Job
from facet_nb.core.execution.prepare import Attempt
from facet_nb.core.execution.runner import Fill, Place, StageRun
from facet_nb.core.execution.stage import PreparedStage, ReferenceTrial, StageInput
from facet_nb.core.findings import Finding
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.steps import ArrayStep, ChannelStep, State, Step
from facet_nb.core.storage import folder_lock, journal, scratch
from facet_nb.core.storage.arrays import ArrayRef
from facet_nb.core.storage.hashing import UnhashableError, hash_row, list_versions, take_fingerprint
from facet_nb.core.storage.journal import RowLog
from facet_nb.kernels.compiled.dispatch import list_chosen

logger = logging.getLogger("facet_nb")

#: Version of the folder's layout.
_LAYOUT = 1

_SUFFIX = ".f64"

#: Names of the files of this module.
#: ``.new`` is what a kill has left of a file that was being written.
_OURS = re.compile(r"(?:stage|trial)-([0-9a-f]{32})\.f64(?:\.new)?")


@dataclass
class KeptStage:
    """Samples after one stage, in a file of the folder.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple (n_channels, n_times)
        Shape of the samples.
    log : RowLog
        Log of the finished rows.
    noted : dict
        Checksum of each row that an earlier run recorded as finished.
    """

    path: Path
    shape: tuple[int, int]
    log: RowLog
    noted: dict[int, str]

    def make_file(self) -> None:
        """Create the file, or extend it to its full size, and allocate its disk space.

        Raises
        ------
        FacetError
            If the disk is full.
        """
        # An existing file keeps its rows: the journal says which of them are finished.
        # At least one value: an empty file cannot be mapped.
        n_bytes = max(8, 8 * int(np.prod(self.shape)))
        try:
            with folder_lock.open_plain(self.path, "r+b") as file:
                there = file.seek(0, os.SEEK_END)
                if there < n_bytes and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), there, n_bytes - there)
                elif there < n_bytes:
                    file.truncate(n_bytes)
        except OSError as error:
            raise FacetError(
                f"no room for {n_bytes / 1e6:.0f} MB in {self.path.parent}: "
                f"{folder_lock.explain(error)}. Choose another folder, or a larger disk, for "
                "checkpoint=."
            ) from error

    def restore(self, samples: np.ndarray, rows: list[int]) -> dict[int, str]:
        """Return those of `rows` that `samples` holds completely, with their checksums."""
        noted = [row for row in rows if row in self.noted]
        digests = _hash_rows(samples, noted)
        return {row: sha for row, sha in zip(noted, digests, strict=True) if sha == self.noted[row]}


@dataclass
class Checkpoint:
    """A folder with the finished work of one run; use :func:`hold_checkpoint`.

    Attributes
    ----------
    folder : Path
        The folder.
    """

    folder: Path
    _rows: dict[str, dict[int, str]] = field(default_factory=dict)
    _trials: dict[str, dict[str, Any]] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    # Checksums take most of a checkpoint's time: those of each array are computed once. The
    # references are weak, since the samples of a stage must go with the stage.
    _known: list[tuple[weakref.ref[np.ndarray], list[str]]] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        """Path of the journal."""
        return self.folder / "journal.jsonl"

    def load(self) -> None:
        """Read the journal; a row counts as finished only if its checksum is right."""
        journal.repair_last_line(self.journal)
        for record in journal.read(self.journal):
            if record.get("kind") == "rows":
                stage = self._rows.setdefault(str(record.get("stage")), {})
                stage.update(_read_rows(record))
            elif record.get("kind") == "trial":
                self._trials[str(record.get("key"))] = record

    # --------------------------------------------------------------------------------- stages
    def keep(self, given: StageInput, prepared: PreparedStage) -> KeptStage | None:
        """Return where the samples after a stage are kept; None if they cannot be.

        Steps without a fingerprint (they hold a lock, an open file, …) are computed again; a
        warning is logged.
        """
        try:
            key = self._key(given, prepared)
        except UnhashableError as unknown:
            names = ", ".join(p.name for p in given.processors)
            logger.warning(
                "checkpoint: %s is not kept, and computed again after a kill: %s, which cannot be "
                "compared between runs. Keep it out of the processor's attributes.",
                names,
                unknown,
            )
            return None
        self._used.add(key)
        shape = (len(given.names), prepared.state.n_times)
        path = self.folder / f"stage-{key[:32]}{_SUFFIX}"
        kept = KeptStage(path, shape, RowLog(str(self.journal), key), self._rows.get(key, {}))
        kept.make_file()
        return kept

    def _key(self, given: StageInput, prepared: PreparedStage) -> str:
        terms: tuple[Any, ...] = ()
        if any(step.uses_noise for step in prepared.steps):
            # The noise is as large as the samples: its key holds the checksums of its bases.
            terms = tuple(term.move(self.find_digests) for term in given.terms)
        return take_fingerprint(
            [
                _LAYOUT,
                list_versions(),
                # Kernels in C and their fallbacks may differ in the last bits.
                list_chosen(),
                [_describe(step) for step in prepared.steps],
                _describe_header(given),
                given.state,
                [int(i) for i in given.picks],
                terms,
                self.find_digests(given.data),
            ]
        )

    def find_digests(self, samples: np.ndarray) -> list[str]:
        """Return the checksum of each row of `samples`, shape (n_channels, n_times)."""
        for known, digests in self._known:
            if known() is samples:
                return digests
        digests = _hash_rows(samples, range(len(samples)))
        self._known.append((weakref.ref(samples), digests))
        return digests

    def learn_digests(self, samples: np.ndarray, digests: dict[int, str]) -> None:
        """Record checksums that were computed when the rows were written."""
        others = [row for row in range(len(samples)) if row not in digests]
        known = digests | dict(zip(others, _hash_rows(samples, others), strict=True))
        self._known.append((weakref.ref(samples), [known[row] for row in range(len(samples))]))

    # --------------------------------------------------------------------------------- trials
    def remember(self, attempt: Attempt) -> Attempt:
        """Return an `attempt` that returns the trial of an earlier run, if there is one."""

        def recall(step: ChannelStep, row: np.ndarray, channel: int) -> ReferenceTrial | Failure:
            try:
                about = [_describe(step), _describe_header(step), step.before, step.channels]
                key = take_fingerprint(
                    [_LAYOUT, list_versions(), list_chosen(), about, channel, hash_row(row)]
                )
            except UnhashableError:
                return attempt(step, row, channel)
            trial = self._read_trial(key)
            if trial is not None:
                return trial
            answer = attempt(step, row, channel)
            if isinstance(answer, ReferenceTrial):
                self._write_trial(key, answer)
            return answer

        return recall

    def _read_trial(self, key: str) -> ReferenceTrial | None:
        record = self._trials.get(key)
        if record is None:
            return None
        try:
            row = np.fromfile(self._trial_path(key), dtype=np.float64)[np.newaxis]
            if hash_row(row[0]) != record["sha256"]:
                return None
            state = State(
                float(record["sfreq"]),
                int(record["n_times"]),
                int(record["first_samp"]),
                (float(record["band"][0]), float(record["band"][1])),
                ProcessingMetadata.from_dict(record["metadata"]),
            )
            found = tuple(map(Finding.from_dict, record.get("findings", ())))
            trial = ReferenceTrial(row, state, bool(record["reports"]), found)
        except (OSError, KeyError, TypeError, ValueError):  # damaged: the step is tried again
            return None
        self._used.add(key)
        return trial

    def _write_trial(self, key: str, trial: ReferenceTrial) -> None:
        plain = trial.state.metadata.to_dict()
        try:
            same = take_fingerprint(ProcessingMetadata.from_dict(plain)) == take_fingerprint(
                trial.state.metadata
            )
        except UnhashableError:
            same = False
        if not same:  # JSON cannot hold this metadata: the step is tried again
            return
        path = self._trial_path(key)
        try:
            with folder_lock.open_plain(f"{path}.new", "r+b", os.O_TRUNC) as file:
                file.write(np.ascontiguousarray(trial.row).data)
            os.replace(f"{path}.new", path)
        except OSError as error:
            raise FacetError(
                f"no room for the checkpoint in {self.folder}: {folder_lock.explain(error)}."
            ) from error
        state = trial.state
        record = {
            "kind": "trial",
            "key": key,
            "sha256": hash_row(trial.row[0]),
            "sfreq": state.sfreq,
            "n_times": state.n_times,
            "first_samp": state.first_samp,
            "band": list(state.band),
            "metadata": plain,
            "reports": trial.reports,
            "findings": [finding.to_dict() for finding in trial.findings],
        }
        # Last: after a kill, what the journal tells of is complete.
        journal.append(self.journal, record)
        self._used.add(key)

    def _trial_path(self, key: str) -> Path:
        return self.folder / f"trial-{key[:32]}{_SUFFIX}"

    # --------------------------------------------------------------------------------- the end
    def prune(self) -> None:
        """Delete everything that this run, which is complete, did not use."""
        used = {key[:32] for key in self._used}
        for path in self.folder.iterdir():
            match = _OURS.fullmatch(path.name)  # the folder may be the user's, with other files
            if match and match.group(1) not in used and not path.is_dir():
                path.unlink(missing_ok=True)
        records = [
            record
            for record in journal.read(self.journal)
            if str(record.get("stage", record.get("key"))) in self._used
        ]
        journal.replace(self.journal, records)


class KeptStageRun(StageRun):
    """One stage whose finished channels are kept in a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        The checkpoint.
    *stage
        As for :class:`~facet_nb.core.execution.runner.StageRun`.
    """

    # Runs that share a checkpoint may differ in precision and chunks: the key must not.
    exact_input = True

    def __init__(self, checkpoint: Checkpoint, *stage: Any) -> None:
        super().__init__(*stage)
        self.checkpoint = checkpoint
        self.kept: KeptStage | None = None
        self.lent: tuple[ArrayRef, Fill | None] | None = None

    def lend(self, data: np.ndarray) -> tuple[ArrayRef, Fill | None]:
        """Return the reference to the input that was made already."""
        return super().lend(data) if self.lent is None else self.lent

    def remember(self, attempt: Attempt) -> Attempt:
        """Return an `attempt` that remembers earlier runs."""
        return self.checkpoint.remember(attempt)

    def choose_place(
        self, given: StageInput, prepared: PreparedStage, deferred: DeferredSamples | None
    ) -> Place:
        """Return where the samples are; the result is written to a file of the checkpoint."""
        # The input first: a full disk is then reported as that of the scratch files.
        self.lent = self.store.lend(given.data, get_backend(self.stage.backend).isolates)
        self.kept = self.checkpoint.keep(given, prepared)
        if self.kept is None:
            return super().choose_place(given, prepared, deferred)
        source, fill = self.lent
        target, result = self.store.adopt(str(self.kept.path), self.kept.shape)
        return Place(source, fill, target, given.data, result)

    def run_batches(
        self,
        job: Job,
        place: Place,
        groups: list[list[int]],
        labels: list[tuple[str, ...]],
        done: dict[int, str],
    ) -> None:
        """Compute the channels that no earlier run has finished."""
        if self.kept is None:
            super().run_batches(job, place, groups, labels, done)
            return
        rows = [row for group in groups for row in group]
        done = self.kept.restore(place.result, rows)
        super().run_batches(replace(job, log=self.kept.log), place, groups, labels, done)
        # This result is the input of the next stage, whose key has its checksums.
        self.checkpoint.learn_digests(place.result, done)


@contextmanager
def hold_checkpoint(folder: str | Path) -> Iterator[Callable[..., StageRun]]:
    """Open the checkpoint in `folder` for one run; yield a replacement for :class:`StageRun`.

    Raises
    ------
    FacetError
        If another run uses it, or the folder cannot be created or written to.
    """
    place = Path(folder).expanduser().absolute()  # workers may be in another working folder
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Samples of a person are nothing for other users of the machine.
        place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FacetError(
            f"checkpoint={str(folder)!r} cannot be created: {error.strerror}. Choose a folder that "
            "you may write to."
        ) from error
    with folder_lock.hold(place):
        checkpoint = Checkpoint(place)
        checkpoint.load()
        yield partial(KeptStageRun, checkpoint)
        try:
            # Not after an error: the next call resumes with what a failed run has kept.
            checkpoint.prune()
        except (FacetError, OSError) as error:  # the run itself is complete
            logger.warning("checkpoint: outdated files in %s cannot be removed: %s", place, error)


def _hash_rows(samples: np.ndarray, rows: Sequence[int]) -> list[str]:
    """Return the checksums of rows."""
    digests = []
    for row in rows:
        digests.append(hash_row(samples[row]))
        scratch.forget(samples)  # of a mapped file, one row at a time is in memory
    return digests


def _read_rows(record: dict[str, Any]) -> dict[int, str]:
    rows, digests = record.get("rows"), record.get("sha256")
    # A line with a right checksum may hold anything: the folder is open to its owner.
    if not (isinstance(rows, list) and isinstance(digests, list) and len(rows) == len(digests)):
        return {}
    pairs = zip(rows, digests, strict=True)
    return {row: sha for row, sha in pairs if isinstance(row, int) and isinstance(sha, str)}


def _describe(step: Step) -> list[Any]:
    """Return the values that the result of a step depends on."""
    if isinstance(step, ArrayStep):
        # Without its notes: they are for the history, and contain durations.
        made = step.prepared
        decisions = [made.payload, made.sfreq, made.n_times, made.start]
        return [step.processor, decisions, step.rows, step.dtype]
    return [step.processor, step.rows, step.n_times, step.reports, step.dtype]


def _describe_header(holder: StageInput | ChannelStep) -> list[Any]:
    header = holder.header
    return [dict(header.info), header.first_samp, header.annotations]
