"""A disk that is full, shown by a limit of 4 MiB on the size of a file: an error, no half file."""

from __future__ import annotations

import pytest

from tests.faults import programs

LIMIT = """
    import resource, sys
    from pathlib import Path
    from facet_nb.core import FacetError, Pipeline, ProcessingContext
    from facet_nb.io import Exporter, load
    from tests.core import toys
    from tests.io.conftest import make_recording

    MIB = 2**20
    folder = Path(sys.argv[1])
    context = ProcessingContext(make_recording(n_times=400_000))  # 19 MB as float64
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))
"""


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".vhdr", ".fif", ".set"])
def test_export(suffix, tmp_path):
    text = (
        LIMIT
        + """
    path = folder / f"out{sys.argv[2]}"
    small = ProcessingContext(make_recording(n_times=5_000))
    small | Exporter(path)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    result = Pipeline([Exporter(path)]).run(context)
    assert isinstance(result.error, FacetError), repr(result.error)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert load(path).get_raw().n_times == 5_000
    print(result.error)
    """
    )
    told = programs.run(text, tmp_path, tmp_path / "files", suffix)
    assert f"out{suffix} was not written" in told
    assert "File too large" in told or "requested and" in told  # numpy's words
    assert "the free space" in told


def test_samples_between_processes_and_checkpoints(tmp_path):
    text = (
        LIMIT
        + """
    steps = [toys.Halved(), toys.ZScore()]
    for options in (
        {"mode": "parallel", "n_jobs": 2},
        {"checkpoint": folder / "kept"},
        {"checkpoint": folder / "kept", "mode": "channel_sequential", "n_jobs": 2},
    ):
        result = Pipeline(steps).run(context, **options)
        assert isinstance(result.error, FacetError), repr(result.error)
        assert "no room for 19 MB" in str(result.error), result.error
        print(result.error)
    assert Pipeline(steps).run(context, mode="parallel", backend="threading", n_jobs=2).success
    """
    )
    told = programs.run(text, tmp_path, tmp_path / "files").splitlines()
    assert ["FACET_NB_TMPDIR" in line for line in told] == [True, False, True]
    assert "checkpoint=" in told[1]
    assert not list(tmp_path.glob("facet_nb-*"))


def test_a_journal_that_cannot_grow(tmp_path):
    text = """
    import resource, sys
    from pathlib import Path
    from facet_nb.core import FacetError, Pipeline
    from tests.core import toys

    kept = Path(sys.argv[1])
    ctx = toys.make_context(n_times=500)
    assert Pipeline([toys.Halved()]).run(ctx, checkpoint=kept).success
    size = 8 * 500 * len(toys.NAMES)
    with open(kept / "journal.jsonl", "ab") as file:
        file.write(b"x" * (size - file.tell()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300, size + 300))
    result = Pipeline([toys.ZScore()]).run(ctx, checkpoint=kept)
    assert isinstance(result.error, FacetError), result.error
    print(result.error)
    """
    told = programs.run(text, tmp_path, tmp_path / "kept")
    assert "journal" in told and "cannot be written" in told
