"""Fingerprints: the same in every process for the same thing, and others for others."""

from __future__ import annotations

import datetime
import enum
import functools
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from facet_nb.core.storage.hashing import UnhashableError, hash_row, take_fingerprint
from tests.core import toys
from tests.faults import programs

FACTOR = 2.0


def scale(x):
    return FACTOR * x


@functools.lru_cache
def cached(x):
    return FACTOR + x


@dataclass
class Point:
    x: float = 1.0
    tags: frozenset = frozenset({"a", "b", "c"})
    more: dict = field(default_factory=lambda: {"b": 1, "a": [2, (3, None)]})


class Colour(enum.Enum):
    RED = 1


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value=1):
        self.value = value


def make_things() -> dict:
    """One of each kind."""
    looped: list = [1]
    looped.append(looped)
    return {
        "none": None,
        "whole": 3,
        "real": 3.0,
        "true": True,
        "text": "3",
        "bytes": b"3",
        "complex": 3 + 0j,
        "list": [3],
        "tuple": (3,),
        "set": {"x", "y", "z"},
        "dict": {"a": 1, "b": {"c": 2}},
        "slice": slice(1, 2),
        "path": Path("a/b"),
        "pattern": re.compile("a+"),
        "date": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
        "enum": Colour.RED,
        "array": np.arange(3.0),
        "array of objects": np.array([None, "x"], dtype=object),
        "structured": np.zeros(2, [("a", "f8"), ("b", "i4")]),
        "scalar": np.float32(3),
        "dtype": np.dtype("f8"),
        "ufunc": np.add,
        "function of numpy": np.mean,
        "generator": np.random.default_rng(1),
        "sparse": sparse.csr_matrix(np.eye(2)),
        "dataclass": Point(),
        "slots": Slotted(),
        "partial": functools.partial(scale, 3),
        "function": scale,
        "cached": cached,
        "method": toys.Scaled(3.0).change,
        "class": Point,
        "module": np,
        "processor": toys.Scaled(),
        "other processor": toys.Halved(),
        "loop": looped,
    }


def test_every_kind_has_its_own():
    prints = {name: take_fingerprint(thing) for name, thing in make_things().items()}
    assert len(set(prints.values())) == len(prints)
    assert prints == {name: take_fingerprint(thing) for name, thing in make_things().items()}


PROGRAM = """
    from facet_nb.core.storage.hashing import take_fingerprint
    from tests.core.test_fingerprint import make_things

    for name, thing in make_things().items():
        print(take_fingerprint(thing))
"""


def test_the_same_in_another_process(tmp_path):
    """Whatever the seed of its hashes; run twice, the modules compiled and not."""
    here = [take_fingerprint(thing) for thing in make_things().values()]
    assert programs.run(PROGRAM, tmp_path).split() == here
    assert programs.run(PROGRAM, tmp_path).split() == here


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (1, True),
        (np.zeros(2), np.zeros((1, 2))),
        (np.zeros(2), np.zeros(2, np.float32)),
        ({"a": 1}, {"a": 2}),
        ([[1], 2], [[1, 2]]),
        (Slotted(1), Slotted(2)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (toys.Scaled(2.0), toys.Scaled(3.0)),
        (toys.Scaled(2.0), toys.Unsafe(2.0)),
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x, y=1: x, lambda x, y=2: x),
        (lambda x: x.real, lambda x: x.imag),
        (np.add, np.subtract),
    ],
)
def test_what_differs(one, other):
    assert take_fingerprint(one) != take_fingerprint(other)


def test_globals_count(monkeypatch):
    before = [take_fingerprint(f) for f in (scale, cached)]
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    after = [take_fingerprint(f) for f in (scale, cached)]
    assert before[0] != after[0] and before[1] != after[1]


def test_what_is_closed_over_counts():
    def make(value):
        def function(x):
            return x * value

        return function

    assert take_fingerprint(make(1.0)) == take_fingerprint(make(1.0))
    assert take_fingerprint(make(1.0)) != take_fingerprint(make(2.0))


def test_the_order_of_a_dict_does_not_count():
    assert take_fingerprint({"a": 1, "b": 2}) == take_fingerprint({"b": 2, "a": 1})


def test_who_shares_what_does_not_count():
    """A file that was read gives two lists where there was one."""
    shared = [1.0]
    assert take_fingerprint([shared, shared]) == take_fingerprint([[1.0], [1.0]])


@pytest.mark.parametrize(
    "thing",
    [
        threading.Lock(),
        threading.Event(),
        (i for i in ()),
        [threading.local()],
        {"a": toys.Unpicklable()},
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_has_none(thing):
    with pytest.raises(UnhashableError, match="is a "):
        take_fingerprint(thing)


def test_something_that_is_deeper_than_the_stack():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnhashableError):
        take_fingerprint(deep)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(plain, plain)
def test_equal_things_only(one, other):
    """The representation tells what differs, the sign of zero and types included."""
    assert (take_fingerprint(one) == take_fingerprint(other)) == (_order(one) == _order(other))


def _order(thing) -> str:
    if isinstance(thing, dict):
        return "{" + ",".join(sorted(f"{k!r}:{_order(v)}" for k, v in thing.items())) + "}"
    if isinstance(thing, (list, tuple)):
        return f"{type(thing).__name__}({','.join(map(_order, thing))})"
    return repr(thing)


def test_rows():
    row = np.arange(10.0)
    assert hash_row(row) == hash_row(np.repeat(row, 2)[::2])
    assert hash_row(row) == hash_row(row.astype(np.float32))
    row[3] = np.nextafter(3.0, 4.0)
    assert hash_row(row) != hash_row(np.arange(10.0))
