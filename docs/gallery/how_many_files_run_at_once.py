"""How many recordings of a study run at once?

Tags: study, memory
"""

from facet_nb import gradient_correction
from facet_nb.datasets import simulate
from facet_nb.plots.picture import add_axes, make_picture

recordings = [simulate(4 * (i % 3 + 1), 1000, 30, 2.0, 10).context() for i in range(9)]
chain, budgets = gradient_correction(r"\b1\b"), [170, 200, 260, 400]
most = []
for budget in budgets:
    plan = chain.plan_map(
        recordings, n_jobs=8, backend="threading", memory_budget=f"{budget} MB", keep_raw=False
    )
    most.append(max((file.at_once for file in plan.files if file.problem is None), default=0))
picture = make_picture(6, 3)
(ax,) = add_axes(picture)
ax.bar([str(b) for b in budgets], most)
ax.set(xlabel="memory_budget (MB)", ylabel="most recordings at once")
picture.caption = "; ".join(f"{b} MB: {n}" for b, n in zip(budgets, most, strict=True))
