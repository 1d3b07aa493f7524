"""Units of channels in files: spellings that MNE does not know are read as what they say.

MNE takes samples in a unit that it cannot read for volts: a million times too large if they are in
microvolts. BrainVision channels become ``misc`` then, and no correction touches them; EDF channels
stay ``eeg``.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from facet_nb.core.findings import Finding, make_finding
from facet_nb.io.integrity.brainvision import list_units as list_brainvision_units
from facet_nb.io.integrity.edf import list_units as list_edf_units

if TYPE_CHECKING:
    import mne

#: Volts by prefix. A capital U is a typewriter's µ, but M and N may be mega and newton.
_PREFIXES = {
    "": 1.0,
    "m": 1e-3,
    "milli": 1e-3,
    "u": 1e-6,
    "U": 1e-6,
    "μ": 1e-6,
    "mc": 1e-6,
    "micro": 1e-6,
    "n": 1e-9,
    "nano": 1e-9,
}
#: A µ of Latin-1 or Shift-JIS that was read as another encoding.
_GARBLED = {"Âμ": "μ", "Î¼": "μ", "\x83\xca": "μ", "\udcb5": "μ"}
_VOLTS = re.compile(r"^(\S*?) ?(?:[vV]|[vV]olts?)$")


def read_volts(text: str) -> float | None:
    """Return the volts in a unit, such as 1e-6 for ``µV``; None if it is no unit of voltage.

    Both characters for micro (U+00B5, U+03BC), ``u``, ``U``, ``mc`` and words are understood.
    """
    plain = unicodedata.normalize("NFKC", text.strip())
    for wrong, right in _GARBLED.items():
        plain = plain.replace(unicodedata.normalize("NFKC", wrong), right)
    found = _VOLTS.match(plain)
    if found is None:
        return None
    prefix = found.group(1)
    return _PREFIXES.get(prefix, _PREFIXES.get(prefix.lower()) if len(prefix) > 1 else None)


def repair_units(raw: mne.io.BaseRaw, source: Path) -> None:
    """Give channels with a unit that MNE did not understand their scale and type, in place.

    The samples must not have been read yet.
    """
    if raw.preload:
        return
    for row, (unit, factor) in _list_scales(raw, source).items():
        volts = read_volts(unit)
        if volts is None or abs(volts - factor) < 1e-3 * volts:
            continue
        if source.suffix.lower() == ".vhdr":
            channel = raw.info["chs"][row]
            channel["range"] *= volts / factor
            raw._cals[row] *= volts / factor
        else:
            raw._raw_extras[0]["units"][row] = volts
        if raw.get_channel_types()[row] == "misc":
            raw.set_channel_types({raw.ch_names[row]: "eeg"}, verbose="error")


def tell_units(raw: mne.io.BaseRaw, source: Path) -> tuple[Finding, ...]:
    """Return a finding about channels whose unit is voltage-like or not, and cannot be read."""
    kinds = raw.get_channel_types()
    unknown = {
        raw.ch_names[row]: unit
        for row, (unit, _) in _list_scales(raw, source).items()
        if unit and read_volts(unit) is None and (kinds[row] == "eeg" or "v" in unit.lower())
    }
    if not unknown:
        return ()
    listed = ", ".join(f"{name} in {unit!r}" for name, unit in list(unknown.items())[:6])
    more = f", … {len(unknown) - 6} more" if len(unknown) > 6 else ""
    found = make_finding(
        "units_unknown",
        f"Samples are taken as they are: {listed}{more}.",
        channels=unknown,
        units=unknown,
    )
    return (found,)


def _list_scales(raw: mne.io.BaseRaw, source: Path) -> dict[int, tuple[str, float]]:
    """Return the unit of each channel as the file spells it, and the scale that MNE chose."""
    suffix = source.suffix.lower()
    if suffix == ".vhdr":
        units = list_brainvision_units(source)
        factors = [float(channel["range"]) for channel in raw.info["chs"]]
        if len(units) != len(factors):
            return {}
        return {i: (unit, factors[i]) for i, unit in enumerate(units)}
    if suffix in (".edf", ".bdf") and "units" in raw._raw_extras[0]:
        extras = raw._raw_extras[0]
        all_units, selected = list_edf_units(source), list(map(int, extras["sel"]))
        kinds = raw.get_channel_types()
        return {
            i: (all_units[signal], float(extras["units"][i]))
            for i, signal in enumerate(selected)
            if i < len(kinds) and kinds[i] != "stim"
        }
    return {}
