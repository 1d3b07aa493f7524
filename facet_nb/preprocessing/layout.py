"""Bring channels into a standard order, with standard names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor
from facet_nb.preprocessing.selection import ON_MISSING, arrange_rows

if TYPE_CHECKING:
    import mne

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
#: Older names of the same positions.
_ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8", "A1": "M1", "A2": "M2"}
_FORMER = {new: old for old, new in _ALIASES.items()}


@register_processor
class ChannelStandardizer(Processor):
    """Keep the electrodes of a list, in its order and with its names.

    Names are matched exactly, or by the older names of the same positions (T3, T4, T5, T6, A1, A2
    for T7, T8, P7, P8, M1, M2). With `fuzzy`, case and additions of recorders (``EEG FP1-Ref``) are
    ignored; two channels that then match the same position are an error. Electrodes that are not in
    the list are dropped; bad ones stay bad. The original recording keeps its channels.

    Parameters
    ----------
    standard : str | sequence of str
        The list, or its name: ``"10-20"`` (19 electrodes), ``"32"``, or one of MNE's montages
        (``"standard_1005"``, ``"biosemi64"`` …).
    on_missing : {"ignore", "raise"}
        How to treat electrodes of the list that the recording does not have.
    keep_auxiliary : bool
        Keep channels other than EEG (EOG, ECG, stim …), after the electrodes.
    rename_aliases : bool
        Rename channels that were found by another name.
    fuzzy : bool
        Ignore case, blanks, the prefix ``EEG`` and the suffix of a reference.
    """

    name = "channel_standardizer"
    description = "Keep the electrodes of a list, in its order"
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
        new = arrange_rows(context, [*found.values(), *others])
        names = {raw.ch_names[row]: name for name, row in found.items()}
        renamed = {old: name for old, name in names.items() if old != name}
        if self.rename_aliases and renamed:
            taken = set(renamed.values()) & {raw.ch_names[i] for i in others}
            if taken:
                raise ValidationError(
                    f"{self.name}: {', '.join(sorted(taken))} is also the name of another channel. "
                    "Use keep_auxiliary=False or rename_aliases=False."
                )
            new.get_raw().rename_channels(renamed, verbose="error")
        return new

    def _match(self, wanted: list[str], rows: dict[str, int]) -> dict[str, int]:
        """Return the row of each electrode of the list, where the recording has it."""
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

    def _check(self, wanted: list[str], found: dict[str, int], raw: mne.io.BaseRaw) -> None:
        if self.on_missing not in ON_MISSING:
            raise ValidationError(f"on_missing={self.on_missing!r}: use {' or '.join(ON_MISSING)}.")
        missing = [name for name in wanted if name not in found]
        if missing and (self.on_missing == "raise" or not found):
            raise ValidationError(
                f"{self.name}: not in the recording: {', '.join(missing)}. It has "
                f"{', '.join(raw.ch_names[:40])}. Use fuzzy=True if spellings differ, or "
                "on_missing='ignore' to skip them."
            )


def find_standard(standard: str | Sequence[str]) -> list[str]:
    """Return the names of a list of electrodes.

    Raises
    ------
    ValidationError
        If the name is unknown, or the list is empty or repeats a name.
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
            f"standard={standard!r} is neither one of {', '.join(_STANDARDS)} nor a montage of MNE "
            "(mne.channels.get_builtin_montages() lists them). Use one, or give a list of names."
        ) from error


def simplify(name: str) -> str:
    """Return a channel name without additions of recorders: ``"EEG FP1-Ref"`` is ``"fp1"``."""
    text = re.sub(r"^eeg[\s_-]+", "", name.strip().lower())
    text = re.sub(r"[-_](ref|le|a1|a2|m1|m2|avg|ar)\d?$", "", text)
    return re.sub(r"[\s._-]", "", text)
