"""Check that an EDF, BDF or GDF file has as many samples as its header states.

MNE takes the number of records from the size of the file, so it reads a truncated file as a short
recording.

The layouts: EDF, https://doi.org/10.1016/0013-4694(92)90009-7; EDF+,
https://doi.org/10.1016/S1388-2457(03)00123-8; GDF, https://arxiv.org/abs/cs/0608052.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

from facet_nb.core.findings import FindingError, make_finding
from facet_nb.io.messages import COPY_AGAIN, unusable

_FIXED_BYTES = 256

_SIGNAL_BYTES = 256

#: Bytes in a signal's header before its number of samples per record.
_BEFORE_SAMPLES = 216

#: Bytes in a signal's header before its physical dimension.
_BEFORE_UNITS = 96

#: Labels of the signals that hold annotations.
_ANNOTATIONS = (b"EDF Annotations", b"BDF Annotations")

#: Largest rounding error of an onset in its text, in s.
_SAME_S = 1e-3

#: Bytes of one value, by GDF's type code.
_GDF_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8}


def check_edf(path: Path) -> None:
    """Raise ValidationError if an EDF file is damaged or truncated."""
    if _read(path, 0, 1) == b"\xff":
        raise unusable(path, "this is a BDF file by its first byte", "Give it the suffix .bdf")
    _check_records(path, "EDF", bytes_per_sample=2)


def check_bdf(path: Path) -> None:
    """Raise ValidationError if a BDF file is damaged or truncated."""
    if _read(path, 0, 1) != b"\xff":
        raise unusable(
            path,
            "this is not a BDF file by its first byte",
            "If it is an EDF file, give it the suffix .edf",
        )
    _check_records(path, "BDF", bytes_per_sample=3)


def _check_records(path: Path, kind: str, bytes_per_sample: int) -> None:
    fixed = _read(path, 0, _FIXED_BYTES)
    try:
        n_header, n_records, n_signals = (
            _number(fixed[a:b]) for a, b in ((184, 192), (236, 244), (252, 256))
        )
        counts = _read(path, _FIXED_BYTES + _BEFORE_SAMPLES * max(n_signals, 0), 8 * n_signals)
        samples = [_number(counts[8 * i : 8 * i + 8]) for i in range(n_signals)]
    except ValueError as error:
        raise _damaged(path, kind, "a number in it cannot be read") from error
    if n_signals < 1 or n_header != _FIXED_BYTES + _SIGNAL_BYTES * n_signals:
        raise _damaged(path, kind, f"{n_signals} signals do not fit in {n_header} bytes")
    if min(samples) < 0 or sum(samples) < 1:
        raise _damaged(path, kind, "its records hold no samples")
    _check_length(path, n_header, n_records, bytes_per_sample * sum(samples))
    if fixed[192:197] in (b"EDF+D", b"BDF+D"):
        labels = _read(path, _FIXED_BYTES, 16 * n_signals)
        names = [labels[16 * i : 16 * i + 16].strip() for i in range(n_signals)]
        record = [bytes_per_sample * n for n in samples]
        at = next((i for i, name in enumerate(names) if name in _ANNOTATIONS), None)
        if at is not None:
            _check_onsets(path, kind, fixed, (n_header, sum(record[:at]), sum(record), record[at]))


def _check_onsets(path: Path, kind: str, fixed: bytes, layout: tuple[int, int, int, int]) -> None:
    """Raise FindingError if records do not follow one another without a gap.

    `layout` is the length of the header, the position of the annotations in a record, the length
    of a record, and that of its annotations, in bytes.
    """
    n_header, begin, length, n_bytes = layout
    duration_s, n_records = float(fixed[244:252]), (path.stat().st_size - n_header) // length
    onsets = []
    with path.open("rb") as file:
        for i in range(n_records):
            file.seek(n_header + i * length + begin)
            text = file.read(n_bytes).partition(b"\x14")[0].partition(b"\x15")[0]
            try:
                onsets.append(float(text))
            except ValueError as error:
                raise unusable(path, f"record {i} has no onset", COPY_AGAIN) from error
    gaps = [
        (before + duration_s - onsets[0], after - before - duration_s)
        for before, after in pairwise(onsets)
        if abs(after - before - duration_s) > _SAME_S
    ]
    if gaps:
        listed = ", ".join(f"{gap:.4g} s after {at:.6g} s" for at, gap in gaps[:4])
        more = f", … {len(gaps) - 4} more" if len(gaps) > 4 else ""
        raise FindingError(
            make_finding(
                "recording_discontinuous",
                f"{path}: this {kind}+D file has gaps in time: {listed}{more}. "
                "Markers keep real time, and samples would be read as if there were none.",
                severity="error",
                span_s=[(at, at + max(gap, 0.0)) for at, gap in gaps],
                n=len(gaps),
            )
        )


def list_units(path: Path) -> list[str]:
    """Return the physical dimension of each signal of an EDF or BDF file, as it is spelled."""
    n_signals = _number(_read(path, 252, 4))
    text = _read(path, _FIXED_BYTES + _BEFORE_UNITS * n_signals, 8 * n_signals)
    return [text[8 * i : 8 * i + 8].decode("latin-1").strip(" \0") for i in range(n_signals)]


def check_gdf(path: Path) -> None:
    """Raise ValidationError if a GDF file is damaged or truncated."""
    fixed = _read(path, 0, _FIXED_BYTES)
    if not fixed.startswith(b"GDF ") or len(fixed) < _FIXED_BYTES:
        raise _damaged(path, "GDF", "it does not begin with 'GDF'")
    try:
        version = float(fixed[4:8])
    except ValueError as error:
        raise _damaged(path, "GDF", "its version cannot be read") from error
    (n_records,) = struct.unpack_from("<q", fixed, 236)
    if version < 1.9:
        (n_header,) = struct.unpack_from("<q", fixed, 184)
        (n_signals,) = struct.unpack_from("<I", fixed, 252)
    else:
        n_header = 256 * struct.unpack_from("<H", fixed, 184)[0]
        (n_signals,) = struct.unpack_from("<H", fixed, 252)
    if n_signals < 1 or n_header < _FIXED_BYTES + _SIGNAL_BYTES * n_signals:
        raise _damaged(path, "GDF", f"{n_signals} signals do not fit in {n_header} bytes")
    table = _read(path, _FIXED_BYTES + _BEFORE_SAMPLES * n_signals, 8 * n_signals)
    if len(table) < 8 * n_signals:
        raise _damaged(path, "GDF", "the file ends within it")
    numbers = struct.unpack(f"<{2 * n_signals}I", table)
    samples, types = numbers[:n_signals], numbers[n_signals:]
    if any(code not in _GDF_BYTES for code in types) or sum(samples) < 1:
        raise _damaged(path, "GDF", "unknown sample types, or no samples")
    n_bytes = sum(n * _GDF_BYTES[code] for n, code in zip(samples, types, strict=True))
    _check_length(path, n_header, n_records, n_bytes)


def _check_length(path: Path, n_header: int, n_records: int, record_bytes: int) -> None:
    """Compare the file's size with its header; -1 records mean that it was never closed."""
    n_bytes = path.stat().st_size - n_header
    there = max(n_bytes, 0) // record_bytes
    if there < 1 or n_records == 0:
        raise unusable(path, "it has no complete record of samples after its header", COPY_AGAIN)
    if there < n_records:
        what = f"truncated: its header states {n_records} records, and it has {there}"
        raise unusable(path, what, COPY_AGAIN)
    if n_records < -1:
        raise unusable(path, f"its header states {n_records} records", COPY_AGAIN)


def _number(field: bytes) -> int:
    """Return a number from its text, which some recorders end with a zero byte."""
    return int(field.split(b"\0")[0])


def _damaged(path: Path, kind: str, what: str) -> Exception:
    return unusable(path, f"its {kind} header is damaged: {what}", COPY_AGAIN)


def _read(path: Path, start: int, n_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(max(n_bytes, 0))
