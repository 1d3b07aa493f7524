"""Bringing channels into a given order, under given names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor
from facet_nb.core.storage.transpose import take_rows
from facet_nb.preprocessing.selection import prune_annotations

_TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2"
_THIRTY_TWO = (
    "Fp1 Fpz Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 POz "
    "O1 Oz O2 Iz C1"
)
_STANDARDS = {
    **dict.fromkeys(["10-20", "10_20", "1020", "1020_19"], _TEN_TWENTY),
    **dict.fromkeys(["standard_1020", "standard_1020_19"], _TEN_TWENTY),
    **dict.fromkeys(["32", "1020_32", "standard_1020_32"], _THIRTY_TWO),
}
#: Older names of the same places.
_ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8", "A1": "M1", "A2": "M2"}
_FORMER = {new: old for old, new in _ALIASES.items()}
_ON_MISSING = ("ignore", "raise")


@register_processor
class ChannelStandardizer(Processor):
    """Keep the electrodes of a list, in its order, under its names.

    Names are matched exactly, and by the older names of the same places (T3, T4, T5, T6, A1, A2
    for T7, T8, P7, P8, M1, M2). With `fuzzy`, case and what recorders add (``EEG FP1-Ref``) do not
    count either; two channels that then mean the same place are an error. Electrodes that are not
    in the list are left out; bad ones stay bad. The original recording keeps its channels.

    Parameters
    ----------
    standard : str | sequence of str
        The list, or its name: ``"10-20"`` (19 electrodes), ``"32"``, or one of MNE's montages
        (``"standard_1005"``, ``"biosemi64"`` …).
    on_missing : {"ignore", "raise"}
        What to do about an electrode of the list that the recording does not have.
    keep_auxiliary : bool
        Keep channels that are no EEG (EOG, ECG, stim …), behind the others.
    rename_aliases : bool
        Give channels that were found under another name the name of the list.
    fuzzy : bool
        Match names without case, blanks, ``EEG`` before and a reference behind.
    """

    name = "channel_standardizer"
    description = "Electrodes of a list, in its order"
    requires_raw = True
    accepts_lazy = True

    def __init__(
        self,
        standard: str | Sequence[str],
        on_missing: str = "ignore",
        keep_auxiliary: bool = True,
        rename_aliases: bool = True,
        fuzzy: bool = False,
    ) -> None:
        self.standard = standard
        self.on_missing = on_missing
        self.keep_auxiliary = keep_auxiliary
        self.rename_aliases = rename_aliases
        self.fuzzy = fuzzy

    def process(self, context: ProcessingContext) -> ProcessingContext:
        raw = context.get_raw()
        wanted = find_standard(self.standard)
        kinds = raw.get_channel_types()
        eeg = [i for i, kind in enumerate(kinds) if kind == "eeg"]
        found = self._match(wanted, {raw.ch_names[i]: i for i in eeg})
        self._check(wanted, found, raw)
        others = [i for i in range(len(kinds)) if i not in eeg] if self.keep_auxiliary else []
        new = _arrange(context, [*found.values(), *others])
        names = {raw.ch_names[row]: name for name, row in found.items()}
        renamed = {old: name for old, name in names.items() if old != name}
        if self.rename_aliases and renamed:
            taken = set(renamed.values()) & {raw.ch_names[i] for i in others}
            if taken:
                raise ValidationError(
                    f"{self.name}: {', '.join(sorted(taken))} is the name of another channel too. "
                    "Use keep_auxiliary=False or rename_aliases=False."
                )
            new.get_raw().rename_channels(renamed, verbose="error")
        return new

    def _match(self, wanted: list[str], rows: dict[str, int]) -> dict[str, int]:
        """Return the row of each electrode of the list that the recording has."""
        plain: dict[str, list[str]] = {}
        for name in rows:
            plain.setdefault(simplify(name), []).append(name)
        found: dict[str, int] = {}
        for name in wanted:
            candidates = [n for n in (name, _ALIASES.get(name), _FORMER.get(name)) if n]
            hits = [n for n in candidates if n in rows]
            if not hits and self.fuzzy:
                hits = [n for c in candidates for n in plain.get(simplify(c), [])]
                if len(hits) > 1:
                    raise ValidationError(
                        f"{self.name}: {name} could be {' or '.join(hits)}. Rename one with "
                        "raw.rename_channels, or use fuzzy=False."
                    )
            if hits and rows[hits[0]] not in found.values():
                found[name] = rows[hits[0]]
        return found

    def _check(self, wanted: list[str], found: dict[str, int], raw: Any) -> None:
        if self.on_missing not in _ON_MISSING:
            raise ValidationError(
                f"on_missing={self.on_missing!r}: use {' or '.join(_ON_MISSING)}."
            )
        missing = [name for name in wanted if name not in found]
        if missing and (self.on_missing == "raise" or not found):
            raise ValidationError(
                f"{self.name}: not in the recording: {', '.join(missing)}. It has "
                f"{', '.join(raw.ch_names[:40])}. Use fuzzy=True if they are written otherwise, or "
                "on_missing='ignore' to pass over some."
            )


def find_standard(standard: str | Sequence[str]) -> list[str]:
    """Return the names of a list of electrodes.

    Raises
    ------
    ValidationError
        If there is no list of the name, or it is empty or repeats a name.
    """
    if not isinstance(standard, str):
        names = list(standard)
        if not names or len(set(names)) < len(names):
            raise ValidationError("standard: give one or more names, each of them once.")
        return names
    if standard in _STANDARDS:
        return _STANDARDS[standard].split()
    import mne

    try:
        return list(mne.channels.make_standard_montage(standard).ch_names)
    except ValueError as error:
        raise ValidationError(
            f"standard={standard!r} is none of {', '.join(_STANDARDS)} and no montage of MNE "
            "(mne.channels.get_builtin_montages() lists them). Or give a list of names."
        ) from error


def simplify(name: str) -> str:
    """Return a channel's name without what recorders add: ``"EEG FP1-Ref"`` is ``"fp1"``."""
    text = re.sub(r"^eeg[\s_-]+", "", name.strip().lower())
    text = re.sub(r"[-_](ref|le|a1|a2|m1|m2|avg|ar)\d?$", "", text)
    return re.sub(r"[\s._-]", "", text)


def _arrange(context: ProcessingContext, rows: list[int]) -> ProcessingContext:
    """Return the context of some of the channels, in a given order, with a header of its own."""
    raw = context.get_raw()
    data = take_rows(raw, rows)
    marks = prune_annotations(raw.annotations, {raw.ch_names[i] for i in rows})
    new = recording.Header(raw.info, int(raw.first_samp), marks).attach(data, picks=rows)
    return context._selected(new, rows)
