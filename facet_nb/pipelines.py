"""Ready-made pipelines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.pipeline import Pipeline
from facet_nb.core.processor import Processor
from facet_nb.core.storage.originals import PICTURES, check_kind_of_file
from facet_nb.correction import (
    AASCorrection,
    ANCCorrection,
    GradientCorrection,
    PCACorrection,
    PulseCorrection,
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
    QRSTriggerDetector,
    SliceAligner,
    SubsampleAligner,
    TriggerAligner,
    TriggerDetector,
    UpSample,
)

if TYPE_CHECKING:
    import mne

__all__ = [
    "CHAINS",
    "PlotBeforeAfter",
    "classic_correction",
    "correct_gradient",
    "correct_pulse",
    "create_standard_pipeline",
    "gradient_correction",
]

_HIGHPASS_HZ = 1.0
_LOWPASS_HZ = 70.0


class PlotBeforeAfter(Processor):
    """Plot one channel before and after the correction, and the difference.

    The figure is in the cache of the resulting context: ``result.context.cache_get("picture")``
    returns a :class:`facet_nb.plots.Picture`, which notebooks display.

    Parameters
    ----------
    channel : str | int | None
        Name or index of the channel; None for the first good data channel.
    start : float | None
        Start time, in s; by default 1 s before the first trigger.
    duration : float
        Duration, in s.
    save_path : path | None
        File to which the figure is also written.
    """

    description = "Plot one channel before and after"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True
    output_only = True

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
        """Return a context with the figure in its cache."""
        from facet_nb.plots import plot_before_after

        start = self.start
        if start is None:
            start = self._find_start(context)
        end = min(start + self.duration, float(context.get_raw_original().times[-1]))
        picture = plot_before_after(context, self.channel, start, end)
        if self.save_path is not None:
            check_kind_of_file(self.save_path, PICTURES)
            picture.savefig(self.save_path)
        new = context._derive()
        new.cache_set("picture", picture)
        return new

    def _find_start(self, context: ProcessingContext) -> float:
        """Return the time 1 s before the first trigger, in s; 0 if there are no triggers."""
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
    r"""Return a pipeline: detect triggers, subtract the gradient artifact, low-pass filter.

    The correction is :class:`facet_nb.GradientCorrection`. It takes the unprocessed recording:
    upsampling, alignment and a high-pass filter are not needed. Triggers may mark slices or
    volumes.

    Parameters
    ----------
    trigger_regex : str
        Pattern of the trigger names; see :class:`facet_nb.TriggerDetector`. Use ``r"R128"`` for the
        volume markers of BrainVision.
    input_path : path | None
        The recording. Without it the pipeline runs on a context: ``pipeline.run(initial_context)``.
    output_path : path | None
        Output file, which is overwritten if it exists; the suffix determines the format. Without it
        the result is in memory only.
    l_freq, h_freq : float | None
        Edges of a high-pass and of a low-pass filter after the correction, in Hz; None for no
        filter.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (with `input_path`).
    slices : "auto" | int | None
        Number of similar artifacts from one marker to the next; detected by default.
    ref_channel : int | str | None
        Index or name of the reference channel; the first EEG channel by default.

    Returns
    -------
    Pipeline
        The pipeline, for example to run as
        ``gradient_correction(r"R128", "in.vhdr", "out.edf").run(mode="auto")``.

    Raises
    ------
    ValidationError
        If an offset is given without `input_path`: a context has its own.
    """
    if artifact_to_trigger_offset and input_path is None:
        raise ValidationError(
            "artifact_to_trigger_offset needs input_path. A context has its own: "
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


def classic_correction(
    trigger_regex: str = r"\b1\b",
    input_path: str | Path | None = None,
    output_path: str | Path | None = None,
) -> Pipeline:
    r"""Return the classic pipeline: averaged artifact subtraction at ten times the sampling rate.

    The steps are: detect triggers, high-pass at 1 Hz, upsample by 10, align, subtract the averaged
    artifact (windows of 30), downsample, low-pass at 70 Hz. :func:`gradient_correction`, the
    default, is nearer to the truth on nearly all recordings.

    Parameters
    ----------
    trigger_regex : str
        Pattern of the trigger names; see :class:`facet_nb.TriggerDetector`.
    input_path, output_path : path | None
        As for :func:`gradient_correction`.

    Returns
    -------
    Pipeline
        The pipeline.

    References
    ----------
    Allen PJ, Josephs O, Turner R (2000) A method for removing imaging artifact from continuous EEG
    recorded during functional MRI. NeuroImage 12:230-239. doi:10.1006/nimg.2000.0599
    """
    steps: list[Processor] = [] if input_path is None else [Loader(path=input_path)]
    steps += [
        TriggerDetector(regex=trigger_regex),
        HighPassFilter(freq=_HIGHPASS_HZ),
        UpSample(factor=10),
        TriggerAligner(),
        AASCorrection(window_size=30),
        DownSample(factor=10),
        LowPassFilter(freq=_LOWPASS_HZ),
    ]
    if output_path is not None:
        steps.append(Exporter(path=output_path, overwrite=True))
    return Pipeline(steps, name="Averaged artifact subtraction")


#: Ready-made chains by name, for the command line and the studio. The first one is the default.
CHAINS: dict[str, Callable[..., Pipeline]] = {
    "gradient": gradient_correction,
    "classic": classic_correction,
}

Picks = str | Sequence[str] | Sequence[int] | None


def correct_gradient(
    raw: mne.io.BaseRaw,
    trigger_regex: str = r"\b1\b",
    *,
    events: np.ndarray | None = None,
    picks: Picks = None,
    artifact_to_trigger_offset: float = 0.0,
    slices: int | str | None = "auto",
    ref_channel: int | str | None = None,
    n_jobs: int | None = None,
    verbose: bool | str | int | None = None,
) -> mne.io.BaseRaw:
    r"""Return a recording without the gradient artifact.

    The correction is :class:`facet_nb.GradientCorrection`, on the unprocessed recording. For
    findings, step times and history run :func:`gradient_correction` instead.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; it does not change.
    trigger_regex : str
        Pattern of the names of annotations or codes that mark slices or volumes; see
        :class:`facet_nb.TriggerDetector`. Use ``r"R128"`` for the volume markers of BrainVision.
    events : ndarray of int, shape (n_events, 3) | None
        Markers as an MNE events array, all of which are used, in place of `trigger_regex`.
    picks : str | list | None
        Channels to correct, by names, positions or types; None for all data channels. Bad channels
        and channels that hold no data stay as they are.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (negative: before it).
    slices : "auto" | int | None
        Number of similar artifacts from one marker to the next; detected by default.
    ref_channel : int | str | None
        Index or name of the reference channel; the first EEG channel by default.
    n_jobs : int | None
        Channels in flight at once, over threads; -1 for all cores. None for 1, or the number of
        :func:`facet_nb.set_defaults`.
    verbose : bool | str | int | None
        Level of messages, as in MNE; True also shows a progress bar, False none.

    Returns
    -------
    mne.io.BaseRaw
        A new recording. Its samples do not depend on `n_jobs`, and those of a channel not on
        `picks`.

    Raises
    ------
    FacetError
        If it cannot be corrected; the message names step, channel and remedy.
    """
    metadata = ProcessingMetadata(artifact_to_trigger_offset=artifact_to_trigger_offset)
    context = ProcessingContext(raw, metadata=metadata)
    steps: list[Processor] = []
    if events is None:
        steps.append(TriggerDetector(regex=trigger_regex))
    else:
        context = context.with_mne_events(_check_events(events))
    steps.append(GradientCorrection(slices=slices, ref_channel=ref_channel, picks=picks))
    return _correct(Pipeline(steps, "Gradient correction"), context, n_jobs, verbose)


def correct_pulse(
    raw: mne.io.BaseRaw,
    ecg_channel: int | str | None = None,
    *,
    events: np.ndarray | None = None,
    picks: Picks = None,
    method: str = "obs",
    n_jobs: int | None = None,
    verbose: bool | str | int | None = None,
) -> mne.io.BaseRaw:
    """Return a recording without the pulse artifact (ballistocardiogram).

    The correction is :class:`facet_nb.PulseCorrection`, after that of the gradient artifact.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; it does not change.
    ecg_channel : int | str | None
        Index or name of the ECG; see :class:`facet_nb.QRSTriggerDetector`.
    events : ndarray of int, shape (n_beats, 3) | None
        The R peaks as an MNE events array, in place of a search in the ECG.
    picks : str | list | None
        Channels to correct, by names, positions or types; None for all data channels. The
        amplitudes of the artifact are estimated from all channels in any case.
    method : {"obs", "mean", "median", "gmean"}
        As in :class:`facet_nb.PulseCorrection`.
    n_jobs, verbose
        As in :func:`correct_gradient`.

    Returns
    -------
    mne.io.BaseRaw
        A new recording. Its samples do not depend on `n_jobs`.

    Raises
    ------
    FacetError
        If it cannot be corrected; the message names step, channel and remedy.
    """
    context = ProcessingContext(raw)
    steps: list[Processor] = []
    if events is None:
        steps.append(QRSTriggerDetector(ecg_channel=ecg_channel))
    else:
        context = context.with_mne_events(_check_events(events))
    steps.append(PulseCorrection(method=method, picks=picks))
    return _correct(Pipeline(steps, "Pulse correction"), context, n_jobs, verbose)


def _check_events(events: Any) -> np.ndarray:
    array = np.asarray(events)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValidationError(
            f"events has shape {array.shape}; an MNE events array has three columns (sample, 0, "
            "code), as of mne.find_events or mne.events_from_annotations."
        )
    return array


def _correct(
    pipeline: Pipeline,
    context: ProcessingContext,
    n_jobs: int | None,
    verbose: bool | str | int | None,
) -> mne.io.BaseRaw:
    """Return the recording after all steps, computed over `n_jobs` threads."""
    with _verbosity(verbose):
        result = pipeline.run(
            context,
            mode="channel_sequential",
            backend="threading",
            n_jobs=n_jobs,
            show_progress=verbose if isinstance(verbose, bool) else None,
            raise_on_error=True,
        )
    return result.raw


@contextmanager
def _verbosity(verbose: bool | str | int | None) -> Iterator[None]:
    """Set the level of MNE's messages and of ours."""
    if verbose is None:
        yield
        return
    from mne.utils import use_log_level

    level: str | int = verbose
    if isinstance(verbose, bool):
        level = "INFO" if verbose else "WARNING"
    logger = logging.getLogger("facet_nb")
    before = logger.level
    with use_log_level(level):
        logger.setLevel(level.upper() if isinstance(level, str) else level)
        try:
            yield
        finally:
            logger.setLevel(before)


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
    r"""Return FACETpy's standard pipeline: the same steps and parameters, runnable in every mode.

    The steps are: load, detect triggers, high-pass at 1 Hz, upsample, align slices and subsamples,
    subtract the averaged artifact (windows of 30), PCA, downsample, low-pass at 70 Hz, adaptive
    noise cancellation, and write.

    The pipeline serves for comparison, and for scripts that move from FACETpy. PCA and noise
    cancellation are on because they are on in FACETpy. On recordings with a known ground truth,
    noise cancellation removed EEG: ``use_anc=False`` is the better choice. Upsampling can be
    omitted as well: ``AASCorrection(subsample=True)`` aligns between samples at the native rate.

    Parameters
    ----------
    input_path : path
        The recording.
    output_path : path
        Output file, which is overwritten if it exists; the suffix determines the format.
    start_sample, end_sample : int | None
        First sample to load, and the sample after the last, counted from the start of the file.
    trigger_regex : str
        Pattern of the trigger names; see :class:`facet_nb.TriggerDetector`.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s.
    upsample_factor : int
        Factor of the upsampling for the alignment; 1 for no upsampling.
    use_anc, use_pca : bool
        Whether to cancel noise adaptively, and to remove principal components of the residual.
    evaluate : bool
        Whether to add a report and all metrics that need no ground truth.
    plot : bool
        Whether to add a figure of one channel before and after, and the metrics of `evaluate`. The
        figure is in ``result.context.cache_get("picture")``.
    plot_kwargs : mapping | None
        Arguments of the figure: ``channel``, ``start``, ``duration``, ``save_path``.

    Returns
    -------
    Pipeline
        The pipeline, for example to run as ``create_standard_pipeline(…).run(mode="auto")``.

    Raises
    ------
    ValidationError
        If `plot_kwargs` contains other arguments.
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
        *_list_corrections(upsample_factor, use_pca),
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


def _list_corrections(factor: int, use_pca: bool) -> list[Processor]:
    """Return the steps from upsampling to downsampling, or those without either."""
    # Above alpha, which is locked to the slices where it has their rate: from 1 Hz on, 6 to 8 dB of
    # such a channel went with it. From the usual 70 Hz on, 2 to 8 dB less artifact is found.
    pca: list[Processor] = [PCACorrection(n_components=0.95, hp_freq=15.0)] if use_pca else []
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
            f"plot_kwargs: {error}. Valid keys are channel, start, duration and save_path."
        ) from error
