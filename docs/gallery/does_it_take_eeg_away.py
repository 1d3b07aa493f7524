"""Does a chain take EEG away?

Tags: signal
"""

from facet_nb import CleanInTest, GradientCorrection, OBSCorrection
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

clean = simulate(2, 500, 40, 2.0, 10, artifact_amplitude_v=0).context()
eeg = clean.with_trigger_samples(simulate(2, 500, 40, 2.0, 10).triggers)
picture = make_picture(6, 3.5)
(ax,) = add_axes(picture)
said = []
for step in (GradientCorrection(), OBSCorrection(n_components=8, locked_only=False)):
    found = CleanInTest([step]).run(eeg)
    ax.plot(list(found.per_band), list(found.per_band.values()), "o-", label=type(step).__name__)
    said.append(f"{type(step).__name__} {found.harm_db:.0f} dB")
ax.set_ylabel("change of clean EEG (dB)")
ax.tick_params(axis="x", labelrotation=30)
ax.legend(frameon=False)
picture.caption = "Change of EEG without artifact: " + ", ".join(said) + "; lower is better."
