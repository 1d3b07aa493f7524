"""Names of processors."""

from __future__ import annotations

import pytest

from facet_nb.core import Processor, ValidationError, registry
from facet_nb.core.registry import get_processor, list_processors, register_processor


@pytest.fixture(autouse=True)
def own(monkeypatch):
    list_processors()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def make(cls="Mine", module="__main__", **attributes):
    return type(cls, (Processor,), {"__module__": module, "__qualname__": cls, **attributes})


def test_names_and_classes():
    assert list(list_processors()) == sorted(list_processors())
    for name, cls in list_processors().items():
        assert get_processor(name) is cls and get_processor(cls.__name__) is cls


def test_names_follow_from_classes():
    assert make("MyNewFilter").name == "my_new_filter"
    assert make("FIRFilter2D").name == "firfilter2_d"
    parent = make("Parent", name="parent_name")
    assert type("Child", (parent,), {}).name == "child"


@pytest.mark.parametrize("decorate", [register_processor, register_processor()])
def test_registered(decorate):
    cls = decorate(make())
    assert get_processor("mine") is cls and list_processors()["mine"] is cls


def test_registered_under_another_name():
    cls = register_processor("other_name")(make())
    assert get_processor("other_name") is cls and cls.name == "other_name"
    assert cls().to_dict()["processor"] == "other_name"


def test_a_cell_that_is_run_again():
    register_processor(make())
    again = register_processor(make())
    assert get_processor("mine") is again


@pytest.mark.parametrize("other", [{"module": "elsewhere"}, {"cls": "Yours"}])
def test_names_are_given_once(other):
    first = register_processor(make())
    with pytest.raises(ValidationError, match=r"registered for __main__\.Mine"):
        register_processor("mine")(make(**other))
    assert get_processor("mine") is first


def test_ours_are_not_replaced_by_accident():
    with pytest.raises(ValidationError, match=r"facet_nb\.correction\.aas\.AASCorrection"):
        register_processor(make("AASCorrection", name="aas_correction"))


def test_what_is_no_processor():
    for thing in (int, lambda c: c):
        with pytest.raises(ValidationError, match="not a Processor class"):
            register_processor("x")(thing)


def test_near_misses():
    with pytest.raises(ValidationError, match="Did you mean highpass_filter"):
        get_processor("highpas_filter")
    with pytest.raises(ValidationError, match="AASCorrection"):
        get_processor("AASCorection")
    with pytest.raises(ValidationError, match="list_processors"):
        get_processor("zzzzzz")
