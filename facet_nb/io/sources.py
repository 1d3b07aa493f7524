"""Find the file and reader of a recording, check the file, and read it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.core.errors import FacetError
from facet_nb.core.recording import give_annotations
from facet_nb.io.integrity.brainvision import check_brainvision
from facet_nb.io.integrity.edf import check_bdf, check_edf, check_gdf
from facet_nb.io.integrity.fif import check_fif
from facet_nb.io.integrity.mat import check_mat
from facet_nb.io.messages import COPY_AGAIN, suggest, unusable
from facet_nb.io.units import repair_units

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True)
class Format:
    """A format that can be read.

    Attributes
    ----------
    label : str
        Name in messages.
    reader : str
        Name of the function in ``mne.io``.
    check : callable
        Raises ValidationError if the file is damaged or incomplete.
    verbose : str
        Log level of MNE while it reads.
    at_once : bool
        Whether reading the header costs as much as reading everything.
    """

    label: str
    reader: str
    check: Callable[[Path], None]
    verbose: str = "warning"
    at_once: bool = False


#: MNE warns about names that do not end in ``raw.fif``; a recording may have any name here.
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
#: Suffixes of further files of a recording, and that of its header file.
COMPANIONS = {".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}


def find_suffix(path: Path) -> str:
    """Return the suffix of a file in small letters; that of ``.fif.gz`` has two parts."""
    two = "".join(path.suffixes[-2:]).lower()
    return two if two in FORMATS else path.suffix.lower()


def find_source(path: str | Path) -> tuple[Path, Format]:
    """Return the file to read for `path`, and its format.

    Raises
    ------
    ValidationError
        If the file does not exist, or its suffix is unknown.
    """
    source = Path(path).expanduser()
    companion = COMPANIONS.get(source.suffix.lower())
    if companion is not None:
        head = source.with_suffix(companion)
        if not head.is_file():
            raise unusable(
                source,
                f"{head.name} is not beside it, and a {source.suffix} file cannot be read alone",
                f"Put {head.name} there, or give the {companion} file that belongs to it",
            )
        source = head
    kind = FORMATS.get(find_suffix(source))
    if kind is None:
        suffix = f"the suffix {source.suffix}" if source.suffix else "a name without suffix"
        raise unusable(
            source,
            f"{suffix} cannot be read",
            f"Give a file that ends in {', '.join(FORMATS)}, or read it with MNE and start from "
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


def open_recording(
    path: str | Path, preload: bool = False, verbose: str | None = None
) -> mne.io.BaseRaw:
    """Return the recording in `path` after checking that the file is complete.

    Parameters
    ----------
    path : path
        The file.
    preload : bool
        Whether to read the samples now. EEGLAB files without ``.fdt`` file are always loaded.
    verbose : str | None
        Log level of MNE; by default that of the format.

    Raises
    ------
    ValidationError
        If the file is missing, damaged, truncated, or of an unknown format.
    """
    import mne

    source, kind = find_source(path)
    try:
        kind.check(source)
        reader = _READERS.get(kind.reader) or getattr(mne.io, kind.reader)
        raw = reader(source, preload=preload and kind.at_once, verbose=verbose or kind.verbose)
        raw.get_channel_types()  # fails where the header holds types or units that do not exist
        _check_recording(source, raw)
        repair_units(raw, source)
    except FacetError:
        raise
    except Exception as error:  # a damaged file may raise any exception in MNE and scipy
        raise _unreadable(source, kind, error) from error
    if preload and not raw.preload:
        load_samples(raw, source)
    return raw


def _read_brainvision(path: Path, **options: Any) -> mne.io.BaseRaw:
    """Read as ``mne.io.read_raw_brainvision`` does, but without copies of each marker."""
    from mne.io.brainvision.brainvision import RawBrainVision

    return _read_sharing(RawBrainVision, path, options)


def _read_fif(path: Path, **options: Any) -> mne.io.BaseRaw:
    """Read as ``mne.io.read_raw_fif`` does, but with one copy of each marker, not with two."""
    import mne

    return _read_sharing(mne.io.Raw, path, options)


def _read_sharing(kind: type[Any], path: Path, options: dict[str, Any]) -> mne.io.BaseRaw:
    """Make a recording of a class of MNE, which takes over the annotations that it has read."""

    class Reader(kind):  # type: ignore[misc]  # MNE ships no type information
        def set_annotations(self, annotations: Any, *_: Any, **more: Any) -> Any:
            if annotations is None:
                super().set_annotations(None)
            else:
                give_annotations(super().set_annotations, annotations, **more)
            return self

    raw: mne.io.BaseRaw = Reader(path, **options)
    raw.__class__ = kind
    return raw


#: Readers in place of those of MNE.
_READERS = {"read_raw_brainvision": _read_brainvision, "read_raw_fif": _read_fif}


def load_samples(raw: mne.io.BaseRaw, path: Path) -> None:
    """Read the samples of `raw` into memory.

    Raises
    ------
    ValidationError
        If they cannot be read, or do not fit in memory.
    """
    try:
        raw.load_data(verbose="error")
    except MemoryError as error:
        n_mb = 8 * len(raw.ch_names) * raw.n_times / 1e6
        raise unusable(
            path,
            f"its samples need {n_mb:.0f} MB, more than is available",
            "Read a part of it (start_sample, stop_sample), or use preload=False",
        ) from error
    except Exception as error:
        what = f"its samples cannot be read ({_describe(error)})"
        raise unusable(path, what, COPY_AGAIN) from error


def _check_recording(source: Path, raw: mne.io.BaseRaw) -> None:
    """Raise ValidationError if MNE read an implausible header without an error."""
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
    """Check the location and size of EEGLAB's data file, which holds float32."""
    if data.parent.resolve() != source.parent.resolve():
        raise unusable(
            source,
            f"its header places the samples in {data}, outside its folder",
            f"Put {data.name} beside {source.name} and set EEG.data to its bare name",
        )
    there = data.stat().st_size
    if there != expected:
        what = f"truncated: {source.name} implies {expected} bytes, and it has {there}"
        raise unusable(data, what, COPY_AGAIN)


def _unreadable(source: Path, kind: Format, error: Exception) -> FacetError:
    if isinstance(error, PermissionError):
        return unusable(source, "no permission to read it", "Change its permissions, or copy it")
    return unusable(source, f"cannot be read as {kind.label} ({_describe(error)})", COPY_AGAIN)


def _describe(error: Exception) -> str:
    """Return type and message of an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
