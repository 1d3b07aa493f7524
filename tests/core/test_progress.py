"""A bar where somebody looks, and nowhere else."""

from __future__ import annotations

import sys
import types

import pytest

from facet_nb.core import Pipeline, progress
from tests.core import toys


def run(**options):
    return Pipeline([toys.Halved(), toys.ZScore()], name="mine").run(toys.make_context(), **options)


def test_nothing_is_shown_where_nobody_looks(capsys):
    run()
    run(show_progress=False)
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == ""


def test_shown_when_asked_for(capsys):
    run(show_progress=True)
    shown = capsys.readouterr().err
    assert "mine: 100%" in shown and "done in" in shown
    Pipeline([toys.Raising()], name="mine").run(toys.make_context(), show_progress=True)
    assert "failed on channel E4" in capsys.readouterr().err


@pytest.mark.parametrize("kernel", [None, object()])
def test_shown_in_a_notebook(monkeypatch, kernel):
    """A kernel that runs counts, not a package that is imported."""
    shell = types.SimpleNamespace(kernel=kernel)
    fake = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    assert progress.wanted(None) is (kernel is not None)
    assert progress.wanted(True) is True and progress.wanted(False) is False


def test_shown_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: True))
    assert progress.wanted(None)
    monkeypatch.setattr(sys, "stderr", None)
    assert not progress.wanted(None)


def test_pictures_are_few(monkeypatch):
    """A step of many channels does not send a message for each."""
    import tqdm.auto

    drawn = []

    class Bar(tqdm.auto.tqdm):
        def refresh(self, *args, **kwargs):
            drawn.append(self.n)
            return super().refresh(*args, **kwargs)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    Pipeline([toys.Halved(), toys.Squared(), toys.Halved()]).run(
        toys.wide_context(100), show_progress=True
    )
    assert len(drawn) < 20 and drawn[-1] == 100.0
