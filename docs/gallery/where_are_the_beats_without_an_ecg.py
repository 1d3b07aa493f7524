"""Where are the heartbeats when there is no ECG?

Tags: signal
"""

from facet_nb import GradientCorrection, Pipeline, QRSTriggerDetector, TriggerDetector
from facet_nb.datasets import simulate
from facet_nb.plots import plot_channels

recording = simulate(8, 500, 60, 2.0, 10, pulse=True)
steps = [TriggerDetector(r"\b1\b"), GradientCorrection(), QRSTriggerDetector(source="eeg")]
result = Pipeline(steps).run(recording.context(), raise_on_error=True)

picture = plot_channels(result.context, tmin_s=20.0, tmax_s=26.0)
beats_s = result.context.metadata.triggers / recording.sfreq
for beat_s in beats_s[(beats_s > 20) & (beats_s < 26)]:
    picture.axes[0].axvline(beat_s, color="#D55E00", linestyle="--", linewidth=1)
picture.caption = (
    f"{len(beats_s)} beats, found in the EEG alone; the ECG has {len(recording.r_peaks_s)}."
)
