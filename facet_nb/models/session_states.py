"""The states of a studio's session, each described in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.findings import Finding, merge_findings
from facet_nb.models.quick_look import CLEAR

if TYPE_CHECKING:
    from facet_nb.models.run_settings import RunSettings
    from facet_nb.models.studio_model import StudioModel


@dataclass(frozen=True)
class SessionState:
    """One state of a session.

    Attributes
    ----------
    name : str
        Its name.
    line : str
        What it says.
    mark : {"", "done", "look", "wrong", "busy"}
        Whether it is complete, to be looked at, wrong, or at work.
    """

    name: str
    line: str
    mark: str = ""


@dataclass(frozen=True)
class Effective:
    """The workers that a run will have.

    Attributes
    ----------
    n_jobs, n_workers : int
        Outer workers and inner threads that run.
    why_jobs, why_workers : str
        Why they differ from what was asked for; empty if they do not.
    """

    n_jobs: int
    n_workers: int
    why_jobs: str = ""
    why_workers: str = ""


def list_states(model: StudioModel) -> tuple[SessionState, ...]:
    """Return the states of a session, from the recording to the files."""
    return (
        _describe_recording(model),
        _describe_chain(model),
        _describe_run(model),
        _describe_tune(model),
        SessionState("Save", model.saving.line, "done" if model.saving.files else ""),
    )


def list_findings(model: StudioModel) -> tuple[Finding, ...]:
    """Return what is known of the recording and the result, the most serious first."""
    result, context = model.run.result, model.preview_context or model.recording.context
    found = [] if context is None else [*context.get_findings()]
    if result is not None:
        found += [*result.findings]
    return tuple(merge_findings(found))


def find_effective(run: RunSettings) -> Effective:
    """Return the workers that a run with these settings will have, and why."""
    try:
        plan = run.plan()
    except FacetError as error:
        return Effective(run.n_jobs, run.n_workers, str(error))
    jobs = max((s.n_jobs for s in plan.stages if s.kind == "channel_wise"), default=1)
    threads = max((s.n_workers for s in plan.stages), default=plan.n_workers)
    why_jobs = why_workers = ""
    if jobs != run.n_jobs and run.mode != "auto":
        why_jobs = f"not used in {run.mode}" if run.mode == "serial" else "too few batches"
    if threads != run.n_workers and run.mode != "auto":
        used = "not used in serial"
        why_workers = used if run.mode == "serial" else f"no core is left: {jobs} × {threads}"
    return Effective(jobs, threads, why_jobs, why_workers)


def count_channels(model: StudioModel) -> tuple[int, int]:
    """Return how many channels have finished a step of the run, and how many there are."""
    context = model.recording.context
    known = set() if context is None else set(context.get_raw().ch_names)
    done = {channel for _, channel in model.run.state.cells}
    # Steps on all channels at once are not counted: their cells have another name.
    return len(done & known), len(known & set(model.run.state.channels)) or len(known)


def is_outdated(model: StudioModel) -> bool:
    """Whether chain or settings have changed since the last run."""
    run = model.run
    done = run.finished
    return (
        run.result is not None
        and done is not None
        and (done.pipeline is not run.pipeline or done.settings != run.settings)
    )


def write_duration(seconds: float) -> str:
    """Return a duration as text, with two or three digits."""
    if seconds < 90:
        return f"{seconds:.2f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _describe_recording(model: StudioModel) -> SessionState:
    recording = model.recording
    if recording.status == "loading":
        return SessionState("Recording", "Reading …", "busy")
    if recording.status == "failed":
        return SessionState("Recording", f"Cannot read: {recording.error}", "wrong")
    found = list_findings(model)
    if recording.summary is None:
        return SessionState("Recording", "None yet")
    duration_s = round(recording.summary.duration_s, 1)
    size = f"{recording.summary.n_channels} channels, {duration_s:.8g} s"
    n = len(found)
    known = f". {n} thing{'s' if n > 1 else ''} to know" if n else ""
    open_ones = any(f.severity != "note" for f in found)
    return SessionState("Recording", size + known, "look" if open_ones else "done")


def _describe_chain(model: StudioModel) -> SessionState:
    chain = model.chain
    if chain.problem:
        return SessionState("Chain", chain.problem, "wrong")
    n = len(chain.pipeline)
    line = f"{chain.name}, {n} step{'' if n == 1 else 's'}. Valid"
    return SessionState("Chain", line, "done")


def _describe_run(model: StudioModel) -> SessionState:
    run = model.run
    if run.running:
        n, total = count_channels(model)
        text = f"{n} of {total} channels" if total else "Starting"
        return SessionState("Run", text if run.status == "running" else "Cancelling …", "busy")
    if run.status == "failed":
        where = run.state.failed_channel or run.state.failed_step
        return SessionState("Run", f"Stopped at {where}" if where else "Stopped", "wrong")
    if run.blocked:
        return SessionState("Run", "Not possible yet", "look")
    if run.status == "done":
        if is_outdated(model):
            return SessionState("Run", "Settings changed since this run")
        gain = "" if run.truth is None else f". {np.median(run.truth.after_db):.1f} dB"
        return SessionState("Run", f"Done in {write_duration(run.elapsed_s)}{gain}", "done")
    return SessionState("Run", "Cancelled" if run.status == "cancelled" else "Ready")


def _describe_tune(model: StudioModel) -> SessionState:
    quick, tune = model.quick, model.tune
    if tune.busy:
        return SessionState("Tune", "Measuring in fresh processes", "busy")
    if quick.running:
        n, total = quick.n_done, quick.n_planned
        return SessionState("Tune", f"Quick look, {n} of {total} points", "busy")
    if tune.table is not None and tune.table.points:
        return SessionState("Tune", "Measured", "done")
    best = quick.best
    if best is not None:
        gain = f"{best.speedup:.1f} × with {best.n_jobs} workers, at a first look"
        if best.speedup < CLEAR:
            gain = "No clear gain, at a first look"
        return SessionState("Tune", gain)
    return SessionState("Tune", "After the first run" if model.run.result is None else "Not yet")
