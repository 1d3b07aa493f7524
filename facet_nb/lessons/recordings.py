"""Recordings by name: a header and markers without samples, for plans of large recordings."""

from __future__ import annotations

from pathlib import Path

_HEADER = """BrainVision Data Exchange Header File Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
MarkerFile={name}.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n_channels}
SamplingInterval={interval_us:g}
[Binary Infos]
BinaryFormat=INT_16
[Channel Infos]
"""
_MARKERS = """BrainVision Data Exchange Marker File, Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
[Marker Infos]
"""


def write_header_only(
    folder: str | Path,
    name: str = "large",
    n_channels: int = 64,
    sfreq: float = 5000.0,
    duration_s: float = 1200.0,
    volume_s: float = 2.0,
) -> Path:
    """Write a BrainVision recording whose samples take no space, for plans of large recordings.

    The samples are a hole in a sparse file: zeros that take no disk space, where the file system
    supports this. A plan reads the header only; a run would correct zeros.

    Parameters
    ----------
    folder : str | path
        Folder; created if it is missing.
    name : str
        Name of the files without suffix.
    n_channels : int
        Number of channels, ``Ch1``, ``Ch2``, ….
    sfreq : float
        Sampling rate, in Hz.
    duration_s : float
        Length, in s.
    volume_s : float
        Interval of the markers of volumes (``R  1``), in s, from 5 s after the beginning to 4 s
        before the end.

    Returns
    -------
    Path
        The header, ``<name>.vhdr``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / f"{name}.vhdr"
    n_times = round(duration_s * sfreq)
    text = _HEADER.format(name=name, n_channels=n_channels, interval_us=1e6 / sfreq)
    text += "".join(f"Ch{k}=Ch{k},,0.5,µV\n" for k in range(1, n_channels + 1))
    header.write_text(text, encoding="utf-8")
    n_volumes = int((duration_s - 9.0) / volume_s)
    starts = (1 + round((5.0 + k * volume_s) * sfreq) for k in range(n_volumes))
    markers = _MARKERS.format(name=name)
    markers += "".join(f"Mk{i}=Response,R  1,{start},1,0\n" for i, start in enumerate(starts, 1))
    header.with_suffix(".vmrk").write_text(markers, encoding="utf-8")
    with open(header.with_suffix(".eeg"), "wb") as file:
        file.truncate(2 * n_channels * n_times)
    return header
