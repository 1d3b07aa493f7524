"""Exports are verified by checksum, and by samples that prove the scale: nothing slips through."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facet_nb import FIFExporter, Loader, ProcessingContext
from facet_nb.core.errors import FacetError
from facet_nb.core.storage import scratch
from facet_nb.core.storage.raw_file import RawFile
from facet_nb.io import export, verify, writers
from facet_nb.io.blocks import read_block
from facet_nb.io.checksum import CheckedFile, Extremes, HandedOver, PageSums, Stored
from facet_nb.io.formats import edf_records

SUFFIXES = [".vhdr", ".edf", ".bdf"]

#: Formats that MNE and eeglabio write.
OTHERS = [".fif", ".set"]
N_CHANNELS, N_TIMES, SFREQ = 4, 6000, 1000.0


def make_raw(n_times: int = N_TIMES) -> mne.io.RawArray:
    """Noise; the last channel is flat but for one sample."""
    x = 1e-5 * np.random.default_rng(3).standard_normal((N_CHANNELS, n_times))
    x[-1] = 0.0
    x[-1, 2 * n_times // 3] = 4e-5
    return mne.io.RawArray(x, mne.create_info(N_CHANNELS, SFREQ, "eeg"), verbose="error")


def export_with(harm, suffix: str, folder: Path, monkeypatch, raw=None) -> None:
    """Export with a writer after which `harm` is called with the file of the samples."""
    whole = {writer.suffix: writer for writer in writers.WRITERS}[suffix]

    def write(raw, file, path, note):
        written = whole.write(raw, file, path, note)
        harm(file.with_suffix(".eeg") if suffix == ".vhdr" else file)
        return written

    broken = writers.Writer(
        whole.label, suffix, whole.check, write, whole.sample_bytes, whole.parts
    )
    monkeypatch.setattr(writers, "find_writer", lambda path: broken)
    export(ProcessingContext(make_raw() if raw is None else raw), folder / f"out{suffix}")


def refuses(harm, suffix, folder, monkeypatch, match="read back|cannot be read|truncated"):
    with pytest.raises(FacetError, match=match):
        export_with(harm, suffix, folder, monkeypatch)
    assert not list(folder.glob("out*"))


def edit(change):
    """Return a harm that replaces the content of a file by `change` of it."""

    def harm(file: Path) -> None:
        file.write_bytes(bytes(change(bytearray(file.read_bytes()))))

    return harm


@pytest.mark.parametrize("bit", [0, 3, 7])
@pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.83, 0.9999])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_flipped_bit_is_found(suffix, share, bit, tmp_path, monkeypatch):
    """Also of the smallest digit, which a comparison of values takes for rounding."""

    def flip(content):
        content[int(share * len(content))] ^= 1 << bit
        return content

    refuses(edit(flip), suffix, tmp_path, monkeypatch)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content + b"\0",
        lambda content: content + content[-4 * N_CHANNELS :],
        lambda content: content[:4000] + content[8000:12000] + content[4000:8000] + content[12000:],
        lambda content: content[:5000] + bytes(2000) + content[7000:],
    ],
    ids=["cut by a byte", "cut in half", "a byte more", "a frame more", "swapped", "a hole"],
)
def test_damage_is_found(change, suffix, tmp_path, monkeypatch):
    refuses(edit(change), suffix, tmp_path, monkeypatch)


@pytest.mark.parametrize("channel", range(N_CHANNELS))
def test_a_wrong_scale_in_the_header_is_found(channel, tmp_path, monkeypatch):
    """The last channel is not zero at one sample only: this sample is compared."""

    def scale(data: Path) -> None:
        header = data.with_suffix(".vhdr")
        lines = header.read_text("utf-8").splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith(f"Ch{channel + 1}="))
        name, reference, _, unit = lines[at].split(",")
        lines[at] = f"{name},{reference},1.001,{unit}"
        header.write_text("\n".join(lines), "utf-8")

    refuses(scale, ".vhdr", tmp_path, monkeypatch, rf"channel {channel} at sample .* read back")


@pytest.mark.parametrize(("suffix", "factor"), [(".edf", 2.0), (".bdf", 1.0001)])
def test_a_wrong_gain_of_the_encoder_is_found(suffix, factor, tmp_path, monkeypatch):
    encode = edf_records.Records.encode

    def encode_otherwise(self, data, first, n_records):
        gains = np.array(self.gains)
        gains[1] *= factor
        other = edf_records.Records(self.depth, self.n_samples, self.factors, gains, self.offsets)
        return encode(other, data, first, n_records)

    monkeypatch.setattr(edf_records.Records, "encode", encode_otherwise)
    with pytest.raises(FacetError, match="channel 1 at sample"):
        export(ProcessingContext(make_raw()), tmp_path / f"out{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_damage_is_located_where_it_can_be(suffix, tmp_path, monkeypatch):
    def flip(content):
        content[len(content) // 2] ^= 0xFF
        content[len(content) // 2 + 1] ^= 0x3F
        return content

    refuses(edit(flip), suffix, tmp_path, monkeypatch, r"is read back as .* instead of")


@pytest.mark.parametrize("bit", [0, 3, 7])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("suffix", OTHERS)
def test_any_flipped_bit_of_a_sample_is_found(suffix, share, bit, tmp_path, monkeypatch):
    """Also of the smallest digit, which a comparison of values takes for rounding."""
    raw = make_raw()
    number = raw._data[0, round(share * N_TIMES)]
    number, dtype = (number, ">f4") if suffix == ".fif" else (1e6 * number, "<f4")
    stored = np.array(number, dtype).tobytes()

    def flip(content):
        (at,) = [i for i in range(len(content)) if content.startswith(stored, i)]
        content[at + (3 if suffix == ".fif" else 0)] ^= 1 << bit
        return content

    refuses(edit(flip), suffix, tmp_path, monkeypatch)


@pytest.mark.parametrize("suffix", [*SUFFIXES, *OTHERS])
def test_intact_files_are_compared_at_few_samples(suffix, tmp_path, monkeypatch):
    raw, read = make_raw(60_000), []

    def count(source, *part):
        block = read_block(source, *part)
        read.append(block.size)
        return block

    monkeypatch.setattr(verify, "read_block", count)
    monkeypatch.setattr(verify, "iter_blocks", lambda *_, **__: pytest.fail("all compared"))
    export(ProcessingContext(raw), tmp_path / f"out{suffix}")
    assert sum(read) < 0.1 * 2 * raw._data.size
    assert read or suffix in OTHERS  # whose numbers are all read back


@pytest.mark.parametrize("n_times", [1, 63, 64, 5000])
def test_windows_cover_the_extremes_of_each_channel(n_times):
    """And some samples of all channels, from the first to the last."""
    x = np.random.default_rng(n_times).standard_normal((5, n_times))
    extremes = np.stack([x.argmin(axis=1), x.argmax(axis=1)], axis=1)
    windows = list(Stored(Path("x"), 0, 0, extremes).choose_windows(n_times))
    for row, samples in enumerate(extremes.tolist()):
        for sample in samples:
            assert any(w.start <= sample < w.stop and row in w.rows for w in windows)
    whole = [w for w in windows if list(w.rows) == list(range(5))]
    assert whole[0].start == 0
    assert whole[-1].stop == n_times
    assert len({w.start for w in windows}) == len(windows)


@settings(max_examples=60, deadline=None)
@given(x=hnp.arrays(np.float32, (2, 7), elements=st.floats(-1e3, 1e3, width=32)))
def test_samples_in_float32_are_written_to_the_bit_as_in_float64(x, tmp_path_factory):
    """float32 times 1e6 has fewer digits than float64 holds: it is rounded once, either way."""
    folder, info = tmp_path_factory.mktemp("stored"), mne.create_info(2, SFREQ, "eeg")
    target = scratch.create(x.shape, "float32")[1]
    target[...] = x
    for name, raw in {
        "one": RawFile.of(target, info, 0),
        "two": mne.io.RawArray(x.astype(float), info, verbose="error"),
    }.items():
        export(ProcessingContext(raw), folder / f"{name}.vhdr")
    assert (folder / "one.eeg").read_bytes() == (folder / "two.eeg").read_bytes()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(1, 4), st.integers(1, 40)),
        elements=st.one_of(st.floats(-9, 9), st.just(np.nan)),
    ),
    st.integers(1, 12),
)
def test_extremes_are_where_they_are_found(x, step):
    """The twin looks at whole channels."""
    extremes = Extremes(len(x))
    blocks = [
        extremes.note(start, x[:, start : start + step]) for start in range(0, x.shape[1], step)
    ]
    assert any(blocks) == np.isnan(x).any()
    for row, values, samples in zip(x, extremes.values, extremes.samples, strict=True):
        if np.isnan(row).all():
            continue
        assert values.tolist() == [np.nanmin(row), np.nanmax(row)]
        assert row[samples].tolist() == values.tolist()


@pytest.mark.parametrize("fmt", ["single", "double"])
@pytest.mark.parametrize("cal", [1.0, 1e-6, 3.7e-9])
def test_factors_of_a_recording_do_not_scale_a_fif_file(fmt, cal, tmp_path, monkeypatch):
    """FIF would hold them as float32, and double numbers would come back as other ones."""
    raw = make_raw()
    raw._data[0, :9] = np.nan, 0.0, -0.0, 1e-300, -1e-44, 1e9, np.inf, -np.inf, 5e-324
    for ch in raw.info["chs"]:
        ch["cal"] = cal
    monkeypatch.setattr(verify, "iter_blocks", lambda *_, **__: pytest.fail("all compared"))
    FIFExporter(tmp_path / "out.fif", fmt=fmt).execute(ProcessingContext(raw))
    back = mne.io.read_raw_fif(tmp_path / "out.fif", verbose="error").get_data()
    wanted = raw._data.astype(np.float32) if fmt == "single" else raw._data
    np.testing.assert_array_equal(back, wanted)
    assert {ch["cal"] for ch in raw.info["chs"]} == {cal}


@pytest.mark.parametrize("fmt", ["single", "double"])
def test_a_brainvision_recording_becomes_a_fif_file(fmt, tmp_path):
    export(ProcessingContext(make_raw()), tmp_path / "in.vhdr")
    given = Loader(tmp_path / "in.vhdr").execute(ProcessingContext())
    FIFExporter(tmp_path / "out.fif", fmt=fmt).execute(given)
    back = mne.io.read_raw_fif(tmp_path / "out.fif", verbose="error").get_data()
    tolerance = 2.0**-24 if fmt == "single" else 0.0
    np.testing.assert_allclose(back, given.get_raw().get_data(), rtol=tolerance, atol=0.0)


@settings(max_examples=40, deadline=None)
@given(
    x=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 30)),
        elements=st.floats(width=32, allow_nan=False),
    ),
    cal=st.floats(1e-12, 1e6),
    step=st.integers(1, 9),
)
def test_numbers_handed_over_are_recovered(x, cal, step):
    """What is read back is the number times the factor, rounded to float64."""
    n_times = x.shape[1]
    handed = HandedOver(Path("x"), np.full(len(x), cal), "<f4")
    for start in range(0, n_times, step):
        assert not handed.covers(n_times)
        block = x[:, start : start + step]
        handed.note(start, start + block.shape[1], iter(block.astype(float)))
    assert handed.covers(n_times)
    with np.errstate(over="ignore"):
        read = x.astype(float) * cal
    back = mne.io.RawArray(read, mne.create_info(len(x), SFREQ, "misc"), verbose="error")
    assert handed.is_intact(back)
    back._data[-1, -1] = 1.0 if read[-1, -1] != 1.0 else 2.0
    assert not handed.is_intact(back)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(
        st.binary(min_size=1, max_size=300).map(lambda some: some * (1 + 40 * (some[0] % 3))),
        min_size=1,
    ),
    data=st.data(),
)
def test_a_checksum_sees_each_change(pieces, data, tmp_path_factory):
    file = tmp_path_factory.mktemp("checksum") / "bytes"
    with file.open("wb", buffering=0) as sink:
        checked = CheckedFile(sink)
        for piece in pieces:
            checked.write(np.frombuffer(piece, dtype=np.uint8))
    stored = checked.close(file, np.zeros(1, dtype=int))
    assert file.read_bytes() == b"".join(pieces)
    assert stored.is_intact()
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(bytes(content))
    assert not stored.is_intact()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 30_000),
    cuts=st.lists(st.integers(0, 30_000), max_size=6),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_page_sums_do_not_depend_on_the_pieces(n, cuts, seed, data):
    """They see pages that are exchanged, left out or shifted, and any change of 32 bits."""
    content = np.random.default_rng(seed).integers(0, 256, n, dtype=np.uint8)

    def sum_up(octets, at=()):
        sums = PageSums()
        for piece in np.split(octets, sorted(at)):
            sums.add(piece)
        return sums.n_bytes, sums.value()

    known = sum_up(content)
    assert sum_up(content, cuts) == known
    if n < 2 * 4096:
        return
    first = 4096 * data.draw(st.integers(0, n // 4096 - 2))
    pages = slice(first, first + 4096), slice(first + 4096, first + 8192)
    for change in (content[first + 4096 :], content[4096:], content[:-1], np.roll(content, 1)):
        assert sum_up(change) != known
    swapped = content.copy()
    swapped[pages[0]], swapped[pages[1]] = content[pages[1]], content[pages[0]]
    assert sum_up(swapped) != known
    empty = content.copy()
    empty[pages[0]] = 0
    assert sum_up(empty) != known
    at, flips = data.draw(st.integers(0, n - 4)), data.draw(st.integers(1, 2**32 - 1))
    burst = content.copy()
    burst[at : at + 4] ^= np.frombuffer(flips.to_bytes(4, "little"), np.uint8)
    assert sum_up(burst) != known
