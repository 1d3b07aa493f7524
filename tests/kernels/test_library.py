"""The compiled kernels: how they are called, and the same result with every instruction set."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter

from facet_nb.kernels.compiled import dispatch, library
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.compiled.library import find_kernel
from facet_nb.kernels.compiled.overlap_save import order
from facet_nb.kernels.filters import fir, iir, lms
from facet_nb.kernels.filters.common_reference import subtract_common
from facet_nb.kernels.resampling import double_rate_signal
from facet_nb.kernels.templates import subsample, subsample_channel

native = pytest.importorskip("facet_nb.kernels.compiled._native")

SETS = native.list_instructions()
NATIVE = Path(library.__file__).parent / "native"


@pytest.fixture(params=SETS)
def instructions(request, monkeypatch):
    monkeypatch.setattr(library, "find_instructions", lambda: request.param)
    return request.param


# ------------------------------------------------------------------------------- what they compute
def run_all(x, n_taps, window):
    """Return the result of every kernel for signals `x`, shape (n_channels, n_times)."""
    n_times = x.shape[1]
    taps = np.hanning(n_taps + 2)[1:-1] / n_taps
    row = np.ascontiguousarray(x[0])
    results = {
        "FIR": fir.filter_zero_phase(x, taps),
        "IIR": iir.filter_sos(x, butter(7, 0.2, output="sos"), padlen=min(40, n_times - 1)),
        "median": subtract_common(x),
        "LMS": lms.cancel_adaptively(row.astype(float), row[::-1].astype(float), n_taps, 1e-3),
    }
    if n_times > 6 * 90 + 2 * subsample.HALO:
        layout = subsample.Layout.of(np.arange(40, n_times - 130, 90.3), 90, n_times)
        for sliding in (False, True):
            results[f"templates, sliding={sliding}"] = subsample_channel.correct(
                row, layout, window=window, threshold=0.3, sliding=sliding
            )
    n = max(1, n_times - n_taps)
    long = np.pad(row, (0, n_taps + 1))
    rows = np.empty((2, n), x.dtype)
    filters = np.stack([taps, taps[::-1] ** 2]).astype(x.dtype)
    double_rate_signal.delay_rows(long, np.array([0, 1]), np.array([1, 0]), filters, rows)
    even, odd = row.copy(), row[::-1].copy()
    places = np.array([-3, 0, n_times, 2 * n_times - 1, -5 * n_times])
    double_rate_signal.add_rows(even, odd, places, np.array([0, 1, 1, 0, 1]), rows)
    return results | {"delay": rows, "add": np.stack([even, odd])}


SHAPES = [(1, 1), (1, 3), (3, 7), (4, 700), (5, 701), (17, 130), (16, 9000)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_instruction_set_does_what_numpy_does(shape, dtype, instructions):
    x = np.random.default_rng(shape[1]).standard_normal(shape).astype(dtype)
    got = run_all(x, 9, 5)
    with use_compiled(frozenset()):
        expected = run_all(x, 9, 5)
    assert got.keys() == expected.keys()
    for name, values in got.items():
        assert values.dtype == expected[name].dtype
        atol = 1e-12 if values.dtype == np.float64 else 2e-5
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=atol, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(
    n_channels=st.integers(1, 20),
    n_times=st.integers(1, 900),
    n_taps=st.sampled_from([1, 5, 33, 101]),
    window=st.integers(1, 40),
    char=st.sampled_from("df"),
    seed=st.integers(0, 99),
)
def test_a_channel_does_not_depend_on_the_others(n_channels, n_times, n_taps, window, char, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_channels, n_times)).astype(char)
    i = int(rng.integers(n_channels))
    taps = np.hanning(n_taps + 2)[1:-1] / n_taps
    sos = butter(5, 0.1, output="sos")
    for run in (
        lambda x: fir.filter_zero_phase(x, taps),
        lambda x: iir.filter_sos(x, sos, padlen=min(window, n_times - 1)),
    ):
        assert np.array_equal(run(x)[i], run(x[i : i + 1])[0])
        assert np.array_equal(run(x[::-1])[n_channels - 1 - i], run(x)[i])
        wide = np.repeat(x, 2, axis=1)[:, ::2]  # samples that do not follow one another
        assert np.array_equal(run(wide), run(x))


@pytest.mark.parametrize("n_taps", [1, 2, 3, 4, 7, 15, 16, 17, 40, 63])
def test_instruction_sets_agree_on_sums_to_the_bit(n_taps, monkeypatch):
    x = np.random.default_rng(n_taps).standard_normal((2, 400))
    results = []
    for name in SETS:
        monkeypatch.setattr(library, "find_instructions", lambda name=name: name)
        results.append(lms.cancel_adaptively(*x, n_taps, 1e-3))
    assert all(np.array_equal(result, results[0]) for result in results)


def test_order_names_each_frequency_once():
    for log2 in range(10):
        assert np.array_equal(np.sort(order(1 << log2)), np.arange(1 << log2))


# ------------------------------------------------------------------------------- how to call them
def test_arrays_of_another_kind_are_refused():
    run = find_kernel("add_rows", "d")
    x, where, rows = np.zeros(8), np.zeros(1, np.int64), np.ones((1, 4))

    def call(even=x, odd=x, which=where, n=8):
        run(even, odd, n, where, which, 1, rows, 4)

    call()
    assert x.tolist() == [2, 2, 0, 0, 0, 0, 0, 0]
    for wrong in (
        {"even": np.zeros(8, np.float32)},
        {"even": np.zeros(8, np.int64)},
        {"even": np.zeros(8, ">f8")},
        {"even": np.zeros(16)[::2]},
        {"which": np.zeros(1)},
        {"which": np.zeros(1, np.int32)},
        {"n": 8.5},
        {"odd": "no array"},
    ):
        with pytest.raises(TypeError):
            call(**wrong)
    fixed = np.zeros(8)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        call(odd=fixed)
    for arguments in ((), (x,), (x, x, 8, where, where, 1, rows, 4, 4)):
        with pytest.raises(TypeError, match="arguments"):
            run(*arguments)
    with pytest.raises(TypeError, match="kernel"):
        native.call(1, x)
    with pytest.raises(LookupError, match="no kernel"):
        native.find("no_such", "d", SETS[0])
    assert x.tolist() == [2, 2, 0, 0, 0, 0, 0, 0]


def test_arguments_are_read_as_they_are_declared():
    """The table of kernels and the first lines of each kernel name the same arguments."""
    table = re.findall(r'\{"(\w+)", "([\w ]+)", (\w+)\}', (NATIVE / "kernels.h").read_text())
    text = "".join(path.read_text() for path in sorted(NATIVE.glob("*.h")))
    assert len(table) == text.count("(const argument *a)")
    letters = {"real": "x", "double": "d", "int64_t": "q", "epoch": "q", "int16_t": "s"}
    for name, kinds, function in table:
        assert name == function
        body = re.search(rf"static void {name}\(const argument \*a\)\n\{{\n(.*?)\n\}}", text, re.S)
        read = {}
        for line in body[1].split(";"):
            for i, field in re.findall(r"= a\[(\d+)\]\.(\w+)", line):
                kind = re.match(r"\s*(const )?(\w+) ", line)
                if field != "array":
                    read[int(i)] = field
                elif kind[2] == "double" and name == "lms":
                    read[int(i)] = "x" if kind[1] else "X"
                else:
                    letter = letters[kind[2]]
                    read[int(i)] = letter if kind[1] else letter.upper()
        expected = list(kinds.replace(" ", ""))
        # A line may hold numbers and arrays of the same type: "double step = …, *weights = …".
        assert [read[i] for i in range(len(read))] == expected, name


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("single", [0, 1])
def test_the_benchmarks_call_the_kernels_as_they_are(single):
    """Rates of the innermost loops, to which benchmarks/table.py compares all others."""
    source = Path(__file__).parents[2] / "benchmarks" / "_lanes.c"
    kinds = [f"-DREAL_IS_FLOAT={single}", "-DUSE_AVX2=0"]
    options = ["-std=gnu11", "-Wno-psabi", "-Wincompatible-pointer-types", "-Wint-conversion"]
    subprocess.run(["cc", *options, "-Werror", "-fsyntax-only", *kinds, source], check=True)


def test_constants_in_c_equal_those_in_python():
    text = (NATIVE / "shifted_templates.h").read_text()
    for name in ("TAPS", "GRID", "HALO"):
        assert int(re.search(rf"\b{name} = (\d+)", text)[1]) == getattr(subsample, name)
    assert subsample.MARGIN == subsample.TAPS // 2 + 1
    assert f"#define VERSION {library.VERSION}\n" in (NATIVE / "module.c").read_text()


# ---------------------------------------------------------------------------- where there are none
@pytest.fixture
def reload(monkeypatch):
    """Return a function that loads the library anew, as `find` gives it."""

    def load(find):
        monkeypatch.setattr(library, "import_module", find)
        library.load_library.cache_clear()
        library.find_instructions.cache_clear()
        return library.load_library()

    yield load
    monkeypatch.undo()
    library.load_library.cache_clear()
    library.find_instructions.cache_clear()


def fail(error):
    raise error


@pytest.mark.parametrize(
    "find, reason",
    [
        (lambda name: fail(ModuleNotFoundError(name)), "were not built"),
        (lambda name: fail(ImportError("wrong ELF class")), "wrong ELF class"),
        (lambda name: SimpleNamespace(VERSION=0), "other sources"),
    ],
)
def test_without_a_library_the_reason_and_the_remedy_are_told(find, reason, reload):
    assert reload(find) == (None, library.load_library()[1])
    assert reason in library.describe() and "C compiler" in library.describe()
    assert not dispatch.has_compiled() and dispatch.find_compiled("median", "median_across") is None
    with use_compiled(frozenset({"median"})), pytest.raises(ImportError, match="C compiler"):
        subtract_common(np.zeros((2, 3)))  # a worker without the kernels of its run
