"""Channels in a given order under given names."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import ChannelStandardizer, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.preprocessing.layout import find_standard, simplify


def make(names, types="eeg", bads=()):
    types = [types] * len(names) if isinstance(types, str) else types
    info = mne.create_info(names, 100.0, types)
    info["bads"] = list(bads)
    data = np.arange(float(len(names)))[:, np.newaxis] + np.zeros((1, 50))
    raw = mne.io.RawArray(data, info, first_samp=7, verbose="error")
    raw.set_annotations(mne.Annotations([0.1], [0.1], ["x"]), verbose="error")
    return ProcessingContext(raw)


def rows_of(context):
    return context.get_data()[:, 0].tolist()


def test_order_names_and_what_goes_along():
    context = make(["Cz", "STI", "T3", "Fz", "O1"], ["eeg", "stim", "eeg", "eeg", "eeg"], ["Fz"])
    context.set_estimated_noise(context.get_data())
    new = ChannelStandardizer(["Fz", "T7", "Cz", "Pz"]).execute(context)
    assert new.get_channel_names() == ["Fz", "T7", "Cz", "STI"]
    assert rows_of(new) == [3, 2, 0, 1]
    assert new.get_estimated_noise()[:, 0].tolist() == [0, 2, 0, 0]  # of good electrodes
    raw = new.get_raw()
    assert raw.info["bads"] == ["Fz"] and raw.first_samp == 7 and len(raw.annotations) == 1
    assert new.get_raw_original().ch_names == context.get_raw().ch_names
    assert context.get_channel_names()[2] == "T3"


def test_all_channels_in_another_order():
    new = ChannelStandardizer(["O1", "Cz"]).execute(make(["Cz", "O1"]))
    assert new.get_channel_names() == ["O1", "Cz"] and rows_of(new) == [1, 0]


def test_options():
    context = make(["Cz", "EOG", "T3"], ["eeg", "eog", "eeg"])
    step = ChannelStandardizer(["T7", "Cz"], keep_auxiliary=False, rename_aliases=False)
    assert step.execute(context).get_channel_names() == ["T3", "Cz"]
    with pytest.raises(ValidationError, match="not in the recording: Pz"):
        ChannelStandardizer(["Cz", "Pz"], on_missing="raise").execute(context)
    with pytest.raises(ValidationError, match="fuzzy=True"):
        ChannelStandardizer(["Oz"]).execute(context)
    with pytest.raises(ValidationError, match="on_missing"):
        ChannelStandardizer(["Cz"], on_missing="no").execute(context)
    taken = make(["T3", "T7"], ["eeg", "misc"])
    with pytest.raises(ValidationError, match="T7 is also the name of another channel"):
        ChannelStandardizer(["T7"]).execute(taken)


def test_fuzzy_is_off_by_default_and_never_guesses():
    context = make(["EEG FP1-Ref", "cz", "t3"])
    with pytest.raises(ValidationError, match="not in the recording"):
        ChannelStandardizer(["Fp1", "Cz"]).execute(context)
    new = ChannelStandardizer(["Cz", "Fp1", "T7"], fuzzy=True).execute(context)
    assert new.get_channel_names() == ["Cz", "Fp1", "T7"] and rows_of(new) == [1, 0, 2]
    with pytest.raises(ValidationError, match="could be CZ or cz"):
        ChannelStandardizer(["Cz"], fuzzy=True).execute(make(["CZ", "cz"]))


@pytest.mark.parametrize(
    ("name", "plain"),
    [("EEG FP1-Ref", "fp1"), ("Fp1", "fp1"), ("Cz-A1", "cz"), ("EEG Cz-LE", "cz"), ("A1", "a1")],
)
def test_names_without_what_recorders_add(name, plain):
    assert simplify(name) == plain


def test_standards():
    assert len(find_standard("10-20")) == 19 and len(find_standard("32")) == 32
    assert len(find_standard("biosemi64")) == 64
    with pytest.raises(ValidationError, match="nor a montage of MNE"):
        find_standard("fancy")
    with pytest.raises(ValidationError, match="each of them once"):
        find_standard(["Cz", "Cz"])
