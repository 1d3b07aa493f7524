"""Independent component analysis, through MNE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import make_finding
from facet_nb.core.parameters import LOWEST_HZ
from facet_nb.core.processor import Processor
from facet_nb.core.recording import kind_of, replace_data
from facet_nb.core.registry import register_processor

if TYPE_CHECKING:
    import mne

METHODS = ("infomax", "fastica", "picard")
FINDS = ("ecg", "eog")
#: Least correlation of a component of eye movements with the EOG. MNE's default, a z-score above 3,
#: is not reached with few components.
_LEAST_R = 0.5


@register_processor
class ICACorrection(Processor):
    """Subtract independent components of pulse and eye movements (:class:`mne.preprocessing.ICA`).

    The components are fitted once, to all good EEG channels, after a high-pass filter; they are
    subtracted from the unfiltered channels. Components are chosen by number, by the ECG
    (:meth:`mne.preprocessing.ICA.find_bads_ecg`), or by the EOG
    (:meth:`mne.preprocessing.ICA.find_bads_eog`, correlation above 0.5). A finding names them.
    Without a component to subtract the recording is unchanged.

    The step runs in one thread, with a fixed random seed: the result is the same in every mode. Put
    it after the correction of the gradient artifact, at 250 to 500 Hz.

    Parameters
    ----------
    exclude : list of int
        Components to subtract in any case, by number.
    find : list of str
        What to choose components for: ``"ecg"``, ``"eog"``. Channels of these types, or with
        such names, are needed; what has no channel is left out.
    n_components : int | float | None
        Number of components, or their share of variance; all by default.
    method : {"infomax", "fastica", "picard"}
        Algorithm (extended infomax [1]_); the others need scikit-learn or python-picard.
    l_freq : float
        Edge of the high-pass filter before the fit, in Hz.
    random_state : int
        Seed.

    References
    ----------
    .. [1] Lee, T.-W., Girolami, M., & Sejnowski, T. J. (1999). Independent component analysis using
       an extended infomax algorithm. Neural Computation, 11(2), 417-441.
       doi:10.1162/089976699300016719
    """

    name = "ica_correction"
    description = "Subtract independent components of pulse and eyes"
    requires_raw = True
    parallel_safe = False
    memory_copies = 6  # filtered and whitened ones

    def __init__(
        self,
        exclude: Sequence[int] = (),
        find: Sequence[str] = FINDS,
        n_components: int | float | None = None,
        method: str = "infomax",
        l_freq: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.exclude = exclude
        self.find = find
        self.n_components = n_components
        self.method = method
        self.l_freq = l_freq
        self.random_state = random_state

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw()
        self.check_parameters(float(raw.info["sfreq"]))
        kinds = list(map(kind_of, raw.ch_names, raw.get_channel_types()))
        good = [name not in raw.info["bads"] for name in raw.ch_names]
        rows = [i for i, kind in enumerate(kinds) if kind == "eeg" and good[i]]
        if len(rows) < 2:
            raise ValidationError(
                f"ica_correction: {len(rows)} good EEG channels are too few (at least 2)."
            )
        n = self.n_components
        if isinstance(n, (int, np.integer)) and n > len(rows):
            raise ValidationError(
                f"ica_correction: n_components={n} of {len(rows)} good EEG channels; use at most "
                "as many as channels."
            )
        helpers = [i for i, kind in enumerate(kinds) if kind in self.find]
        data = raw.get_data()
        small = _take(raw, data, rows + helpers, kinds)
        with threadpool_limits(1):
            ica = self._fit(small)
            chosen = self._choose(ica, small)
            ica.exclude = sorted(
                {*map(int, self.exclude), *(c for v in chosen.values() for c in v)}
            )
            if ica.exclude:
                ica.apply(small, verbose="error")
                data[rows] = small.get_data(picks=range(len(rows)))
        found = "; ".join(f"{kind}: {v}" for kind, v in chosen.items()) or "nothing was looked for"
        finding = make_finding(
            "components_subtracted",
            f"{len(ica.exclude)} of {ica.n_components_} components ({found}).",
            components=list(ica.exclude),
        )
        new = context.with_raw(replace_data(raw, data)) if ica.exclude else context
        return new.with_findings((finding,))

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if self.method not in METHODS:
            raise ValidationError(f"method={self.method!r}: use one of {', '.join(METHODS)}.")
        if unknown := [kind for kind in self.find if kind not in FINDS]:
            raise ValidationError(f"find={unknown!r}: use {', '.join(FINDS)}.")
        n = self.n_components
        whole = isinstance(n, (int, np.integer)) and not isinstance(n, bool)
        if n is not None and not (n >= 1 if whole else 0 < n < 1):
            raise ValidationError(
                f"n_components={n!r}: use 1, 2, …, a fraction of the variance below 1, or None."
            )
        if self.l_freq != 0 and not LOWEST_HZ <= self.l_freq < sfreq / 2:
            raise ValidationError(
                f"ica_correction: l_freq={self.l_freq:g} Hz must be at least {LOWEST_HZ} Hz and "
                "below half the sampling rate, or 0 for no filter."
            )
        if not 0 <= self.random_state < 2**32:
            raise ValidationError(f"random_state={self.random_state} must be from 0 to 2³² − 1.")

    def _fit(self, small: mne.io.BaseRaw) -> Any:
        from mne.preprocessing import ICA

        options = {"extended": True} if self.method == "infomax" else None
        ica = ICA(
            self.n_components,
            method=self.method,
            fit_params=options,
            random_state=self.random_state,
            verbose="error",
        )
        high = small.copy().filter(self.l_freq, None, picks="all", verbose="error")
        try:
            return ica.fit(high, picks="eeg", verbose="error")
        except RuntimeError as error:
            if self.n_components is None:
                raise
            raise ValidationError(
                f"ica_correction: n_components={self.n_components} does not fit this recording "
                f"({error})."
            ) from error
        except ImportError as error:
            raise ValidationError(
                f"ica_correction: method={self.method!r} needs another library ({error}). Install "
                "it, or use method='infomax'."
            ) from error

    def _choose(self, ica: Any, small: mne.io.BaseRaw) -> dict[str, list[int]]:
        """Return the components that follow each kind of channel."""
        chosen = {}
        names = dict(zip(small.ch_names, small.get_channel_types(), strict=True))
        for kind in self.find:
            channels = [name for name, own in names.items() if own == kind]
            if not channels:
                continue
            if kind == "ecg":
                found = ica.find_bads_ecg(small, ch_name=channels[0], verbose="error")[0]
            else:
                found = ica.find_bads_eog(
                    small, channels, _LEAST_R, measure="correlation", verbose="error"
                )[0]
            chosen[kind] = sorted(map(int, found))
        return chosen


def _take(
    raw: mne.io.BaseRaw, data: np.ndarray, rows: Sequence[int], kinds: Sequence[str]
) -> mne.io.BaseRaw:
    """Return some channels, with the types that their names say, as a recording of their own."""
    import mne

    names = [raw.ch_names[row] for row in rows]
    info = mne.create_info(names, raw.info["sfreq"], [kinds[row] for row in rows])
    return mne.io.RawArray(data[list(rows)], info, verbose="error")
