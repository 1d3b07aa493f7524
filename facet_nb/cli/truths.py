"""Truth files: the clean EEG of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facet_nb.cli.recordings import describe_size

if TYPE_CHECKING:
    import mne
    import numpy as np

#: Arrays of a truth file.
KEYS = {
    "clean": "the EEG without artifact, in µV, n_channels × n_times",
    "fs": "the sampling rate, in Hz",
    "trig": "the samples of the triggers",
}
#: Time excluded at both ends of the acquisition, in s: transients of the artifact dominate there.
_MARGIN_S = 1.0


@dataclass(frozen=True, eq=False)
class Truth:
    """The clean EEG of a recording, and the part to be compared.

    Attributes
    ----------
    path : Path
        File of the truth.
    clean : ndarray, shape (n_channels, n_times)
        EEG without artifact, in V.
    sfreq : float
        Sampling rate, in Hz.
    start, stop : int
        First sample and end of the part to be compared.
    """

    path: Path
    clean: np.ndarray
    sfreq: float
    start: int
    stop: int

    @property
    def span_s(self) -> float:
        """Duration of the part to be compared, in s."""
        return (self.stop - self.start) / self.sfreq

    def snr_db(self, raw: mne.io.BaseRaw) -> np.ndarray:
        """Return the agreement of a recording with the truth, from 0.5 to 70 Hz, in dB per channel.

        See :func:`facet_nb.datasets.agreement.compare_snr_db`.

        Raises
        ------
        ValidationError
            If channels, rate or length differ.
        """
        from facet_nb.datasets.agreement import compare_snr_db

        data = raw.get_data(picks=self._match(raw))
        return compare_snr_db(data, self.clean, self.sfreq, start=self.start, stop=self.stop)

    def _match(self, raw: mne.io.BaseRaw) -> list[int]:
        """Return the channels of the rows of the truth: electrodes, or all channels."""
        from facet_nb.core.recording import channel_kinds

        electrodes = [i for i, kind in enumerate(channel_kinds(raw)) if kind in ("data", "bad")]
        n_channels, n_times = self.clean.shape
        everything = list(range(len(raw.ch_names)))
        picks = next((p for p in (electrodes, everything) if len(p) == n_channels), None)
        if picks is None or n_times != raw.n_times or self.sfreq != float(raw.info["sfreq"]):
            raise _unusable(
                self.path,
                f"'clean' is {n_channels} channels × {n_times} samples at {self.sfreq:g} Hz, the "
                f"recording {describe_size(raw)} ({raw.n_times} samples)",
            )
        return picks


def read_truth(path: Path) -> Truth:
    """Read a truth file.

    Raises
    ------
    ValidationError
        If it is not valid; the message describes a valid file.
    """
    import numpy as np

    found = _read_arrays(path)
    clean, trig, fs = found["clean"], np.ravel(found["trig"]), np.ravel(found["fs"])
    if clean.ndim != 2 or not np.all(np.isfinite(clean)):
        raise _unusable(path, f"'clean' has shape {clean.shape} or holds NaN")
    if fs.size != 1 or not 0 < fs[0] < np.inf:
        raise _unusable(path, "'fs' is not one sampling rate")
    if trig.size < 2 or trig.min() < 0 or trig.max() >= clean.shape[1]:
        raise _unusable(path, "'trig' does not hold two or more samples of the recording")
    sfreq, trig = float(fs[0]), np.sort(trig)
    margin = _MARGIN_S * sfreq
    start = round(trig[0] + margin)
    stop = min(round(trig[-1] + np.median(np.diff(trig)) - margin), clean.shape[1])
    if stop <= start:
        raise _unusable(path, f"an acquisition of more than {2 * _MARGIN_S:g} s is needed")
    return Truth(path, 1e-6 * clean.astype(float), sfreq, start, stop)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of KEYS as numbers; no code in the file is executed."""
    import zipfile
    import zlib

    import numpy as np

    from facet_nb.core.errors import FacetError
    from facet_nb.core.limits import load_npz

    try:
        found, names = load_npz(path, tuple(KEYS))
    except FileNotFoundError as error:
        raise _unusable(path, "the file does not exist") from error
    except FacetError:
        raise
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unusable(path, "it cannot be read as an .npz archive of numbers") from error
    missing = [key for key in KEYS if key not in names]
    if missing:
        listed = ", ".join(map(repr, names)) or "nothing"
        raise _unusable(path, f"{', '.join(map(repr, missing))} missing; it holds {listed}")
    if not all(np.issubdtype(a.dtype, np.number) and a.dtype.kind != "c" for a in found.values()):
        raise _unusable(path, "its arrays are not all real numbers")
    return found


def _unusable(path: Path, what: str) -> Exception:
    from facet_nb.core.errors import ValidationError

    needed = "; ".join(f"{key!r}: {meaning}" for key, meaning in KEYS.items())
    return ValidationError(f"{path}: {what}. A truth file is an .npz with {needed}.")
