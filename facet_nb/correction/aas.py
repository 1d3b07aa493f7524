"""Averaged artifact subtraction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from facet_nb.core.docstrings import fill_doc
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.fused_kernel import FusedKernel
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.correction.aas_fused import EPOCH_S, AASPlan, UpsampledAAS
from facet_nb.correction.templates import AveragingCorrection, Shared
from facet_nb.correction.train_findings import tell_broken
from facet_nb.kernels.streams import (
    AverageStream,
    Blocks,
    BlockStream,
    SlidingStream,
    SubsampleSlidingStream,
)
from facet_nb.kernels.templates import averaging
from facet_nb.kernels.templates.late_alignment import LateAlignment
from facet_nb.kernels.templates.neighbours import average_sliding
from facet_nb.kernels.templates.subsample import Layout, find_broken, find_onsets, list_breaks
from facet_nb.kernels.templates.subsample_channel import correct
from facet_nb.kernels.templates.subtraction import subtract_templates
from facet_nb.kernels.triggers.alignment import best_lags
from facet_nb.kernels.windows import BlockWindows


@register_processor
@fill_doc
class AASCorrection(AveragingCorrection):
    r"""Averaged artifact subtraction (Allen et al. 2000).

    Artifact epochs are averaged to templates, and the templates are subtracted from the epochs.
    Each channel selects the epochs of a template by its own samples; the onsets of the artifacts
    are determined once, on the reference channel (``ref_channel``, recorded in the history).

    Parameters
    ----------
    window_size : int
        Number of epochs in a template.
    rel_window_position : float
        Offset of the epochs that may enter a block's template, in windows (-1 to 1); used with
        ``weighting="blocks"``.
    correlation_threshold : float
        Pearson correlation with the template that an epoch must exceed to be included (0 to 1].
    %(plot_artifacts)s
    %(realign_after_averaging)s
    %(search_window_factor)s
    %(interpolate_volume_gaps)s
    %(apply_epoch_alpha_scaling)s
    weighting : {"blocks", "sliding"}
        ``"blocks"``: one template for each block of `window_size` epochs, averaged from its first
        five and from those similar to them (FACETpy's rule). ``"sliding"``: for each epoch the mean
        of its `window_size` nearest neighbours without the epoch itself, so that its own EEG does
        not enter its template.
    %(ref_channel)s
    subsample : bool
        Whether to estimate artifact onsets between samples, and to shift epochs and templates by
        fractions of a sample in the Fourier domain. At the native rate this leaves less artifact
        than upsampling by ten, in a fraction of the time and memory: use it without ``UpSample``
        and ``DownSample``. It cannot be combined with `apply_epoch_alpha_scaling` or
        `interpolate_volume_gaps`.

    Notes
    -----
    A last block of fewer than five epochs uses the template of the block before it. Epochs that
    extend beyond the recording enter no template; their part within the recording is corrected.

    References
    ----------
    %(allen_2000)s
    """

    name = "aas_correction"
    description = "Averaged artifact subtraction"
    needs_first_pass = True
    heeds_pieces = True

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
        super().__init__(
            *(window_size, plot_artifacts, realign_after_averaging, search_window_factor),
            *(apply_epoch_alpha_scaling, ref_channel, subsample),
        )
        self.rel_window_position = rel_window_position
        self.correlation_threshold = correlation_threshold
        self.interpolate_volume_gaps = interpolate_volume_gaps
        self.weighting = weighting

    def prepare(self, view: View) -> Prepared:
        """Determine the onsets of the artifacts on the reference channel."""
        epochs = self._find_epochs(view)
        starts, n_samples, max_lag = epochs.starts, epochs.n_samples, epochs.max_lag
        assert view.reference is not None
        plan: AASPlan | Layout
        aligned: np.ndarray | LateAlignment
        mean: float | None = None
        if self.subsample:
            onsets = find_onsets(view.reference, starts, n_samples, max_lag=max_lag)
            if view.pieces:  # an artifact that is not whole cannot be aligned
                broken = self._find_broken(view, starts, n_samples)
                onsets[broken] = starts[broken] + np.median(onsets - starts)
            plan = Layout.of(onsets, n_samples, view.n_times).stop_at(view.pieces)
            aligned = plan.first
        else:
            aligned, mean = self._align(view, starts, n_samples, max_lag)
            plan = AASPlan(starts, aligned, n_samples)
        prepared = self._report(view, plan, epochs, aligned)
        if mean is not None:
            prepared = replace(prepared, shared=Shared(mean, prepared.findings, epochs.pace))
        if view.pieces and (told := self._tell_breaks(view, np.asarray(aligned), n_samples)):
            prepared = replace(prepared, findings=(*prepared.findings, *told))
        n = int(epochs.usable.sum())
        if n > self.window_size:
            return prepared
        detail = f"There are {n} whole artifacts for templates of {self.window_size}."
        few = make_finding("epochs_few", detail, n=n, window_size=self.window_size)
        return replace(prepared, findings=(*prepared.findings, few))

    @staticmethod
    def _find_broken(view: View, starts: np.ndarray, n_samples: int) -> np.ndarray:
        return find_broken(starts, n_samples, list_breaks(view.pieces, view.n_times))

    def _tell_breaks(self, view: View, starts: np.ndarray, n_samples: int) -> list[Finding]:
        """Return a finding about artifacts that reach over a break in time."""
        if not view.pieces:
            return []
        broken = starts[self._find_broken(view, starts, n_samples)]
        spans = [(s / view.sfreq, (s + n_samples) / view.sfreq) for s in broken.tolist()]
        if self.subsample or not spans:
            return tell_broken(spans)
        detail = f"{len(spans)} artifacts that reach over a break enter their templates."
        return [make_finding("breaks_ignored", detail, span_s=spans, n=len(spans))]

    def check(self) -> None:
        """Raise :class:`ValidationError` if an argument is invalid."""
        super().check()
        if not 0 < self.correlation_threshold <= 1:
            raise ValidationError(
                f"correlation_threshold={self.correlation_threshold} must be above 0 and at most 1."
            )
        if not -1.0 <= self.rel_window_position <= 1.0:
            raise ValidationError(
                f"rel_window_position={self.rel_window_position} must be from -1 to 1."
            )
        if self.weighting not in ("blocks", "sliding"):
            raise ValidationError(f"weighting={self.weighting!r}: use 'blocks' or 'sliding'.")
        if self.subsample and self.rel_window_position:
            raise ValidationError("subsample=True needs rel_window_position=0.")

    def _align(
        self, view: View, starts: np.ndarray, n_samples: int, max_lag: int
    ) -> tuple[np.ndarray | LateAlignment, float | None]:
        """Return the aligned artifacts, and the mean of the reference channel if it was needed."""
        x = view.reference
        assert x is not None
        if not self.realign_after_averaging:
            return starts, None
        if view.earlier is not None:
            window, shift = self.window_size, self._shift()
            mean = view.earlier.shared.mean
            given = (n_samples, max_lag, window, self.correlation_threshold, shift)
            return LateAlignment(x, mean, starts, *given), mean
        mean = None if self.weighting == "sliding" else averaging.mean_of(x)
        templates, which = self._average(x, starts, n_samples, mean)
        return starts + best_lags(x, starts, templates, max_lag, which), mean

    def can_follow(self, earlier: ArrayProcessor) -> bool:
        """Return whether only the alignment is decided anew; see :class:`ArrayProcessor`."""
        if type(self) is not AASCorrection or type(earlier) is not AASCorrection:
            return False
        alike = all(p.realign_after_averaging and not p.why_not_windowed() for p in (self, earlier))
        return alike and self.ref_channel == earlier.ref_channel

    def _shift(self) -> int:
        """Return the offset of a block's candidate epochs, in epochs."""
        return int(self.window_size * self.rel_window_position)

    def _average(
        self, x: np.ndarray, starts: np.ndarray, n_samples: int, mean: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        window, threshold = self.window_size, self.correlation_threshold
        if self.weighting == "sliding":
            templates = average_sliding(x, starts, n_samples, window=window, threshold=threshold)
            return templates, np.arange(len(starts))
        return averaging.average_blocks(
            *(x, starts, n_samples),
            window=window,
            threshold=threshold,
            shift=self._shift(),
            mean=mean,
        )

    def correct_channel(self, x: np.ndarray, plan: AASPlan | Layout, out: np.ndarray) -> None:
        """Write the corrected channel to `out`; see :class:`ChannelCorrection`."""
        if isinstance(plan, Layout):
            correct(
                x,
                plan,
                window=self.window_size,
                threshold=self.correlation_threshold,
                sliding=self.weighting == "sliding",
                out=out,
            )
            return
        templates, which = self._average(x, plan.starts, plan.n_samples)
        subtract_templates(
            x,
            np.asarray(plan.aligned),
            templates,
            which,
            scale=self.apply_epoch_alpha_scaling,
            overlap=self.weighting == "blocks",
            bridge=self.interpolate_volume_gaps,
            out=out,
        )

    def fuse(self, factor: int) -> FusedKernel | str:
        """Return the correction at twice the native rate; see :class:`ArrayProcessor`."""
        if type(self) is not AASCorrection:
            return "may compute something else: it is a subclass of AASCorrection"
        if self.weighting != "blocks":
            return f"makes a template for each epoch (weighting={self.weighting!r})"
        for option in ("apply_epoch_alpha_scaling", "interpolate_volume_gaps", "subsample"):
            if getattr(self, option):
                return f"needs the samples at the high rate ({option}=True)"
        return UpsampledAAS(
            factor,
            self.window_size,
            self.correlation_threshold,
            self._shift(),
        )

    @property
    def float32_safe(self) -> bool:  # type: ignore[override]
        """Whether float32 samples stay float32: with `subsample`, to 2e-6 of the peak."""
        return self.subsample

    def why_not_chunked(self) -> str | None:
        """Return why the correction cannot run in chunks; None if it can."""
        if self._overrides(AASCorrection):
            return "overrides how channels are computed"
        return None

    def stream(self, prepared: Prepared, n_times: int, dtype: np.dtype, known: Any) -> Any:
        """Return the correction of one channel in blocks; see :class:`ArrayProcessor`."""
        plan: AASPlan | Layout = prepared.payload
        window, threshold = self.window_size, self.correlation_threshold
        sliding = self.weighting == "sliding"
        if isinstance(plan, Layout):
            kind = SubsampleSlidingStream if sliding else AverageStream
            return kind.make(plan, window, threshold, known, dtype)
        blocks = Blocks(
            plan.starts,
            plan.aligned,
            plan.n_samples,
            n_times,
            window,
            threshold,
            self._shift(),
            self.apply_epoch_alpha_scaling,
            self.interpolate_volume_gaps,
        )
        return (SlidingStream if sliding else BlockStream).make(blocks, known)

    def why_not_windowed(self) -> str | None:
        """Return why windows need whole channels; None if they do not."""
        if self._overrides(AASCorrection):
            return "overrides how channels are computed"
        if self.subsample or self.weighting != "blocks":
            return "sums its epochs over the whole channel"
        if self.apply_epoch_alpha_scaling or self.interpolate_volume_gaps:
            return "scales or joins templates over the whole channel"
        return None

    def windows(self, prepared: Prepared, n_times: int) -> Any:
        """Return the correction over windows; see :class:`ArrayProcessor`."""
        if self.why_not_windowed() is not None:
            return None
        plan: AASPlan = prepared.payload
        window, threshold = self.window_size, self.correlation_threshold
        blocks = Blocks(
            plan.starts, plan.aligned, plan.n_samples, n_times, window, threshold, self._shift()
        )
        return BlockWindows(blocks, lambda: self.first_pass(prepared))

    def stream_memory(self, chunk: int, sfreq: float) -> int:
        """Return the memory of one stream, in bytes: samples and epochs of a block."""
        block = self.window_size * EPOCH_S * sfreq
        copies = 8.5 if self.weighting == "sliding" else 4.0
        return int(8 * (4 * chunk + copies * block)) + (4 << 20)

    def can_overwrite(self) -> bool:
        """Whether the result may replace the samples, which is so if they are read only once."""
        return not (self.apply_epoch_alpha_scaling or self.subsample)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory for one channel, in bytes."""
        copies = 3 if self.weighting == "sliding" else 1
        if self.subsample:
            copies = 6 if self.weighting == "sliding" else 1
        return 8 * shape[1] * copies + (8 << 20)

    def memory_to_prepare(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory of the alignment, in bytes."""
        copies = 2 if self.weighting == "sliding" and not self.subsample else 0
        return 8 * shape[1] * copies + ((32 if self.subsample else 8) << 20)


#: The name of this class in FACETpy.
AveragedArtifactSubtraction = AASCorrection
