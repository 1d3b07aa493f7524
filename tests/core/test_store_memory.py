"""New samples, small and large."""

from __future__ import annotations

import pickle

import numpy as np

from facet_nb.core.executors import store


def test_large_arrays_are_writable_and_can_be_pickled(monkeypatch):
    monkeypatch.setattr(store, "_LARGE", 1000)
    for shape in [(2, 3), (3, 1000)]:
        array = store.fresh_array(shape)
        assert array.shape == shape
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert array.flags.writeable
        array[...] = 1.5
        assert np.array_equal(pickle.loads(pickle.dumps(array)), array)
