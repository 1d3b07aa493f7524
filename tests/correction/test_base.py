"""What corrections share: documentation, and the arguments of corrections by averages."""

from __future__ import annotations

import inspect

import pytest

import facet_nb.correction
from facet_nb.core.docstrings import DOCS, fill_doc
from facet_nb.correction.templates import AveragingCorrection

CLASSES = {cls.__name__: cls for cls in vars(facet_nb.correction).values() if inspect.isclass(cls)}
AVERAGES = [cls for cls in CLASSES.values() if issubclass(cls, AveragingCorrection)]


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_no_placeholder_is_left(cls):
    assert "%(" not in cls.__doc__


def test_fill_doc_indents_like_the_placeholder():
    @fill_doc
    class Step:
        """Summary at 5 %.

        %(ref_channel)s
        """

    first, second = DOCS["ref_channel"].splitlines()
    assert inspect.getdoc(Step) == f"Summary at 5 %.\n\n{first}\n{second}"


def test_fill_doc_refuses_unknown_names():
    with pytest.raises(KeyError, match="no_such_text"):

        @fill_doc
        class Step:
            """%(no_such_text)s"""


@pytest.mark.parametrize("cls", AVERAGES, ids=lambda cls: cls.__name__)
def test_every_argument_is_stored(cls):
    given = {name: object() for name in inspect.signature(cls).parameters}
    step = cls(**given)
    assert step.get_parameters() == given
