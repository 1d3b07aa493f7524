"""Known EEG that is added to a recording, and what a chain takes of it."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    CleanInTest,
    DownSample,
    InjectionTest,
    LambdaProcessor,
    Pipeline,
    TriggerDetector,
)
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import example, simulate

BROAD = {"broad": (0.5, 70.0)}


@pytest.fixture(scope="module")
def recording():
    return example(seed=3)


@pytest.fixture(scope="module")
def foreign():
    return example(seed=4).clean


def change(samples):
    """Return a chain with one step of one's own."""

    def step(context):
        raw = context.get_raw().copy()
        raw._data[:] = samples(raw.get_data())
        return context.with_raw(raw)

    return [TriggerDetector(regex="Stimulus"), LambdaProcessor(step)]


@pytest.mark.parametrize(
    ("samples", "loss_db"),
    [(lambda x: x, -np.inf), (lambda x: 0 * x, 0.0), (lambda x: 0.5 * x, -6.02)],
    ids=["nothing", "silence", "half"],
)
def test_known_losses(recording, foreign, samples, loss_db):
    found = InjectionTest(change(samples), bands=BROAD).run(recording.context(), foreign)
    assert found.loss_db == pytest.approx(loss_db, abs=0.01) or found.loss_db < -200 > loss_db
    assert list(found.per_channel) == recording.ch_names and list(found.per_band) == ["broad"]


@pytest.mark.parametrize("window", [5, 30])
def test_loss_without_motion_is_the_error_against_the_truth(recording, foreign, window):
    """All that is wrong with an average of this recording is lost EEG."""
    chain = [TriggerDetector(regex="Stimulus"), AASCorrection(window_size=window)]
    done = Pipeline(chain).run(recording.context(), show_progress=False, raise_on_error=True)
    snr_db = float(np.median(recording.snr_db(done.context)))
    found = InjectionTest(chain, bands=BROAD).run(recording.context(), foreign)
    assert found.loss_db == pytest.approx(-snr_db, abs=4)


def test_a_chain_that_adapts_is_asked_with_its_artifact(recording, foreign):
    """Without the artifact it does nothing, and looks harmless."""

    def adapt(x):
        return 0.5 * x if np.std(x) > 100e-6 else x

    clean = recording.raw.copy()
    clean._data[:6] = recording.clean
    context = recording.context().with_raw(clean)
    assert CleanInTest(change(adapt), bands=BROAD).run(context).harm_db == -np.inf
    found = InjectionTest(change(adapt), bands=BROAD).run(recording.context(), foreign)
    assert found.loss_db == pytest.approx(-6.02, abs=0.01)


def test_the_recording_stays_as_it_was(recording, foreign):
    before = recording.raw.get_data().copy()
    InjectionTest(change(lambda x: x), bands=BROAD).run(recording.context(), foreign)
    assert np.array_equal(recording.raw.get_data(), before)


def test_modes_give_the_same_loss(recording, foreign):
    chain = [TriggerDetector(regex="Stimulus"), AASCorrection(window_size=10)]
    test = InjectionTest(chain, bands=BROAD)
    found = [
        test.run(recording.context(), foreign, **options)
        for options in ({"mode": "serial"}, {"n_jobs": 2, "backend": "threading"})
    ]
    assert found[0] == found[1]


def test_what_does_not_fit_is_refused(recording, foreign):
    with pytest.raises(ValidationError, match="the truth is 6 channels"):
        InjectionTest(change(lambda x: x)).run(recording.context(), foreign[:, :100])
    chain = [TriggerDetector(regex="Stimulus"), DownSample(factor=2)]
    with pytest.raises(ValidationError, match="InjectionTest: the chain turns"):
        InjectionTest(chain).run(recording.context(), foreign)


def test_foreign_eeg_may_be_a_recording(recording):
    other = simulate(6, 2000.0, 36.0, 2.0, 25, seed=9, artifact_amplitude_v=0.0, lead_out_s=1.5)
    found = InjectionTest(change(lambda x: 0 * x), bands=BROAD).run(
        recording.context(), other.raw.copy().crop(0, recording.raw.times[-1])
    )
    assert found.loss_db == pytest.approx(0.0, abs=1e-6)
