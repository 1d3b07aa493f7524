"""Our kernels beside FASTR's, which ran on channel 0 of the Niazy recording with known truth.

Without upsampling (L = 1), slice triggers, 30 epochs on either side; its template only, before
OBS. Tolerance: 1e-6 µV of signals of some 10 000 µV.
"""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb.kernels.templates import averaging, weights
from facet_nb.kernels.templates.neighbours import correlate_rows
from facet_nb.kernels.templates.subtraction import subtract_templates

TOLERANCE_UV = 1e-6
HALF = 30

#: FASTR works through the recording in two parts that overlap: first epoch and one after the last
#: that templates of a part may hold, and the sample (within epoch 418) from which the second part
#: counts. Read off its result.
PARTS, EPOCH, JOINT = ((0, 438), (399, 840)), 418, 181_396


@pytest.fixture(scope="module")
def twin(shared_data):
    raw = mne.io.read_raw_fif(shared_data / "niazy_twin_2048_raw.fif", verbose="error")
    with np.load(shared_data / "niazy_twin_2048_truth.npz") as truth:
        triggers = truth["trig"].astype(np.int64)
    with np.load(shared_data / "oracle_fastr_niazy.npz") as oracle:
        theirs = oracle["template_L1"]
    # FASTR read the int16 samples, of half a µV each
    return np.round(raw.get_data([0])[0] * 2e6) / 2.0, triggers, theirs


def find_extent(triggers):
    """Samples before and after a trigger that belong to its epoch."""
    interval = int(np.ceil(np.median(np.diff(triggers))))
    extra = int(np.ceil(1.01 * interval)) - interval
    return round(0.03 * interval + extra), round(0.97 * interval)


def align(x, starts, n_samples, templates, max_lag=3):
    """Move each epoch to the greatest Pearson correlation with its template."""
    lags = np.arange(-max_lag, max_lag + 1)
    templates = np.broadcast_to(templates, (len(starts), n_samples))
    r = [
        correlate_rows(averaging.take_epochs(x, starts + lag, n_samples), templates) for lag in lags
    ]
    return starts + lags[np.argmax(r, axis=0)]


def list_rows(n_epochs, takes_over):
    """Alternate epochs, each part by itself."""
    of_part = [
        [row + first for row in weights.list_alternate(stop - first, HALF)] for first, stop in PARTS
    ]
    second = of_part[1][takes_over - PARTS[1][0] :]
    rows = weights.Weights.of([*of_part[0][:takes_over], *second])
    assert len(rows) == n_epochs
    return rows


def correct(x, starts, n_samples, rows):
    """Templates of the rows, each where it fits best and scaled to its epoch."""
    epochs = averaging.take_epochs(x - x.mean(), starts, n_samples)
    templates = weights.average(epochs, rows)
    aligned = align(x, starts, n_samples, templates)
    # the scale comes from the whole epoch; where epochs overlap, the later template counts
    pieces = averaging.take_epochs(x - x.mean(), aligned, n_samples)
    gains = np.einsum("ij,ij->i", pieces, templates) / np.einsum("ij,ij->i", templates, templates)
    scaled = gains[:, np.newaxis] * templates
    return subtract_templates(x, aligned, scaled, np.arange(len(rows)), overlap=False)


def test_template_of_fastr(twin):
    x, triggers, theirs = twin
    before, after = find_extent(triggers)
    n_samples = before + after + 1
    starts = triggers - before
    starts = align(x, starts, n_samples, x[starts[0] : starts[0] + n_samples])
    first, second = (
        correct(x, starts, n_samples, list_rows(len(triggers), over)) for over in (EPOCH + 1, EPOCH)
    )
    ours = np.concatenate([first[:JOINT], second[JOINT:]])
    assert np.abs(x - theirs).max() > 10_000.0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE_UV)
