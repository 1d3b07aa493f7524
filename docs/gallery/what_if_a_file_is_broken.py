"""What if one file of a study is broken?

Tags: study, findings
"""

from pathlib import Path
from tempfile import mkdtemp

from facet_nb import gradient_correction
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

folder = Path(mkdtemp())
for i in range(3):
    simulate(2, 500, 30, 2.0, 10, seed=i).raw.save(folder / f"sub{i}_raw.fif", verbose="error")
(folder / "sub1_raw.fif").write_bytes(b"not a recording")
files = sorted(folder.glob("*.fif"))
batch = gradient_correction(r"\b1\b").map(files, backend="serial", show_progress=False)
picture = make_picture(7, 2.5)
(ax,) = add_axes(picture)
for i, (file, result) in enumerate(zip(files, batch.results, strict=True)):
    ax.barh(file.name, 1, color="#009E73" if result.success else "#D55E00")
    ax.text(
        0.02,
        i,
        str(result.quality if result.success else result.error)[:90],
        va="center",
        fontsize=8,
    )
ax.set_xticks([])
picture.caption = (
    f"{sum(r.success for r in batch.results)} of {len(files)} corrected; the other is named."
)
