"""Write the records of an EDF or BDF file one after another, without loading the recording.

edfio needs all samples in memory. So it writes header and annotations of a skeleton, a file with
one sample of each channel per record, and the samples are inserted here.

The layout: EDF, https://doi.org/10.1016/0013-4694(92)90009-7.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.storage import scratch
from facet_nb.io.checksum import CheckedFile, Stored
from facet_nb.io.formats.edf_limits import Depth

#: Values that are encoded at once: 4 MB as float64.
_VALUES = 2**19

_FIXED_BYTES, _SIGNAL_BYTES = 256, 256

#: Bytes in a signal's header before its number of samples per record, and of that number.
_BEFORE_SAMPLES, _SAMPLES_BYTES = 216, 8


@dataclass(frozen=True)
class Records:
    """Encoding of samples as records.

    Attributes
    ----------
    depth : Depth
        ``EDF`` or ``BDF``.
    n_samples : int
        Samples per channel and record.
    factors, gains, offsets : ndarray, shape (n_channels,)
        A sample is stored as ``round(sample * factor / gain - offset)``.
    """

    depth: Depth
    n_samples: int
    factors: np.ndarray
    gains: np.ndarray
    offsets: np.ndarray

    def encode(self, data: np.ndarray, first: int, n_records: int) -> np.ndarray:
        """Return records of `data`, shape (n_records, n_bytes), padded with the last sample."""
        n_bytes, n = self.depth.n_bytes, self.n_samples
        stop = min((first + n_records) * n, data.shape[1])
        records = np.empty((n_records, len(data) * n * n_bytes), dtype=np.uint8)
        width = n * n_bytes
        for i, row in enumerate(data):
            values = row[first * n : stop].astype(float)
            values *= self.factors[i]
            values /= self.gains[i]
            values -= self.offsets[i]
            if missing := n_records * n - len(values):
                values = np.pad(values, (0, missing), mode="edge")
            codes = np.rint(values, out=values).astype("<i4")
            # Of a code, the two or three bytes that the format holds.
            if n_bytes == 2:
                octets = codes.astype("<i2").view(np.uint8)
            else:
                octets = codes.view(np.uint8).reshape(-1, 4)[:, :n_bytes]
            records[:, i * width : (i + 1) * width] = octets.reshape(n_records, width)
        return records


def write_records(
    skeleton: Any, data: np.ndarray, records: Records, file: Path, extremes: np.ndarray
) -> Stored:
    """Write a file with header and annotations of `skeleton` and the samples of `data`.

    Parameters
    ----------
    skeleton : edfio.Edf or edfio.Bdf
        A file with one sample of each channel per record.
    data : ndarray, shape (n_channels, n_times)
        The samples.
    records : Records
        The encoding of the samples.
    file : Path
        The file to write.
    extremes : ndarray of int
        Samples at which a channel has its smallest or largest value.

    Returns
    -------
    Stored
        The bytes that were written.
    """
    buffer = io.BytesIO()
    skeleton.write(buffer)
    n_channels, n_total = len(data), len(data) + 1
    n_header = _FIXED_BYTES + n_total * _SIGNAL_BYTES
    header = bytearray(buffer.getvalue()[:n_header])
    for i in range(n_channels):
        at = _FIXED_BYTES + n_total * _BEFORE_SAMPLES + i * _SAMPLES_BYTES
        header[at : at + _SAMPLES_BYTES] = str(records.n_samples).ljust(_SAMPLES_BYTES).encode()
    body = np.frombuffer(buffer.getbuffer()[n_header:], dtype=np.uint8)
    rest = body.reshape(skeleton.num_data_records, -1)[:, n_channels * records.depth.n_bytes :]
    step = max(1, _VALUES // (n_channels * records.n_samples))
    with file.open("wb", buffering=0) as sink:
        checked = CheckedFile(sink)
        checked.write(np.frombuffer(header, dtype=np.uint8))
        for first in range(0, len(rest), step):
            marks = rest[first : first + step]
            samples = records.encode(data, first, len(marks))
            checked.write(np.concatenate([samples, marks], axis=1))
            scratch.forget(data)
    return checked.close(file, extremes)
