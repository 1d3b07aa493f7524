"""Forms from signatures and docstrings, for every processor there is."""

from __future__ import annotations

import pytest

from facet_nb.core import list_processors
from facet_nb.core.errors import ValidationError
from facet_nb.models.docstrings import plain, read_parameters
from facet_nb.models.fields import is_editable, list_fields

CLASSES = list_processors()


def find(name: str, field: str):
    """Return a field of a processor."""
    return next(f for f in list_fields(CLASSES[name]) if f.name == field)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_default_survives_the_form(name):
    for field in list_fields(CLASSES[name]):
        if field.required:
            continue
        back = field.read(field.write(field.default))
        wanted = list(field.default) if isinstance(field.default, tuple) else field.default
        assert back == wanted and type(back) is type(wanted), field.name


@pytest.mark.parametrize("name", sorted(n for n, c in CLASSES.items() if is_editable(c)))
def test_every_argument_is_explained(name):
    for field in list_fields(CLASSES[name]):
        assert field.help, f"{name}.{field.name} has no help"
        assert field.types, f"{name}.{field.name} has no type"


def test_units_choices_and_defaults_come_from_the_docstring():
    assert find("highpass_filter", "freq").unit == "Hz" and find("highpass_filter", "freq").required
    assert find("crop", "tmin").unit == "s"
    assert find("aas_correction", "weighting").choices == ("blocks", "sliding")
    assert find("aas_correction", "window_size").default == 30
    assert find("upsample", "npad").help.startswith("Accepted for compatibility")
    assert find("aas_correction", "subsample").is_switch
    assert plain("See :class:`~facet_nb.core.Pipeline` and ``raw``.") == "See Pipeline and raw."
    assert set(read_parameters(CLASSES["filter"])) >= {"l_freq", "h_freq", "picks"}


@pytest.mark.parametrize(
    ("name", "field", "text", "value"),
    [
        ("highpass_filter", "freq", "2", 2.0),
        ("highpass_filter", "freq", " 1e-1 ", 0.1),
        ("upsample", "factor", "4", 4),
        ("highpass_filter", "picks", "Cz", "Cz"),
        ("highpass_filter", "picks", "['Cz', 'Oz']", ["Cz", "Oz"]),
        ("highpass_filter", "picks", "", None),
        ("aas_correction", "ref_channel", "3", 3),
        ("aas_correction", "ref_channel", "Cz", "Cz"),
        ("aas_correction", "ref_channel", "None", None),
        ("trigger_detector", "regex", r"\b1\b", r"\b1\b"),
        ("trigger_detector", "regex", "128", "128"),
        ("trigger_detector", "regex", "[1]", "[1]"),
        ("pca_correction", "n_components", "auto", "auto"),
        ("pca_correction", "n_components", "0.9", 0.9),
    ],
)
def test_reading(name, field, text, value):
    found = find(name, field).read(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "field", "text", "said"),
    [
        ("highpass_filter", "freq", "one", "is not a number"),
        ("highpass_filter", "freq", "True", "is not a number"),
        ("highpass_filter", "freq", "__import__('os')", "is not a number"),
        ("upsample", "factor", "2.5", "is not a whole number"),
        ("aas_correction", "weighting", "none", "use 'blocks' or 'sliding'"),
        ("trigger_detector", "regex", "", "is not a text"),
    ],
)
def test_what_cannot_be_read_is_said(name, field, text, said):
    with pytest.raises(ValidationError, match=said):
        find(name, field).read(text)


def test_steps_that_need_python_are_not_offered():
    assert not is_editable(CLASSES["switch"]) and not is_editable(CLASSES["raw_transform"])
    assert is_editable(CLASSES["aas_correction"]) and is_editable(CLASSES["notch_filter"])
