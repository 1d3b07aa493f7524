"""How large is the artifact?

Tags: signal
"""

from facet_nb.datasets import example
from facet_nb.plots import plot_channels

recording = example()
begin_s = recording.triggers[0] / recording.sfreq
picture = plot_channels(recording.raw, tmin_s=0.0, tmax_s=begin_s + 2.0)
picture.axes[0].axvline(begin_s, color="#D55E00", linestyle="--")
picture.axes[0].set_title(
    f"The scan begins at {begin_s:.1f} s: EEG looks like a flat line", loc="left"
)
