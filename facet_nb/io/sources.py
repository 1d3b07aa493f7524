"""Where a recording comes from: which file, which reader, and whether the file is whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facet_nb.core.errors import FacetError
from facet_nb.io.integrity.brainvision import check_brainvision
from facet_nb.io.integrity.edf import check_bdf, check_edf, check_gdf
from facet_nb.io.integrity.fif import check_fif
from facet_nb.io.integrity.mat import check_mat
from facet_nb.io.messages import COPY_AGAIN, suggest, unusable


@dataclass(frozen=True)
class Format:
    """A format that can be read.

    Attributes
    ----------
    label : str
        Its name for people.
    reader : str
        Name of the function in ``mne.io``.
    check : callable
        Raises ValidationError if the file is not whole.
    verbose : str
        What MNE may say while it reads.
    at_once : bool
        Whether reading the header alone costs as much as reading all.
    """

    label: str
    reader: str
    check: Callable[[Path], None]
    verbose: str = "warning"
    at_once: bool = False


#: MNE warns of every name that does not end in ``raw.fif``; that is no concern of ours.
_FIF = Format("FIF", "read_raw_fif", check_fif, verbose="error")
FORMATS = {
    ".edf": Format("EDF", "read_raw_edf", check_edf),
    ".bdf": Format("BDF", "read_raw_bdf", check_bdf),
    ".gdf": Format("GDF", "read_raw_gdf", check_gdf),
    ".vhdr": Format("BrainVision", "read_raw_brainvision", check_brainvision),
    ".set": Format("EEGLAB", "read_raw_eeglab", check_mat, at_once=True),
    ".fif": _FIF,
    ".fif.gz": _FIF,
}
#: Files that are one part of a recording, and the part that begins it.
_COMPANIONS = {".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}


def find_source(path: str | Path) -> tuple[Path, Format]:
    """Return the file to read for `path`, and its format.

    Raises
    ------
    ValidationError
        If there is no such file, or no reader for its suffix.
    """
    source = Path(path).expanduser()
    companion = _COMPANIONS.get(source.suffix.lower())
    if companion is not None:
        head = source.with_suffix(companion)
        if not head.is_file():
            raise unusable(
                source,
                f"{head.name} is not beside it, and a {source.suffix} file cannot be read alone",
                f"Put {head.name} there, or give the {companion} file that belongs to it",
            )
        source = head
    kind = FORMATS.get("".join(source.suffixes[-2:]).lower()) or FORMATS.get(source.suffix.lower())
    if kind is None:
        suffix = f"the suffix {source.suffix}" if source.suffix else "a name without suffix"
        raise unusable(
            source,
            f"{suffix} is none that can be read",
            f"Give a file that ends in {', '.join(FORMATS)}, or read it yourself and begin with "
            "ProcessingContext(raw)",
        )
    if not source.is_file():
        raise unusable(source, *_missing(source))
    return source, kind


def _missing(source: Path) -> tuple[str, str]:
    folder = source.parent
    if source.is_dir():
        return "this is a folder", "Give one of the files in it"
    if not folder.is_dir():
        return f"there is no folder {folder}", f"The current folder is {Path.cwd()}"
    near = suggest(source.name, (p.name for p in folder.iterdir()))
    remedy = f"Did you mean {' or '.join(near)}" if near else "Check the folder and the spelling"
    return "there is no such file", remedy


def open_recording(path: str | Path, preload: bool = False, verbose: str | None = None) -> Any:
    """Return the recording in `path`, an ``mne.io.Raw``, if the file is whole.

    Parameters
    ----------
    path : path
        The file.
    preload : bool
        Whether to read samples now. EEGLAB files that hold their samples themselves always do.
    verbose : str | None
        What MNE may say; None for its warnings.

    Raises
    ------
    ValidationError
        If the file is missing, damaged, truncated, or of an unknown kind.
    """
    import mne

    source, kind = find_source(path)
    try:
        kind.check(source)
        reader = getattr(mne.io, kind.reader)
        raw = reader(source, preload=preload, verbose=verbose or kind.verbose)
        _check_recording(source, raw)
    except FacetError:
        raise
    except Exception as error:  # MNE's readers raise whatever the damage makes them stumble over
        raise _unreadable(source, kind, error) from error
    return raw


def load_samples(raw: Any, path: Path) -> None:
    """Read the samples of `raw` into memory.

    Raises
    ------
    ValidationError
        If they cannot be read, or do not fit.
    """
    try:
        raw.load_data(verbose="error")
    except MemoryError as error:
        n_mb = 8 * len(raw.ch_names) * raw.n_times / 1e6
        raise unusable(
            path,
            f"its samples need {n_mb:.0f} MB, more than there is",
            "Read a part of it (start_sample, stop_sample), or with preload=False",
        ) from error
    except Exception as error:
        what = f"its samples cannot be read ({_describe(error)})"
        raise unusable(path, what, COPY_AGAIN) from error


def _check_recording(source: Path, raw: Any) -> None:
    """Refuse what MNE has read from a header that makes no sense."""
    sfreq = float(raw.info["sfreq"])
    if not (math.isfinite(sfreq) and sfreq > 0):
        raise unusable(source, f"its sampling rate is {sfreq} Hz", COPY_AGAIN)
    if raw.n_times < 1 or not raw.ch_names:
        what = f"it holds {len(raw.ch_names)} channels and {raw.n_times} samples"
        raise unusable(source, what, COPY_AGAIN)
    data = raw.filenames[0]
    if data is not None and Path(data).suffix.lower() == ".fdt":
        _check_fdt(source, Path(data), 4 * len(raw.ch_names) * raw.n_times)


def _check_fdt(source: Path, data: Path, expected: int) -> None:
    """Check EEGLAB's data file: float32, channels within samples."""
    if data.parent.resolve() != source.parent.resolve():
        raise unusable(
            source,
            f"its samples are said to be in {data}, outside its folder",
            f"Put {data.name} beside {source.name} and set EEG.data to its bare name",
        )
    there = data.stat().st_size
    if there != expected:
        what = f"truncated: {source.name} tells of {expected} bytes, and it holds {there}"
        raise unusable(data, what, COPY_AGAIN)


def _unreadable(source: Path, kind: Format, error: Exception) -> FacetError:
    if isinstance(error, PermissionError):
        return unusable(source, "this file may not be read", "Change its permissions, or copy it")
    return unusable(source, f"cannot be read as {kind.label} ({_describe(error)})", COPY_AGAIN)


def _describe(error: Exception) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
