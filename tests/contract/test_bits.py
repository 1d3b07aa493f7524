"""The answers are those of the stored list, to the bit: samples, triggers, noise and figures.

The last bits depend on processor and libraries, so the list holds for one environment; it is
skipped elsewhere. ``python -m tests.contract.test_bits`` writes it anew: do so with the code
*before* a change that must not change results.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    BandPassFilter,
    HighPassFilter,
    Loader,
    LowPassFilter,
    NotchFilter,
    PCACorrection,
    Pipeline,
    ProcessingContext,
    PulseCorrection,
    QRSTriggerDetector,
    export,
    gradient_correction,
)
from facet_nb.kernels.compiled.choice import choose_kernels
from facet_nb.kernels.compiled.library import find_instructions
from tests.contract.recordings import detect, full_chain, make_context
from tests.contract.test_processors import STEPS, chain

STORED = Path(__file__).resolve().parent.parent / "data" / "bits.json"

WAYS = [
    {"mode": "serial"},
    {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2},
]

Hashes = dict[str, str]

#: Fields of the metadata that came after the hashes were stored.
LATER_FIELDS = ("ref_channel",)


# ----------------------------------------------------------------------------- the environment
def describe_environment() -> dict[str, str]:
    """Return what the last bits of an answer depend on."""
    return {
        "processor": _processor(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in ("numpy", "scipy", "mne", "pandas")},
        "kernels": find_instructions() if choose_kernels().compiled else "numpy",
    }


def _processor() -> str:
    """Return the processor's name, and its instructions in short where they can be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in reversed(text.splitlines()))
    values = {key.strip(): value.strip() for key, _, value in pairs}  # of the first core
    instructions = " ".join(sorted(values.get("flags", "").split()))
    short = hashlib.sha256(instructions.encode()).hexdigest()[:8]
    return f"{values.get('model name', platform.machine())} {short}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


# ----------------------------------------------------------------------------------- the chains
def filters() -> list:
    return [
        *detect(),
        HighPassFilter(1.0),
        NotchFilter([50.0, 100.0]),
        AASCorrection(window_size=12, subsample=True),
        ANCCorrection(),
        LowPassFilter(70.0),
    ]


def pulse() -> list:
    return [
        *detect(),
        AASCorrection(window_size=12),
        QRSTriggerDetector(),
        PulseCorrection(check_gradient=False),
        BandPassFilter(1.0, 40.0, method="iir"),
    ]


CHAINS: dict[str, Callable[[], list]] = {
    "x10": full_chain,
    "gradient_correction": lambda: list(gradient_correction()),
    "filters": filters,
    "pulse": pulse,
    "pca": lambda: [*full_chain()[:-1], PCACorrection(n_components=0.95), ANCCorrection()],
}
#: Name in the list: chain and options.
SPECIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "x10, float32": ("x10", {"dtype": "float32"}),
    "filters, float32": ("filters", {"dtype": "float32"}),
    "x10, chunks": ("x10", {"chunk_duration_s": 4.0}),
    "filters, chunks": ("filters", {"chunk_duration_s": 4.0}),
    "x10, not fused": ("x10", {"fuse": False}),
}


def run_step(name: str, ctx: ProcessingContext, **options: Any) -> Hashes:
    """Return the hashes behind one registered processor, and what it needs before it."""
    return run(chain(name), ctx, **options)


def run(steps: list, ctx: ProcessingContext | None, **options: Any) -> Hashes:
    """Return the hashes of the result of a chain."""
    result = Pipeline(steps).run(ctx, raise_on_error=True, show_progress=False, **options)
    return find_hashes(result.get_context())


def run_file(ctx: ProcessingContext, folder: Path) -> Hashes:
    """Return the hashes of a chain whose samples pass from a file to a file, in chunks."""
    path = folder / "recording_raw.fif"
    export(ctx, path)
    steps = [Loader(str(path), preload=False), *filters()]
    return run(steps, None, mode="channel_sequential", chunk_duration_s=4.0)


def find_hashes(context: ProcessingContext) -> Hashes:
    """Return the hash of each part of a result."""
    raw = context.get_raw()
    parts = {"samples": _hash(raw.get_data())}
    if context.get_triggers() is not None:
        parts["triggers"] = _hash(np.asarray(context.get_triggers(), dtype=np.int64))
    if context.has_estimated_noise():
        parts["noise"] = _hash(context.get_estimated_noise())
    metadata = context.metadata.to_dict()
    for name in LATER_FIELDS:
        metadata.pop(name)
    facts = [metadata, raw.ch_names, raw.info["bads"], repr(raw.info["sfreq"])]
    text = json.dumps(facts, sort_keys=True, default=_plain)
    parts["facts"] = hashlib.sha256(text.encode()).hexdigest()
    return parts


def _hash(array: np.ndarray) -> str:
    values = np.ascontiguousarray(array, array.dtype if array.dtype.kind == "i" else np.float64)
    head = f"{values.shape}{values.dtype.str}".encode()
    return hashlib.sha256(head + values.tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else repr(value)


# ------------------------------------------------------------------------------------ the tests
@pytest.fixture(scope="module")
def stored():
    content = json.loads(STORED.read_text(encoding="utf-8"))
    here = describe_environment()
    other = [f"{k}: {v}, not {here[k]}" for k, v in content["environment"].items() if v != here[k]]
    if other:
        pytest.skip(f"the stored bits are of another environment ({'; '.join(other)})")
    return content["hashes"]


@pytest.fixture(scope="module")
def ctx():
    return make_context()


def test_the_recording_is_that_of_the_list(stored, ctx):
    """Where this fails, the simulation has changed, and all the others fail with it."""
    assert find_hashes(ctx) == stored["recording"]


@pytest.mark.parametrize("name", STEPS)
def test_every_processor(stored, ctx, name):
    if name not in stored:
        pytest.skip(f"{name} is newer than the stored list")
    for options in WAYS:
        assert run_step(name, ctx, **options) == stored[name], options


def test_no_processor_of_the_list_has_gone(stored):
    others = {"recording", "file in chunks", *(f"chain {n}" for n in [*CHAINS, *SPECIAL])}
    assert set(stored) - others <= set(STEPS)
    assert others <= set(stored)


@pytest.mark.parametrize("name", CHAINS)
def test_chains(stored, ctx, name):
    for options in WAYS:
        assert run(CHAINS[name](), ctx, **options) == stored[f"chain {name}"], options


@pytest.mark.parametrize("name", SPECIAL)
def test_chains_with_options(stored, ctx, name):
    steps, more = SPECIAL[name]
    for options in WAYS:
        assert run(CHAINS[steps](), ctx, **options, **more) == stored[f"chain {name}"], options


def test_a_file_in_chunks(stored, ctx, tmp_path):
    assert run_file(ctx, tmp_path) == stored["file in chunks"]


def write() -> None:
    """Store the hashes of the code as it is now, as the serial run gives them."""
    ctx, way = make_context(), WAYS[0]
    hashes = {"recording": find_hashes(ctx)}
    hashes |= {name: run_step(name, ctx, **way) for name in sorted(STEPS)}
    hashes |= {f"chain {name}": run(steps(), ctx, **way) for name, steps in CHAINS.items()}
    for name, (steps, more) in SPECIAL.items():
        hashes[f"chain {name}"] = run(CHAINS[steps](), ctx, **way, **more)
    with TemporaryDirectory() as folder:
        hashes["file in chunks"] = run_file(ctx, Path(folder))
    content = {"environment": describe_environment(), "hashes": hashes}
    STORED.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
