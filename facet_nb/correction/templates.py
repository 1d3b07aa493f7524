"""Subtraction of averaged or weighted templates: the base classes of these corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.metadata import Postponed, ProcessingMetadata
from facet_nb.core.parameters import MOST
from facet_nb.core.processor import Prepared, View
from facet_nb.correction.aas_fused import AASPlan
from facet_nb.correction.base import (
    ChannelCorrection,
    check_reference,
    find_artifacts,
)
from facet_nb.correction.train_findings import tell_drift, tell_lost, tell_unmarked
from facet_nb.kernels.templates import averaging, subsample, weights
from facet_nb.kernels.templates.late_alignment import LateAlignment
from facet_nb.kernels.templates.subtraction import subtract_templates
from facet_nb.kernels.templates.weights import Weights
from facet_nb.kernels.triggers.alignment import best_lags
from facet_nb.kernels.triggers.pace import Pace, keep_pace

#: Most steps of the original rate by which an artifact is searched on either side.
_WIDEST = 1_000


@dataclass(frozen=True)
class Epochs:
    """The artifacts of a recording.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        Their first samples.
    n_samples : int
        Their length, in samples.
    usable : ndarray of bool, shape (n_epochs,)
        Which lie wholly within the recording.
    max_lag : int
        Largest shift, in samples.
    pace : Pace
        Whether they keep the time of their markers.
    """

    starts: np.ndarray
    n_samples: int
    usable: np.ndarray
    max_lag: int
    pace: Pace


@dataclass(frozen=True)
class Shared:
    """What corrections of other parameters take over.

    Attributes
    ----------
    mean : float
        Mean of the reference channel, in V.
    findings : tuple of Finding
        Findings that do not depend on the parameters.
    pace : Pace
        Whether artifacts keep the time of their markers.
    """

    mean: float
    findings: tuple[Finding, ...]
    pace: Pace


class AveragingCorrection(ChannelCorrection):
    """Base class of corrections that subtract averages of artifact epochs."""

    loads_scipy_signal = False
    needs = "reference"
    interpolate_volume_gaps: bool = False

    def __init__(
        self,
        window_size: int = 30,
        plot_artifacts: bool = False,
        realign_after_averaging: bool = True,
        search_window_factor: float = 3.0,
        apply_epoch_alpha_scaling: bool = False,
        ref_channel: int | str | None = None,
        subsample: bool = False,
    ) -> None:
        self.window_size = window_size
        self.plot_artifacts = plot_artifacts
        self.realign_after_averaging = realign_after_averaging
        self.search_window_factor = search_window_factor
        self.apply_epoch_alpha_scaling = apply_epoch_alpha_scaling
        self.ref_channel = ref_channel
        self.subsample = subsample

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self.check()

    def check(self) -> None:
        """Raise :class:`ValidationError` if an argument is invalid."""
        if not 1 <= self.window_size <= MOST:
            raise ValidationError(
                f"window_size={self.window_size} must be 1 or more, at most {MOST} epochs."
            )
        if not 0 < self.search_window_factor <= _WIDEST:
            raise ValidationError(
                f"search_window_factor={self.search_window_factor} must be above 0, at most "
                f"{_WIDEST}."
            )
        for option in ("apply_epoch_alpha_scaling", "interpolate_volume_gaps"):
            if self.subsample and getattr(self, option):
                raise ValidationError(
                    f"subsample=True cannot be combined with {option}=True: turn one of them off, "
                    "or use UpSample and DownSample in place of subsample."
                )

    def _find_epochs(self, view: View) -> Epochs:
        """Return the epochs of the artifacts."""
        self.check()
        assert view.reference is not None
        given, n_samples = find_artifacts(view)
        if view.earlier is not None:
            pace = view.earlier.shared.pace
        else:
            pace = keep_pace(view.reference, given, view.sfreq)
        starts = pace.starts
        n_samples = pace.stretch(n_samples)
        usable = averaging.is_complete(starts, n_samples, view.n_times)
        if view.earlier is None:  # the samples have not changed since
            check_reference(view.reference, view.reference_name, usable, n_samples)
        max_lag = max(1, int(self.search_window_factor * view.metadata.upsampling_factor))
        return Epochs(starts, n_samples, usable, max_lag, pace)

    def _report(
        self, view: View, plan: Any, epochs: Epochs, aligned: np.ndarray | LateAlignment
    ) -> Prepared:
        """Return `plan` with the aligned triggers and the notes for the history."""
        notes: dict[str, Any] = {"ref_channel": view.reference_name}
        starts, usable, n_samples = epochs.starts, epochs.usable, epochs.n_samples
        if view.earlier is not None:
            findings = list(view.earlier.shared.findings)
        else:
            unmarked = tell_unmarked(view, starts, starts)
            findings = [*unmarked, *tell_lost(view), *tell_drift([epochs.pace], view.sfreq)]
        if not usable.all():
            notes["incomplete_epochs"] = int((~usable).sum())
            if view.earlier is None:
                findings.append(_tell_incomplete(view, starts[~usable], n_samples))
        changes: dict[str, Any] = {}
        if isinstance(aligned, LateAlignment):
            late = Postponed(len(starts), lambda: np.asarray(aligned) - view.offset)
            changes["triggers"] = late
        elif not np.array_equal(aligned, epochs.pace.given):
            changes["triggers"] = aligned - view.offset
        if n_samples != view.metadata.artifact_length:
            changes["artifact_length"] = n_samples
        return Prepared(plan, metadata=changes, notes=notes, findings=tuple(findings))


def _tell_incomplete(view: View, starts: np.ndarray, n_samples: int) -> Finding:
    spans = [(s / view.sfreq, (s + n_samples) / view.sfreq) for s in starts]
    detail = f"{len(starts)} artifacts extend beyond the recording and enter no template."
    return make_finding("epochs_incomplete", detail, span_s=spans, n=len(starts))


@dataclass(frozen=True)
class TemplatePlan(AASPlan):
    """Decisions that all channels share: those of :class:`AASPlan`, and the templates.

    Attributes
    ----------
    usable : ndarray of bool, shape (n_epochs,)
        Epochs that may enter a template.
    weights : Weights | None
        The epochs of each template; None if each channel has its own.
    layout : Layout | None
        Onsets between samples; None if artifacts start at samples.
    sfreq : float
        Sampling rate, in Hz.
    """

    usable: np.ndarray
    weights: Weights | None = None
    layout: subsample.Layout | None = None
    sfreq: float = 1.0


class TemplateCorrection(AveragingCorrection):
    """Base class of corrections by weighted templates; subclasses choose the epochs of each one."""

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights | None:
        """Return the epochs of each template, or None if every channel has its own."""
        raise ValidationError(f"{type(self).__name__} has no weigh(metadata, n_epochs) method.")

    def weigh_channel(self, epochs: np.ndarray, usable: np.ndarray) -> Weights:
        """Return the epochs of each template of one channel, chosen by their samples."""
        raise ValidationError(f"{type(self).__name__} has no weigh_channel(epochs, usable) method.")

    def compared_above_hz(self) -> float:
        """Return the lowest frequency that ``weigh_channel`` sees with ``subsample=True``."""
        return 0.0

    def prepare(self, view: View) -> Prepared:
        """Choose the epochs of each template, and find the onsets of the artifacts."""
        epochs = self._find_epochs(view)
        starts, n_samples, usable = epochs.starts, epochs.n_samples, epochs.usable
        assert view.reference is not None
        rows = self.weigh(view.metadata, len(starts))
        plan = TemplatePlan(starts, starts, n_samples, usable, sfreq=view.sfreq)
        plan = self._place(plan, rows, view.reference, epochs.max_lag)
        prepared = self._report(view, plan, epochs, plan.aligned)
        if plan.weights is None:
            return prepared
        size = np.diff(plan.weights.bounds)
        sizes = {"epochs_per_template": [int(size.min()), int(size.max())]}
        return replace(prepared, notes={**prepared.notes, **sizes})

    def _place(
        self, plan: TemplatePlan, rows: Weights | None, x: np.ndarray, max_lag: int
    ) -> TemplatePlan:
        """Return the plan with the weights and the aligned onsets."""
        if self.subsample:
            onsets = subsample.find_onsets(x, plan.starts, plan.n_samples, max_lag=max_lag)
            layout = subsample.Layout.of(onsets, plan.n_samples, len(x))
            if layout.usable.sum() < 2:
                raise ValidationError(
                    "fewer than two artifacts lie far enough within the recording for "
                    "subsample=True: leave it off."
                )
            plan = replace(plan, layout=layout, usable=layout.usable, aligned=layout.first)
        if rows is not None:
            plan = replace(plan, weights=rows.restrict(plan.usable))
        if not self.realign_after_averaging or self.subsample:
            return plan
        templates = self._average(averaging.take_epochs(x, plan.starts, plan.n_samples), plan)
        templates -= x.mean()
        return replace(plan, aligned=plan.starts + best_lags(x, plan.starts, templates, max_lag))

    def _average(self, epochs: np.ndarray, plan: TemplatePlan) -> np.ndarray:
        rows = plan.weights
        if rows is None:
            rows = self.weigh_channel(epochs, plan.usable)
        return weights.average(epochs, rows)

    def correct_channel(self, x: np.ndarray, plan: TemplatePlan, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        if plan.layout is not None:
            self._correct_between(x, plan, plan.layout, out)
            return
        epochs = averaging.take_epochs(x, plan.starts, plan.n_samples)
        epochs -= x.mean()
        templates = self._average(epochs, plan)
        del epochs
        subtract_templates(
            x,
            np.asarray(plan.aligned),
            templates,
            np.arange(len(templates)),
            scale=self.apply_epoch_alpha_scaling,
            overlap=False,
            bridge=self.interpolate_volume_gaps,
            out=out,
        )

    def _correct_between(
        self, x: np.ndarray, plan: TemplatePlan, layout: subsample.Layout, out: np.ndarray
    ) -> None:
        """Correct one channel whose artifacts start between samples."""
        rows = plan.weights
        all_epochs = np.arange(len(layout.first))
        pool = all_epochs[layout.usable]
        spectra = np.zeros((len(all_epochs), layout.n_fft // 2 + 1), dtype=complex)
        for part in _portions(pool):
            spectra[part] = subsample.transform(x, layout, part, float(x.mean()))
        if rows is None:
            epochs = np.zeros((len(all_epochs), layout.n_samples))
            first = math.ceil(self.compared_above_hz() / plan.sfreq * layout.n_fft)
            for part in _portions(pool):
                compared = spectra[part]
                compared[:, :first] = 0.0
                epochs[part] = subsample.epochs_of(compared, layout)
            rows = self.weigh_channel(epochs, layout.usable)
            del epochs
        # Shifts are linear: averaging the spectra costs one inverse transform for each template.
        templates = weights.average(spectra, rows)
        del spectra
        if out is not x:
            out[...] = x
        for part in _portions(all_epochs):
            subsample.subtract(out, subsample.sample(templates[part], layout, part), layout, part)

    def can_overwrite(self) -> bool:
        """Whether the result may replace the samples: scaling reads them a second time."""
        return not self.apply_epoch_alpha_scaling

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * (5 if self.subsample else 3) + (4 << 20)


def _portions(which: np.ndarray) -> list[np.ndarray]:
    """Return `which` in portions of 64 epochs, which bound the memory of the transforms."""
    return [which[low : low + 64] for low in range(0, len(which), 64)]
