"""The page for MNE users says what the code does: its examples run, one after another."""

from __future__ import annotations

import re

import mne
import numpy as np


def test_examples_of_the_page_run(project_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (project_root / "docs/in_your_mne_script.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    names: dict = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "in_your_mne_script.md", "exec"), names)
    assert all(
        isinstance(names[n], mne.io.BaseRaw) for n in ("corrected", "highpassed", "filtered")
    )
    assert names["again"].success and names["result"].success
    assert np.array_equal(names["frontal"].get_data("Fz"), names["corrected"].get_data("Fz"))
    assert np.array_equal(names["frontal"].get_data("Oz"), names["raw"].get_data("Oz"))
    assert names["pipeline"].get_params()["lowpass_filter__freq"] == 40.0
