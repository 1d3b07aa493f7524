"""Chains that are ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.pipeline import Pipeline
from facet_nb.core.processor import Processor
from facet_nb.correction import (
    AASCorrection,
    ANCCorrection,
    GradientCorrection,
    PCACorrection,
)
from facet_nb.evaluation import (
    FFTAllenCalculator,
    FFTNiazyCalculator,
    LegacySNRCalculator,
    MedianArtifactCalculator,
    MetricsReport,
    RMSCalculator,
    RMSResidualCalculator,
    SNRCalculator,
)
from facet_nb.io import Exporter, Loader
from facet_nb.preprocessing import (
    CutAcquisitionWindow,
    DownSample,
    HighPassFilter,
    LowPassFilter,
    PasteAcquisitionWindow,
    SliceAligner,
    SubsampleAligner,
    TriggerDetector,
    UpSample,
)

__all__ = ["PlotBeforeAfter", "create_standard_pipeline", "gradient_correction"]

_HIGHPASS_HZ = 1.0
_LOWPASS_HZ = 70.0


class PlotBeforeAfter(Processor):
    """Plot one channel before and after, and what was removed; the picture stays in the context.

    It is in the cache of the result's context: ``result.context.cache_get("picture")``, a
    :class:`facet_nb.plots.Picture` that notebooks show.

    Parameters
    ----------
    channel : str | int | None
        Name or position; None for the first good data channel.
    start : float | None
        Begin, in s; by default 1 s before the first trigger.
    duration : float
        Length, in s.
    save_path : path | None
        Also write the picture to this file.
    """

    description = "Plot one channel before and after"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True

    def __init__(
        self,
        channel: str | int | None = None,
        start: float | None = None,
        duration: float = 10.0,
        save_path: str | Path | None = None,
    ) -> None:
        self.channel = channel
        self.start = start
        self.duration = duration
        self.save_path = save_path

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context with the picture in its cache."""
        from facet_nb.plots import plot_before_after

        start = self.start
        if start is None:
            start = self._find_start(context)
        end = min(start + self.duration, float(context.get_raw_original().times[-1]))
        picture = plot_before_after(context, self.channel, start, end)
        if self.save_path is not None:
            picture.savefig(self.save_path)
        new = context._derive()
        new.cache_set("picture", picture)
        return new

    def _find_start(self, context: ProcessingContext) -> float:
        """Return 1 s before the first trigger, or the beginning, in s."""
        if not context.has_triggers():
            return 0.0
        triggers = context.get_triggers()
        assert triggers is not None
        return max(0.0, float(triggers[0]) / context.get_sfreq() - 1.0)


def gradient_correction(
    trigger_regex: str = r"\b1\b",
    input_path: str | Path | None = None,
    output_path: str | Path | None = None,
    *,
    l_freq: float | None = None,
    h_freq: float | None = _LOWPASS_HZ,
    artifact_to_trigger_offset: float = 0.0,
    slices: int | str | None = "auto",
    ref_channel: int | str | None = None,
) -> Pipeline:
    r"""Return our own chain: find triggers, subtract the gradient artifact, low-pass.

    The correction is :class:`facet_nb.GradientCorrection`. It works on the recording as it is:
    nothing is upsampled, aligned or high-passed before. Slice and volume markers will do.

    Parameters
    ----------
    trigger_regex : str
        What triggers are called; see :class:`facet_nb.TriggerDetector`. ``r"R128"`` for the volume
        markers of BrainVision.
    input_path : path | None
        The recording. Without it the chain runs on a context: ``pipeline.run(initial_context)``.
    output_path : path | None
        Where the result goes, overwriting what is there; the suffix says the format. Without it
        the result is in memory only.
    l_freq, h_freq : float | None
        Edges of a high-pass and of a low-pass behind the correction, in Hz; None leaves it out.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (with `input_path`).
    slices : "auto" | int | None
        Artifacts from one marker to the next that are alike; looked for by default.
    ref_channel : int | str | None
        The reference channel; the first EEG channel by default.

    Returns
    -------
    Pipeline
        To be run: ``gradient_correction(r"R128", "in.vhdr", "out.edf").run(mode="auto")``.

    Raises
    ------
    ValidationError
        If an offset is given without `input_path`: a context has its own.
    """
    if artifact_to_trigger_offset and input_path is None:
        raise ValidationError(
            "artifact_to_trigger_offset goes with input_path. A context has its own: "
            "load(path, artifact_to_trigger_offset=…)."
        )
    steps: list[Processor] = []
    if input_path is not None:
        steps.append(Loader(path=input_path, artifact_to_trigger_offset=artifact_to_trigger_offset))
    steps.append(TriggerDetector(regex=trigger_regex))
    steps.append(GradientCorrection(slices=slices, ref_channel=ref_channel))
    if l_freq is not None:
        steps.append(HighPassFilter(freq=l_freq))
    if h_freq is not None:
        steps.append(LowPassFilter(freq=h_freq))
    if output_path is not None:
        steps.append(Exporter(path=output_path, overwrite=True))
    return Pipeline(steps, name="Gradient correction")


def create_standard_pipeline(
    input_path: str | Path,
    output_path: str | Path,
    start_sample: int = 0,
    end_sample: int | None = None,
    trigger_regex: str = r"\b1\b",
    artifact_to_trigger_offset: float = -0.005,
    upsample_factor: int = 10,
    use_anc: bool = True,
    use_pca: bool = True,
    evaluate: bool = False,
    plot: bool = False,
    plot_kwargs: Mapping[str, Any] | None = None,
) -> Pipeline:
    r"""Return FACETpy's standard chain: the same steps and parameters, runnable in every mode.

    Load, find triggers, high-pass at 1 Hz, upsample, align slices and subsamples, subtract the
    average artifact (windows of 30), PCA, downsample, low-pass at 70 Hz, adaptive noise
    cancellation, write.

    It is here for comparison, and for scripts that are moved over. PCA and noise cancellation are
    on because they are on there; where the truth is known, noise cancellation took EEG away:
    ``use_anc=False`` is the better choice. Upsampling, too, can be left out:
    ``AASCorrection(subsample=True)`` aligns between samples at the native rate.

    Parameters
    ----------
    input_path : path
        The recording.
    output_path : path
        Where the result goes, overwriting what is there; the suffix says the format.
    start_sample, end_sample : int | None
        First sample to load, and the one after the last, from the start of the file.
    trigger_regex : str
        What triggers are called; see :class:`facet_nb.TriggerDetector`.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s.
    upsample_factor : int
        How much finer the alignment is than the samples; 1 leaves upsampling out.
    use_anc, use_pca : bool
        Whether to cancel noise adaptively, and to remove principal components of the residual.
    evaluate : bool
        Add all metrics that need no truth, and a report.
    plot : bool
        Add a picture of one channel before and after (and `evaluate`): it is in
        ``result.context.cache_get("picture")``.
    plot_kwargs : mapping | None
        For the picture: ``channel``, ``start``, ``duration``, ``save_path``.

    Returns
    -------
    Pipeline
        To be run: ``create_standard_pipeline(…).run(mode="auto")``.

    Raises
    ------
    ValidationError
        If `plot_kwargs` holds something else.
    """
    load = Loader(
        path=input_path,
        artifact_to_trigger_offset=artifact_to_trigger_offset,
        start_sample=start_sample or None,
        stop_sample=end_sample,
    )
    steps: list[Processor] = [
        load,
        TriggerDetector(regex=trigger_regex),
        CutAcquisitionWindow(),
        HighPassFilter(freq=_HIGHPASS_HZ),
        *_correct(upsample_factor, use_pca),
        PasteAcquisitionWindow(),
        LowPassFilter(freq=_LOWPASS_HZ),
    ]
    if use_anc:
        steps.append(ANCCorrection())
    steps.append(Exporter(path=output_path, overwrite=True))
    if evaluate or plot:
        steps += _evaluate()
    if plot:
        steps.append(_make_plot(plot_kwargs or {}))
    return Pipeline(steps, name="Standard fMRI correction")


def _correct(factor: int, use_pca: bool) -> list[Processor]:
    """Return the steps from the native sampling rate back to it."""
    pca: list[Processor] = [PCACorrection(n_components=0.95, hp_freq=1.0)] if use_pca else []
    return [
        *([UpSample(factor=factor)] if factor != 1 else []),
        SliceAligner(ref_trigger_index=0),
        SubsampleAligner(ref_trigger_index=0),
        AASCorrection(window_size=30, correlation_threshold=0.975),
        *pca,
        *([DownSample(factor=factor)] if factor != 1 else []),
    ]


def _evaluate() -> list[Processor]:
    return [
        SNRCalculator(),
        LegacySNRCalculator(),
        RMSCalculator(),
        RMSResidualCalculator(),
        MedianArtifactCalculator(),
        FFTAllenCalculator(),
        FFTNiazyCalculator(),
        MetricsReport(),
    ]


def _make_plot(options: Mapping[str, Any]) -> Processor:
    try:
        return PlotBeforeAfter(**options)
    except TypeError as error:
        raise ValidationError(
            f"plot_kwargs: {error}. It may hold channel, start, duration and save_path."
        ) from error
