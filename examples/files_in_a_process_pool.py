"""Correct several files at once: Python's process pool, and the same in one call.

``Pipeline.map`` divides the cores between the files, keeps the memory within bounds, and tells of a
file that fails without stopping the others.

Tags: study
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from facet_nb import FIFExporter, Loader, Pipeline, gradient_correction
from facet_nb.datasets import simulate


def correct(path: Path) -> tuple[Path, bool]:
    """Correct one file; this runs in a worker process."""
    target = Path("corrected") / f"{path.stem}_corrected.fif"
    chain = [Loader(path), *gradient_correction(r"\b1\b"), FIFExporter(target, overwrite=True)]
    return path, Pipeline(chain).run(show_progress=False).success


def correct_in_a_pool(files: list[Path], n_workers: int = 2) -> dict[Path, bool]:
    """Correct the files with a bar; return which were."""
    done = {}
    with ProcessPoolExecutor(max_workers=n_workers) as pool:
        futures = [pool.submit(correct, file) for file in files]
        for future in tqdm(as_completed(futures), total=len(files), desc="files"):
            path, success = future.result()
            done[path] = success
    return done


if __name__ == "__main__":
    files = [Path(f"recording_{seed}.fif") for seed in range(3)]
    for seed, file in enumerate(files):
        simulation = simulate(n_channels=4, sfreq=500, duration_s=30, tr_s=2, seed=seed)
        simulation.raw.save(file, overwrite=True, verbose="error")

    for path, success in sorted(correct_in_a_pool(files).items()):
        print(path, "corrected" if success else "failed")

    pipeline = gradient_correction(r"\b1\b")
    results = pipeline.map(files, n_jobs=2, backend="threading", output="mapped/{stem}.fif")
    print(results.summary())
