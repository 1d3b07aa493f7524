"""Subtraction of weighted templates: what all such corrections share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.correction.aas import check_artifact_length
from facet_nb.kernels.means import is_flat
from facet_nb.kernels.templates import averaging, subsample, weights
from facet_nb.kernels.templates.subtraction import subtract_templates
from facet_nb.kernels.templates.weights import Weights
from facet_nb.kernels.triggers.alignment import best_lags


@dataclass(frozen=True)
class TemplatePlan:
    """What all channels share.

    Attributes
    ----------
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch that templates are made from.
    aligned : ndarray of int, shape (n_epochs,)
        First sample of each artifact, where its template is subtracted.
    n_samples : int
        Length of an artifact.
    usable : ndarray of bool, shape (n_epochs,)
        Epochs that may enter a template.
    weights : Weights | None
        The epochs of each template; None where each channel has its own.
    layout : Layout | None
        Positions between samples, if those count.
    """

    starts: np.ndarray
    aligned: np.ndarray
    n_samples: int
    usable: np.ndarray
    weights: Weights | None = None
    layout: subsample.Layout | None = None


class TemplateCorrection(ArrayProcessor):
    """What corrections by weighted templates share; subclasses say which epochs make a template."""

    requires_triggers = True
    needs = "reference"
    subtracts = True
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

    def weigh(self, metadata: ProcessingMetadata, n_epochs: int) -> Weights | None:
        """Return which epochs make a template, or None if each channel's samples decide."""
        raise ValidationError(f"{type(self).__name__} has no weigh(metadata, n_epochs) method.")

    def weigh_channel(self, epochs: np.ndarray, usable: np.ndarray) -> Weights:
        """Return which epochs make a template of one channel, from its epochs."""
        raise ValidationError(f"{type(self).__name__} has no weigh_channel(epochs, usable) method.")

    def prepare(self, view: View) -> Prepared:
        """Decide which epochs make a template, and where artifacts begin."""
        self.check()
        metadata, x = view.metadata, view.reference
        assert x is not None
        n_samples = check_artifact_length(metadata.artifact_length)
        starts = np.asarray(metadata.triggers, dtype=np.int64) + view.offset
        usable = averaging.is_complete(starts, n_samples, view.n_times)
        check_reference(x, view.reference_name, usable, n_samples)
        rows = self.weigh(metadata, len(starts))
        plan = TemplatePlan(starts, starts, n_samples, usable)
        max_lag = max(1, int(self.search_window_factor * metadata.upsampling_factor))
        plan = self._place(plan, rows, x, max_lag)
        notes: dict[str, Any] = {"ref_channel": view.reference_name}
        if not usable.all():
            notes["incomplete_epochs"] = int((~usable).sum())
        if plan.weights is not None:
            size = np.diff(plan.weights.bounds)
            notes["epochs_per_template"] = [int(size.min()), int(size.max())]
        moved = not np.array_equal(plan.aligned, starts)
        return Prepared(
            plan, metadata={"triggers": plan.aligned - view.offset} if moved else {}, notes=notes
        )

    def check(self) -> None:
        """Raise :class:`ValidationError` if an argument makes no sense."""
        if self.window_size < 1:
            raise ValidationError(f"window_size={self.window_size} must be 1 or more.")
        if self.search_window_factor <= 0:
            raise ValidationError(
                f"search_window_factor={self.search_window_factor} must be above 0."
            )
        if self.subsample and self.apply_epoch_alpha_scaling:
            raise ValidationError(
                "subsample=True does not go with apply_epoch_alpha_scaling: leave it off, or use "
                "UpSample and DownSample."
            )

    def _place(
        self, plan: TemplatePlan, rows: Weights | None, x: np.ndarray, max_lag: int
    ) -> TemplatePlan:
        """Return the plan with weights, and with artifacts where they begin."""
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

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        plan: TemplatePlan = prepared.payload
        out = np.empty_like(x) if out is None else out
        correct = self._correct if plan.layout is None else self._correct_between
        for row, target in zip(x, out, strict=True):
            correct(row, plan, target)
        return out

    def _correct(self, x: np.ndarray, plan: TemplatePlan, out: np.ndarray) -> None:
        epochs = averaging.take_epochs(x, plan.starts, plan.n_samples)
        epochs -= x.mean()
        templates = self._average(epochs, plan)
        del epochs
        subtract_templates(
            x,
            plan.aligned,
            templates,
            np.arange(len(templates)),
            scale=self.apply_epoch_alpha_scaling,
            overlap=False,
            bridge=self.interpolate_volume_gaps,
            out=out,
        )

    def _correct_between(self, x: np.ndarray, plan: TemplatePlan, out: np.ndarray) -> None:
        """Correct one channel whose artifacts begin between samples."""
        layout = plan.layout
        assert layout is not None
        rows = plan.weights
        everyone = np.arange(len(layout.first))
        pool = everyone[layout.usable]
        spectra = np.zeros((len(everyone), layout.n_fft // 2 + 1), dtype=complex)
        for part in _portions(pool):
            spectra[part] = subsample.transform(x, layout, part, float(x.mean()))
        if rows is None:
            epochs = np.zeros((len(everyone), layout.n_samples))
            for part in _portions(pool):
                epochs[part] = subsample.epochs_of(spectra[part], layout)
            rows = self.weigh_channel(epochs, layout.usable)
            del epochs
        templates = weights.average(spectra, rows)
        del spectra
        if out is not x:
            out[...] = x
        for part in _portions(everyone):
            subsample.subtract(out, subsample.sample(templates[part], layout, part), layout, part)

    def can_overwrite(self) -> bool:
        """Whether the result may take the samples' place: nothing reads them a second time."""
        return not self.apply_epoch_alpha_scaling

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        return 8 * shape[1] * (5 if self.subsample else 3) + (4 << 20)


def _portions(which: np.ndarray) -> list[np.ndarray]:
    return [which[low : low + 64] for low in range(0, len(which), 64)]


def check_reference(x: np.ndarray, name: str | None, usable: np.ndarray, n_samples: int) -> None:
    """Raise :class:`ValidationError` if no template can be made of the reference channel."""
    if usable.sum() < 2:
        raise ValidationError(
            f"{int(usable.sum())} of {len(usable)} artifacts lie wholly within the recording; a "
            f"template needs at least two. Check the triggers, the artifact length ({n_samples} "
            "samples) and artifact_to_trigger_offset."
        )
    if is_flat(x):
        raise ValidationError(
            f"the reference channel {name} is flat: choose another with ref_channel=…, or mark it "
            "with raw.info['bads']."
        )
