"""Steps of every kind give the same answer wherever they run, and change no one's data."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.core import ParallelExecutor, Pipeline, ProcessingContext
from tests.contract.equality import assert_same
from tests.core import toys
from tests.core.toys import PLACES, RUNS, ids


@pytest.fixture(scope="module")
def ctx():
    return toys.make_context()


@pytest.fixture(scope="module")
def serial(ctx):
    return run(toys.chain(), ctx)


def run(steps, ctx, **options):
    return Pipeline(steps).run(ctx, raise_on_error=True, **options).context


@pytest.mark.parametrize("options", RUNS, ids=ids)
def test_the_whole_zoo(ctx, serial, options):
    samples, metadata = ctx.get_data().copy(), ctx.metadata.to_dict()
    result = run(toys.chain(), ctx, **options)
    assert_same(result, serial)
    assert np.array_equal(ctx.get_data(), samples)
    assert ctx.metadata.to_dict() == metadata
    assert ctx.get_history() == [] and not ctx.has_estimated_noise()
    assert result.metadata.custom["found"] == ["E1"]
    assert result.get_raw()._data.flags.writeable


@pytest.mark.parametrize("options", RUNS, ids=ids)
def test_each_step_has_its_own_reference_channel(ctx, options):
    """A step's reference is never that of its neighbour in the same stage."""
    result = run([toys.Referred("E2"), toys.Referred(), toys.Referred("EOG1")], ctx, **options)
    x = ctx.get_data()
    by_hand = x + x[1].max()
    by_hand = by_hand + by_hand[0].max()
    by_hand = by_hand + by_hand[5].max()
    good = [ctx.get_channel_names().index(name) for name in toys.GOOD]
    assert np.array_equal(result.get_data()[good], by_hand[good])
    assert [s.parameters["ref_channel"] for s in result.get_history()] == ["E2", "E1", "EOG1"]


@pytest.mark.parametrize("options", RUNS, ids=ids)
def test_steps_that_run_once_change_no_samples(ctx, options):
    """... not those of the reference channel either, which later decisions see."""
    result = run([toys.Found(), toys.Referred()], ctx, **options)
    x = ctx.get_data()
    assert np.array_equal(result.get_data("E2")[0], x[1] + x[0].max())
    assert result.metadata.custom == {"found": ["E1"]}


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_a_correction_does_not_overwrite_what_a_run_once_step_passed_on(ctx, options):
    class Greedy(toys.Demeaned):
        def can_overwrite(self):
            return True

    samples = ctx.get_data().copy()
    result = run([toys.Found(), Greedy(), toys.Halved()], ctx, **options)
    assert np.array_equal(ctx.get_data(), samples)
    expected = 0.5 * (samples[0] - (samples[0].mean() + 1e-6))
    np.testing.assert_allclose(result.get_data("E1")[0], expected, rtol=0, atol=1e-18)


@pytest.mark.parametrize("options", RUNS, ids=ids)
def test_channels_without_data_pass_through(ctx, options):
    result = run([toys.ZScore(), toys.Halved(), toys.Picked(["E1"])], ctx, **options)
    x, y = ctx.get_data(), result.get_data()
    for row, name in enumerate(toys.NAMES):
        assert np.array_equal(x[row], y[row]) == (name not in toys.GOOD), name
    for name in ("EOG1", "ECG1"):
        row = toys.NAMES.index(name)
        z = (x[row] - x[row].mean()) / x[row].std()
        np.testing.assert_allclose(y[row], 0.5 * z, rtol=1e-12)


@pytest.mark.parametrize("options", PLACES, ids=ids)
@pytest.mark.parametrize(
    ("step", "touched"),
    [
        (toys.Picked(["E1", "ECG1"]), ["E1", "ECG1"]),
        (toys.Picked("eog"), ["EOG1"]),
        (toys.Picked([0, 2, 3]), ["E1"]),
        (toys.Picked(exclude_channels=["E1", "E2"]), ["E4", "EOG1", "ECG1"]),
    ],
)
def test_picks(ctx, options, step, touched):
    result = run([step], ctx, batch_size=3, **options)
    changed = np.any(result.get_data() != ctx.get_data(), axis=1)
    assert [n for n, c in zip(toys.NAMES, changed, strict=True) if c] == touched


@pytest.mark.parametrize("backend", ["multiprocessing", "threading", "serial"])
@pytest.mark.parametrize("n_jobs", [-1, -2, 4])
def test_executor(ctx, backend, n_jobs):
    executor = ParallelExecutor(n_jobs=n_jobs, backend=backend)
    assert_same(executor.execute(toys.ZScore(), ctx), run([toys.ZScore()], ctx))


@pytest.mark.parametrize("step", [toys.ZScore(), toys.Halved(), toys.Spread(), toys.Assigning()])
def test_pipe_operator_is_a_pipeline_of_one(ctx, step):
    samples = ctx.get_data().copy()
    assert_same(ctx | step, run([step], ctx))
    assert_same(ctx | Pipeline([step, toys.Halved()]), run([step, toys.Halved()], ctx))
    assert np.array_equal(ctx.get_data(), samples)


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_one_channel(options):
    raw = toys.make_raw().pick(["E2"])
    one = run([toys.ZScore(), toys.Referred(), toys.Spread()], ProcessingContext(raw), **options)
    assert_same(one, run([toys.ZScore(), toys.Referred(), toys.Spread()], ProcessingContext(raw)))
    assert one.get_data().shape == (1, 3000)


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_recording_that_is_not_in_memory(tmp_path, options):
    raw = toys.make_raw()
    raw.save(tmp_path / "x_raw.fif", verbose="error", fmt="double")
    import mne

    lazy = mne.io.read_raw_fif(tmp_path / "x_raw.fif", preload=False, verbose="error")
    steps = [toys.Halved(), toys.Demeaned(), toys.ZScore()]
    result = run(steps, ProcessingContext(lazy), **options)
    assert not lazy.preload
    there = run(steps, ProcessingContext(lazy.copy().load_data()))
    assert_same(result, there)


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_integer_and_transposed_samples(options):
    """MNE holds C-ordered float64; somebody's own assignment may not."""
    raw = toys.make_raw()
    raw._data = np.asfortranarray(raw._data)
    steps = [toys.Demeaned(), toys.Halved()]
    assert_same(
        run(steps, ProcessingContext(raw), **options),
        run(steps, ProcessingContext(toys.make_raw())),
    )
    assert raw._data.flags.f_contiguous
