"""Averaged artifact subtraction."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.fused_kernel import FusedKernel
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.aas_fused import EPOCH_S, AASPlan, UpsampledAAS
from facet_nb.kernels.compiled.dispatch import has_compiler
from facet_nb.kernels.means import is_flat
from facet_nb.kernels.streams import (
    AverageStream,
    Blocks,
    BlockStream,
    MovedSlidingStream,
    SlidingStream,
)
from facet_nb.kernels.templates import averaging
from facet_nb.kernels.templates.neighbours import average_sliding
from facet_nb.kernels.templates.subsample import Layout, find_onsets
from facet_nb.kernels.templates.subsample_channel import correct
from facet_nb.kernels.templates.subtraction import subtract_templates
from facet_nb.kernels.triggers.alignment import best_lags

logger = logging.getLogger("facet_nb")


@register_processor
class AASCorrection(ArrayProcessor):
    r"""Averaged artifact subtraction (Allen et al. 2000).

    A template is the mean of epochs; it is subtracted at each of them. Which epochs make a
    template is decided for each channel by its own samples; where artifacts begin is decided once,
    on the reference channel (``ref_channel``, recorded in the history).

    Parameters
    ----------
    window_size : int
        Epochs in a template.
    rel_window_position : float
        Shift of the epochs that may enter a block's template, in windows (-1 to 1); for
        ``weighting="blocks"``.
    correlation_threshold : float
        Pearson correlation with the template that an epoch must exceed to take part (0 to 1].
    plot_artifacts : bool
        Accepted for compatibility; use ``result.plot()``.
    realign_after_averaging : bool
        Move each trigger to where the template fits the reference channel best.
    search_window_factor : float
        Largest move, in samples of the original rate.
    interpolate_volume_gaps : bool
        Subtract a straight line between one template's end and the next one's start.
    apply_epoch_alpha_scaling : bool
        Scale each template to its epoch by least squares. It takes EEG away where the artifact is
        weak: leave it off unless the amplitude changes from epoch to epoch.
    weighting : {"blocks", "sliding"}
        ``"blocks"``: one template for each block of `window_size` epochs, made of its first five
        and of those like them (FACETpy's rule). ``"sliding"``: for each epoch the mean of its
        `window_size` nearest neighbours without itself, so that its own EEG is not in it.
    ref_channel : int | str | None
        The reference channel; the first EEG channel by default.
    subsample : bool
        Find where artifacts begin between samples, and move epochs and templates there in the
        Fourier domain. At the native rate this leaves less artifact than upsampling ten times, in
        a fraction of its time and memory: use it without ``UpSample`` and ``DownSample``. It goes
        neither with scaling nor with gap interpolation.

    Notes
    -----
    A last block of fewer than five epochs uses the template of the block before. Epochs that
    reach beyond the recording enter no template, and are corrected as far as they go.

    References
    ----------
    Allen, P. J., Josephs, O., & Turner, R. (2000). A method for removing imaging artifact from
    continuous EEG recorded during functional MRI. NeuroImage, 12(2), 230-239.
    doi:10.1006/nimg.2000.0599
    """

    name = "aas_correction"
    description = "Averaged artifact subtraction"
    requires_triggers = True
    needs = "reference"
    subtracts = True
    needs_first_pass = True

    def __init__(
        self,
        window_size: int = 30,
        rel_window_position: float = 0.0,
        correlation_threshold: float = 0.975,
        plot_artifacts: bool = False,
        realign_after_averaging: bool = True,
        search_window_factor: float = 3.0,
        interpolate_volume_gaps: bool = False,
        apply_epoch_alpha_scaling: bool = False,
        weighting: str = "blocks",
        ref_channel: int | str | None = None,
        subsample: bool = False,
    ) -> None:
        self.window_size = window_size
        self.rel_window_position = rel_window_position
        self.correlation_threshold = correlation_threshold
        self.plot_artifacts = plot_artifacts
        self.realign_after_averaging = realign_after_averaging
        self.search_window_factor = search_window_factor
        self.interpolate_volume_gaps = interpolate_volume_gaps
        self.apply_epoch_alpha_scaling = apply_epoch_alpha_scaling
        self.weighting = weighting
        self.ref_channel = ref_channel
        self.subsample = subsample

    def prepare(self, view: View) -> Prepared:
        """Decide where artifacts begin, on the reference channel."""
        self._check()
        metadata = view.metadata
        n_samples = check_artifact_length(metadata.artifact_length)
        triggers = np.asarray(metadata.triggers, dtype=np.int64)
        starts = triggers + view.offset
        usable = averaging.is_complete(starts, n_samples, view.n_times)
        if usable.sum() < 2:
            raise ValidationError(
                f"{int(usable.sum())} of {len(starts)} artifacts lie wholly within the recording; "
                "a template needs at least two. Check the triggers, the artifact length "
                f"({n_samples} samples) and artifact_to_trigger_offset."
            )
        assert view.reference is not None
        if is_flat(view.reference):
            raise ValidationError(
                f"the reference channel {view.reference_name} is flat: choose another with "
                "ref_channel=…, or mark it with raw.info['bads']."
            )
        max_lag = max(1, int(self.search_window_factor * metadata.upsampling_factor))
        plan: AASPlan | Layout
        if self.subsample:
            onsets = find_onsets(view.reference, starts, n_samples, max_lag=max_lag)
            plan = Layout.of(onsets, n_samples, view.n_times)
            aligned = plan.first
        else:
            aligned = self._realign(view.reference, starts, n_samples, max_lag)
            plan = AASPlan(starts, aligned, n_samples)
        notes: dict[str, Any] = {"ref_channel": view.reference_name}
        if not usable.all():
            notes["incomplete_epochs"] = int((~usable).sum())
        if usable.sum() <= self.window_size:
            logger.warning(
                "AASCorrection: %d whole artifacts, fewer than window_size=%d: the window is "
                "smaller.",
                int(usable.sum()),
                self.window_size,
            )
        changes = {} if np.array_equal(aligned, starts) else {"triggers": aligned - view.offset}
        return Prepared(plan, metadata=changes, notes=notes)

    def _check(self) -> None:
        if self.window_size < 1:
            raise ValidationError(f"window_size={self.window_size} must be 1 or more epochs.")
        if not 0 < self.correlation_threshold <= 1:
            raise ValidationError(
                f"correlation_threshold={self.correlation_threshold} must be above 0 and at most 1."
            )
        if not -1.0 <= self.rel_window_position <= 1.0:
            raise ValidationError(
                f"rel_window_position={self.rel_window_position} must be from -1 to 1."
            )
        if self.search_window_factor <= 0:
            raise ValidationError(
                f"search_window_factor={self.search_window_factor} must be above 0."
            )
        if self.weighting not in ("blocks", "sliding"):
            raise ValidationError(f"weighting={self.weighting!r}: use 'blocks' or 'sliding'.")
        if self.subsample and (self.apply_epoch_alpha_scaling or self.interpolate_volume_gaps):
            raise ValidationError(
                "subsample=True goes neither with apply_epoch_alpha_scaling nor with "
                "interpolate_volume_gaps: leave them off, or use UpSample and DownSample."
            )
        if self.subsample and self.rel_window_position:
            raise ValidationError("subsample=True needs rel_window_position=0.")

    def _realign(
        self, x: np.ndarray, starts: np.ndarray, n_samples: int, max_lag: int
    ) -> np.ndarray:
        if not self.realign_after_averaging:
            return starts
        templates, which = self._average(x, starts, n_samples)
        return starts + best_lags(x, starts, templates, max_lag, which)

    def _average(
        self, x: np.ndarray, starts: np.ndarray, n_samples: int
    ) -> tuple[np.ndarray, np.ndarray]:
        window, threshold = self.window_size, self.correlation_threshold
        if self.weighting == "sliding":
            templates = average_sliding(x, starts, n_samples, window=window, threshold=threshold)
            return templates, np.arange(len(starts))
        shift = int(window * self.rel_window_position)
        return averaging.average_blocks(
            x, starts, n_samples, window=window, threshold=threshold, shift=shift
        )

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the corrected channels; see :class:`ArrayProcessor`."""
        plan: AASPlan | Layout = prepared.payload
        out = np.empty_like(x) if out is None else out
        if isinstance(plan, Layout):
            for row, target in zip(x, out, strict=True):
                correct(
                    row,
                    plan,
                    window=self.window_size,
                    threshold=self.correlation_threshold,
                    sliding=self.weighting == "sliding",
                    out=target,
                )
            return out
        for row, target in zip(x, out, strict=True):
            templates, which = self._average(row, plan.starts, plan.n_samples)
            subtract_templates(
                row,
                plan.aligned,
                templates,
                which,
                scale=self.apply_epoch_alpha_scaling,
                overlap=self.weighting == "blocks",
                bridge=self.interpolate_volume_gaps,
                out=target,
            )
        return out

    def fuse(self, factor: int) -> FusedKernel | str:
        """Return the way from twice the native rate; see :class:`ArrayProcessor`."""
        if type(self) is not AASCorrection:
            return "may do something of its own: it is a subclass of AASCorrection"
        if self.weighting != "blocks":
            return f"makes a template for each epoch (weighting={self.weighting!r})"
        for option in ("apply_epoch_alpha_scaling", "interpolate_volume_gaps", "subsample"):
            if getattr(self, option):
                return f"needs the samples at the high rate ({option}=True)"
        return UpsampledAAS(
            factor,
            self.window_size,
            self.correlation_threshold,
            int(self.window_size * self.rel_window_position),
        )

    @property
    def float32_safe(self) -> bool:  # type: ignore[override]
        """Whether float32 is computed in float32: at the native rate, to 2e-6 of the peak."""
        return self.subsample

    def why_not_chunked(self) -> str | None:
        """Return why the correction cannot run in chunks; None if it can."""
        if type(self).compute is not AASCorrection.compute:
            return "computes in a way of its own"
        return None if has_compiler() or not self.subsample else "needs numba for it"

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the correction of one channel, block by block; see :class:`ArrayProcessor`."""
        plan: AASPlan | Layout = prepared.payload
        window, threshold = self.window_size, self.correlation_threshold
        sliding = self.weighting == "sliding"
        if isinstance(plan, Layout):
            kind = MovedSlidingStream if sliding else AverageStream
            return kind.make(plan, window, threshold, known, dtype)
        blocks = Blocks(
            plan.starts,
            plan.aligned,
            plan.n_samples,
            n_times,
            window,
            threshold,
            int(window * self.rel_window_position),
            self.apply_epoch_alpha_scaling,
            self.interpolate_volume_gaps,
        )
        return (SlidingStream if sliding else BlockStream).make(blocks, known)

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: samples and epochs of a block."""
        block = self.window_size * EPOCH_S * sfreq
        copies = 8.5 if self.weighting == "sliding" else 4.0
        return int(8 * (4 * chunk + copies * block)) + (4 << 20)

    def can_overwrite(self) -> bool:
        """Whether the result may take the samples' place: nothing reads them a second time."""
        return not (self.apply_epoch_alpha_scaling or self.subsample)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        copies = 3 if self.weighting == "sliding" else 1
        if self.subsample:
            copies = 6 if self.weighting == "sliding" else 1
        return 8 * shape[1] * copies + (8 << 20)

    def memory_to_prepare(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of finding the artifacts, in bytes."""
        copies = 2 if self.weighting == "sliding" and not self.subsample else 0
        return 8 * shape[1] * copies + ((32 if self.subsample else 8) << 20)


def check_artifact_length(length: int | None) -> int:
    """Return the artifact length in samples, or raise if it is not known."""
    if length is None or length < 1:
        raise ValidationError(
            "the artifact length is not known (fewer than two triggers?). Run TriggerDetector "
            "first, or set it: context.with_trigger_samples(samples, artifact_length=…)."
        )
    return int(length)


#: FACETpy's other name of the same class.
AveragedArtifactSubtraction = AASCorrection
