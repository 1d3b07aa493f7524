"""User's regular expressions are searched within a bounded time."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import Pipeline, ProcessingContext, TriggerDetector, ValidationError
from facet_nb.preprocessing import searching

SLOW = [r"(a+)+$", r"(a*)*b", r"(a|aa)+$", r"(a|a?)+$", r"(.*a){20}", r"([ab]+c?)*$", r"(a+)+\1$"]
QUICK = [r"\b1\b", r"R128", r"S *1$", r"^(S|R)\d+$", r"(Stimulus/)?S +1", r"[a-z]+\d*", r"a.*b.*"]


@pytest.mark.parametrize("regex", SLOW)
def test_expressions_that_may_never_end_are_recognised(regex):
    assert searching.may_backtrack(regex, 10)


@pytest.mark.parametrize("regex", QUICK)
def test_usual_expressions_are_searched_here(regex):
    assert not searching.may_backtrack(regex, 40)


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="Windows has no alarm")
def test_the_search_ends_when_nobody_is_there_to_end_it():
    command = [sys.executable, "-I", "-c", searching._PROGRAM, "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as alone:
        alone.communicate(json.dumps(["(a+)+$", ["a" * 40 + "!"]]), timeout=60)
    assert alone.returncode == -signal.SIGALRM


@pytest.mark.parametrize("regex", SLOW[:3])
def test_the_search_ends(monkeypatch, regex):
    monkeypatch.setattr(searching, "LIMIT_S", 0.5)
    raw = mne.io.RawArray(np.zeros((1, 1000)), mne.create_info(1, 500.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([0.1, 0.2], [0, 0], ["a" * 40 + "!"] * 2))
    begin = time.monotonic()
    answer = Pipeline([TriggerDetector(regex=regex)]).run(ProcessingContext(raw))
    assert time.monotonic() - begin < 10
    assert isinstance(answer.error.__cause__, ValidationError)
    assert "use one repetition" in str(answer.error).lower()


@settings(max_examples=6, deadline=None)
@given(st.lists(st.text("ab1 ", max_size=8), max_size=6))
def test_the_same_matches_in_a_process_of_its_own(texts):
    pattern = re.compile(r"(a+|b)+1")
    expected = {text for text in texts if pattern.search(text)}
    assert searching.find_matching(pattern, texts) == expected


def test_each_description_is_searched_once():
    class Counting:
        pattern, n = "a", 0

        def search(self, text):
            self.n += 1
            return "a" in text or None

    counting = Counting()
    assert searching.find_matching(counting, ["a", "b"] * 500) == {"a"}
    assert counting.n == 2


def test_no_process_can_be_started(monkeypatch):
    monkeypatch.setattr(searching.sys, "executable", "/not/there")
    with pytest.raises(ValidationError, match="no process can be started"):
        searching.find_matching(re.compile("(a+)+"), ["a"])
