"""Damaged files: a FacetError or a recording, and never anything else."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet_nb.core import FacetError
from facet_nb.io import load

#: The part of each file that says how to read the rest, and how many of its bytes that is.
HEADERS = {
    ".edf": 256 * 8,
    ".bdf": 256 * 8,
    ".gdf": 256 * 4,
    ".vhdr": None,
    ".vmrk": None,
    ".fif": 3000,
    ".set": None,
}
PARTS = {".vhdr": (".eeg", ".vmrk"), ".vmrk": (".eeg", ".vhdr")}
#: Damaged files of each kind; more at night.
N_MUTATIONS = 500 if os.environ.get("FACET_NB_NIGHT") else 150
#: What one of them may take, in s; a machine that is busy with other things takes longer.
LIMIT_S = 2.0

changes = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.binary(max_size=4),
        st.sampled_from([None, None, 0, 1, 8]),  # bytes that go: as many as come, or others
    ),
    max_size=4,
)
cuts = st.one_of(st.none(), st.floats(0, 1, exclude_max=True))


Edit = tuple[float, bytes, int | None]


def damage(whole: bytes, edits: list[Edit], cut: float | None, n_header: int) -> bytes:
    """Overwrite, insert and remove bytes of the header, and cut the file off somewhere."""
    damaged = bytearray(whole)
    for where, new, gone in edits:
        start = int(where * min(n_header, len(whole)))
        damaged[start : start + (len(new) if gone is None else gone)] = new
    return bytes(damaged if cut is None else damaged[: int(cut * len(damaged))])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.fault("recordings with random damage")
@pytest.mark.parametrize("suffix", HEADERS)
def test_damage_is_one_clear_error_or_harmless(suffix, sources, tmp_path: Path, count_fault):
    source = sources[".vhdr" if suffix == ".vmrk" else suffix].with_suffix(suffix)
    for part in PARTS.get(suffix, ()):
        shutil.copy(source.with_suffix(part), tmp_path)
    whole = source.read_bytes()
    n_header = HEADERS[suffix] or len(whole)
    target = tmp_path / source.name
    outcomes = {"refused": 0, "loaded": 0}

    @settings(max_examples=N_MUTATIONS, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(changes, cuts)
    def attempt(edits, cut):
        target.write_bytes(damage(whole, edits, cut, n_header))
        begin = time.process_time()
        try:
            context = load(target)
        except FacetError as error:
            assert target.stem in str(error)
            outcomes["refused"] += 1
        else:
            assert context.get_data().shape[1] == context.get_raw().n_times
            outcomes["loaded"] += 1
        assert time.process_time() - begin < LIMIT_S
        count_fault()

    attempt()
    assert sum(outcomes.values()) >= N_MUTATIONS
    assert outcomes["refused"] > N_MUTATIONS // 5
    assert outcomes["loaded"] > 0
