"""Re-referencing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import ArrayProcessor, Prepared, View
from facet_nb.core.registry import register_processor
from facet_nb.kernels.filters.common_reference import (
    Part,
    find_nearest,
    subtract_common,
    subtract_references,
)


@register_processor
class CommonReference(ArrayProcessor):
    """Subtract the median or mean of good EEG channels from each of them.

    It needs all channels at once, so it is not channel-wise; inner threads divide the time between
    them. Other channels and bad channels are neither used nor changed. At most one of `reference`,
    `groups` and `neighbours` can be given; without them all good EEG channels are the reference.

    Parameters
    ----------
    operator : {"median", "average"}
        The statistic to subtract.
    reference : str | sequence of str | None
        Electrodes that are the reference, e.g. ``["TP9", "TP10"]`` for linked mastoids. They stay
        in the recording; a single one becomes zero, as in MNE.
    groups : sequence of sequences of str | None
        Groups of channels; each one is its own reference. Channels in no group do not change.
    neighbours : int | None
        Number of nearest electrodes that are the reference of each channel [1]_. Needs electrode
        positions.

    References
    ----------
    .. [1] Hjorth B (1975) An on-line transformation of EEG scalp potentials into orthogonal source
       derivations. Electroencephalogr Clin Neurophysiol 39:526-530.
       https://doi.org/10.1016/0013-4694(75)90056-5
    """

    loads_scipy_signal = False
    name = "common_reference"
    description = "Common median or average reference"
    channel_wise = False
    parallel_safe = False
    splits = "times"
    float32_safe = True
    types = ("eeg",)

    def __init__(
        self,
        operator: str = "median",
        *,
        reference: str | Sequence[str] | None = None,
        groups: Sequence[Sequence[str]] | None = None,
        neighbours: int | None = None,
    ) -> None:
        self.operator = operator
        self.reference = reference
        self.groups = groups
        self.neighbours = neighbours

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        self.check()

    def check(self) -> None:
        """Raise :class:`ValidationError` if the arguments cannot be used."""
        if self.operator not in ("median", "average"):
            raise ValidationError(
                f"common_reference: operator={self.operator!r}; use 'median' or 'average'."
            )
        given = [n for n in ("reference", "groups", "neighbours") if getattr(self, n) is not None]
        if self.groups is not None and (isinstance(self.groups, str) or not len(self.groups)):
            raise ValidationError(
                f"common_reference: groups={self.groups!r}; use lists of channel names, e.g. "
                "[['Fp1', 'Fz'], ['O1', 'O2']]."
            )
        if self.neighbours is not None and not self.neighbours >= 1:
            raise ValidationError(
                f"common_reference: neighbours={self.neighbours!r} must be 1 or more."
            )
        if len(given) > 1:
            raise ValidationError(
                f"common_reference: {' and '.join(given)} are given; use one of them."
            )

    def prepare(self, view: View) -> Prepared:
        """Find the reference of each channel."""
        self.check()
        types = view.ch_types or ("eeg",) * len(view.ch_names)
        names = [name for name, kind in zip(view.ch_names, types, strict=True) if kind == "eeg"]
        parts: list[Part] | None = None
        untouched: list[str] = []
        if self.reference is not None:
            chosen = [self.reference] if isinstance(self.reference, str) else self.reference
            parts = [(np.arange(len(names)), _find_rows(chosen, names))]
        elif self.groups is not None:
            grouped = {name for group in self.groups for name in group}
            if len(grouped) < sum(map(len, self.groups)):
                raise ValidationError("common_reference: a channel is in its groups twice.")
            untouched = [name for name in names if name not in grouped]
            kept = [name for name in names if name in grouped]  # the rows of `compute`
            parts = [(rows, rows) for rows in (_find_rows(g, kept, names) for g in self.groups)]
        elif self.neighbours is not None:
            parts = self._find_neighbours(names, view.list_positions(names))
        return Prepared((self.operator, parts), untouched=tuple(untouched))

    def _find_neighbours(self, names: list[str], positions: np.ndarray) -> list[Part]:
        lacking = [n for n, known in zip(names, positions, strict=True) if np.isnan(known).any()]
        if lacking:
            raise ValidationError(
                f"common_reference: neighbours={self.neighbours} needs the positions of all good "
                f"EEG channels; those of {_join(lacking)} are unknown. Set them "
                "with raw.set_montage(...), or mark these channels as bad."
            )
        n, most = self.neighbours, len(names) - 1
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= most:
            raise ValidationError(
                f"common_reference: neighbours={n!r}; with {len(names)} channels, use a whole "
                f"number from 1 to {most}."
            )
        return find_nearest(positions, n)

    def why_not_live(self) -> str | None:
        """Return why the step cannot stream; None if it can, as no sample depends on others."""
        return None if self.groups is None else "leaves out channels (groups=…)"

    def live(self, view: View) -> LiveReference:
        """Return the reference of samples that arrive block by block."""
        return LiveReference(self, self.prepare(view))

    def compute(
        self, x: np.ndarray, prepared: Prepared, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the re-referenced channels; see :class:`ArrayProcessor`."""
        operator, parts = prepared.payload
        if parts is None:
            return subtract_common(x, operator, out=out)
        return subtract_references(x, operator, parts, out=out)


class LiveReference:
    """The common reference of samples that arrive."""

    def __init__(self, step: CommonReference, prepared: Prepared) -> None:
        self._step, self._prepared = step, prepared

    def push(self, x: np.ndarray, onsets: object, out: np.ndarray) -> None:
        """Write the re-referenced samples to `out`; `onsets` are unused."""
        self._step.compute(x, self._prepared, out)


def _find_rows(
    wanted: Sequence[str], rows: list[str], good: Sequence[str] | None = None
) -> np.ndarray:
    """Return the rows of some channels; raise :class:`ValidationError` if one cannot be used."""
    lacking = [name for name in wanted if name not in rows]
    if isinstance(wanted, str) or lacking or not len(wanted):
        raise ValidationError(
            f"common_reference: {_join(lacking) or repr(wanted)} cannot be a reference; use a list "
            f"of good EEG channels: {_join(rows if good is None else good)}."
        )
    return np.array([rows.index(name) for name in wanted])


def _join(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:8])) + (" …" if len(names) > 8 else "")
