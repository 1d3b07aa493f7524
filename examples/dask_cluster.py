"""Run batches of channels on a Dask cluster; here on one of this machine.

Tags: workers, study
"""

from __future__ import annotations

import numpy as np
from dask.distributed import Client

from facet_nb import gradient_correction
from facet_nb.datasets import example

if __name__ == "__main__":
    # On a cluster: Client("scheduler-address:8786").
    with Client(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as client:
        context = example().context()
        pipeline = gradient_correction(r"\b1\b")
        there = pipeline.run(context, mode="channel_sequential", backend="dask", n_jobs=2)
        here = pipeline.run(context, mode="serial")
        same = np.array_equal(there.raw.get_data(), here.raw.get_data())
        print(f"{len(client.ncores())} worker, the same bits as without Dask: {same}")
