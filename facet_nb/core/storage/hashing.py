"""Fingerprints: whether two runs would compute the same.

A fingerprint covers the values of a step and, for classes that no installed package holds (of a
notebook, of somebody's script), their code and the globals that it reads. It does not depend on
the process: no addresses, no order of sets.
"""

from __future__ import annotations

import datetime
import dis
import enum
import functools
import hashlib
import platform
import re
import struct
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

_PLACES = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")
)

#: Attributes of a class that say nothing of what it computes.
_BOOKKEEPING = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "__parameters__"),
    *("__orig_bases__", "_abc_impl", "__dataclass_params__", "__annotate__"),
    *("__annotate_func__", "__annotations_cache__"),
}


class UnhashableError(Exception):
    """Something whose fingerprint cannot be taken; the message says where it is."""


def take_fingerprint(thing: Any) -> str:
    """Return the fingerprint of `thing`: 64 hexadecimal digits.

    Parameters
    ----------
    thing : object
        Numbers, text, arrays, containers, dataclasses, functions, classes, instances of plain
        classes, and whatever these hold.

    Raises
    ------
    UnhashableError
        If it holds something else: a lock, an open file, a generator.
    """
    writer = _Writer()
    try:
        writer.add(thing, type(thing).__name__)
    except RecursionError as error:
        raise UnhashableError(
            f"{type(thing).__name__} is a thing within a thing, without end"
        ) from error
    return writer.hash.hexdigest()


def hash_row(row: np.ndarray) -> str:
    """Return the checksum of samples, shape (n_times,)."""
    samples = np.ascontiguousarray(row, dtype=np.float64)
    return hashlib.sha256(samples.data).hexdigest()


def list_versions() -> dict[str, str]:
    """Return the versions on which samples may depend to the last bit."""
    names = ("facet_nb", "numpy", "scipy", "mne", "numba")
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        loaded = getattr(sys.modules.get(name), "__version__", None)
        try:
            found[name] = str(loaded or version(name))
        except PackageNotFoundError:
            found[name] = "none"
    return found


class _Writer:
    """Feeds things to a hash, each with its kind and size before it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._known: dict[int, tuple[Any, bytes]] = {}  # the thing itself keeps its id its own

    def add(self, thing: Any, where: str) -> None:
        """Feed `thing`, which is at `where`."""
        if isinstance(thing, _SIMPLE):
            self._choose(thing)(self, thing, where)
            return
        if id(thing) not in self._known:
            self._known[id(thing)] = thing, b"itself"  # while it is looked at: it may hold itself
            outer, self.hash = self.hash, hashlib.sha256()
            try:
                self._choose(thing)(self, thing, where)
                self._known[id(thing)] = thing, self.hash.digest()
            finally:
                self.hash = outer
        self.text("thing", self._known[id(thing)][1])

    def _choose(self, thing: Any) -> Callable[[_Writer, Any, str], None]:
        for kinds, method in _METHODS:
            if isinstance(thing, kinds):
                return method
        return _Writer._instance

    def text(self, kind: str, content: bytes = b"") -> None:
        """Feed one piece."""
        self.hash.update(f"{kind}:{len(content)}:".encode())
        self.hash.update(content)

    # ------------------------------------------------------------------------------ plain values
    def _none(self, thing: Any, where: str) -> None:
        self.text(type(thing).__name__)

    def _bool(self, thing: bool, where: str) -> None:
        self.text("bool", str(bool(thing)).encode())

    def _int(self, thing: Any, where: str) -> None:
        self.text("int", str(int(thing)).encode())

    def _float(self, thing: Any, where: str) -> None:
        self.text("float", struct.pack("<d", float(thing)))

    def _complex(self, thing: Any, where: str) -> None:
        self.text("complex", struct.pack("<dd", thing.real, thing.imag))

    def _str(self, thing: str, where: str) -> None:
        self.text("str", str(thing).encode("utf-8", "surrogatepass"))

    def _bytes(self, thing: Any, where: str) -> None:
        self.text("bytes", bytes(thing))

    def _scalar(self, thing: np.generic, where: str) -> None:
        self.text("scalar", thing.dtype.str.encode() + b" " + thing.tobytes())

    def _repr(self, thing: Any, where: str) -> None:
        self.text(type(thing).__name__, repr(thing).encode())

    def _enum(self, thing: enum.Enum, where: str) -> None:
        self.text("enum", f"{type(thing).__qualname__}.{thing.name}".encode())

    def _pattern(self, thing: re.Pattern, where: str) -> None:
        self.text("pattern", f"{thing.flags}:{thing.pattern!r}".encode())

    def _array(self, thing: np.ndarray, where: str) -> None:
        if thing.dtype.hasobject:
            self.text("objects", repr(thing.shape).encode())
            self._list(thing.ravel().tolist(), where)
            return
        self.text("array", f"{thing.dtype.str}{thing.dtype.fields}{thing.shape}".encode())
        content = np.ascontiguousarray(thing)
        self.hash.update(content.reshape(-1).view(np.uint8).data)

    # -------------------------------------------------------------------------------- containers
    def _list(self, thing: Any, where: str) -> None:
        self.text("list" if isinstance(thing, list) else "tuple", str(len(thing)).encode())
        for i, item in enumerate(thing):
            self.add(item, f"{where}[{i}]")

    def _set(self, thing: Any, where: str) -> None:
        self.text("set", "".join(sorted(take_fingerprint(item) for item in thing)).encode())

    def _mapping(self, thing: Mapping, where: str) -> None:
        keys = sorted(thing, key=lambda key: (type(key).__name__, repr(key)))
        self.text("mapping", str(len(keys)).encode())
        for key in keys:
            self.add(key, f"{where}: a key")
            self.add(thing[key], f"{where}[{key!r}]")

    def _partial(self, thing: functools.partial, where: str) -> None:
        self.text("partial")
        self.add([thing.func, list(thing.args), dict(thing.keywords)], where)

    def _instance(self, thing: Any, where: str) -> None:
        """Feed what pickle would take of an instance, without a pickle."""
        inner = getattr(thing, "py_func", None) or getattr(thing, "__wrapped__", None)
        if isinstance(inner, types.FunctionType):  # compiled by numba; cached
            self.text("wrapped", type(thing).__qualname__.encode())
            self.add(inner, where)
            return
        try:
            parts = thing.__reduce_ex__(4)
        except Exception as error:  # whatever a __reduce__ of anyone's raises
            raise UnhashableError(f"{where} is a {type(thing).__name__}") from error
        if isinstance(parts, str):
            self.text("name", f"{thing.__module__}.{parts}".encode())
            return
        self.text("instance", str(len(parts)).encode())
        for part in parts:
            self.add(list(part) if hasattr(part, "__next__") else part, where)

    # -------------------------------------------------------------------------- code and classes
    def _module(self, thing: types.ModuleType, where: str) -> None:
        version = getattr(sys.modules.get(thing.__name__.partition(".")[0]), "__version__", "")
        self.text("module", f"{thing.__name__} {version}".encode())

    def _builtin(self, thing: Any, where: str) -> None:
        owner = getattr(thing, "__self__", None)
        self.text("builtin", f"{thing.__module__}.{thing.__qualname__}".encode())
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.add(owner, where)

    def _method(self, thing: types.MethodType, where: str) -> None:
        self.text("method")
        self.add(thing.__func__, where)
        self.add(thing.__self__, where)

    def _function(self, thing: types.FunctionType, where: str) -> None:
        self.text("function", f"{thing.__module__}.{thing.__qualname__}".encode())
        if _is_installed(thing.__module__):
            self._module_of(thing)
            return
        self._code(thing.__code__, where)
        self.add([thing.__defaults__, thing.__kwdefaults__], f"{where}: defaults")
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            if name != "__class__":
                self.add(_open(cell), f"{name} in {thing.__qualname__}")
        for name in sorted(_find_globals(thing.__code__)):
            if name in thing.__globals__:
                self.text("global", name.encode())
                self.add(thing.__globals__[name], f"{name} in {thing.__qualname__}")

    def _code(self, code: types.CodeType, where: str) -> None:
        self.text("code", code.co_code)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self.add([list(n) for n in names] + [code.co_argcount, code.co_flags], where)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, where)
            else:
                self.add(constant, where)

    def _class(self, thing: type, where: str) -> None:
        self.text("class", f"{thing.__module__}.{thing.__qualname__}".encode())
        if _is_installed(thing.__module__):
            self._module_of(thing)
            self.add(str(getattr(thing, "version", "")), where)
            return
        self.add(list(thing.__bases__), where)
        for name in sorted(set(vars(thing)) - _BOOKKEEPING):
            self.text("attribute", name.encode())
            self.add(vars(thing)[name], f"{thing.__qualname__}.{name}")

    def _wrapped(self, thing: Any, where: str) -> None:
        self.text(type(thing).__name__)
        self.add(thing.__func__, where)

    def _property(self, thing: property, where: str) -> None:
        self.text("property")
        self.add([thing.fget, thing.fset, thing.fdel], where)

    def _member(self, thing: Any, where: str) -> None:
        self.text("member", thing.__name__.encode())

    def _module_of(self, thing: Any) -> None:
        top = sys.modules.get(thing.__module__.partition(".")[0])
        self.text("version", str(getattr(top, "__version__", "")).encode())


_SIMPLE = (type(None), bool, int, float, complex, str, bytes, np.generic)

_METHODS: list[tuple[Any, Callable[[_Writer, Any, str], None]]] = [
    ((type(None), type(Ellipsis), type(NotImplemented)), _Writer._none),
    (enum.Enum, _Writer._enum),
    (np.generic, _Writer._scalar),
    (bool, _Writer._bool),
    (int, _Writer._int),
    (float, _Writer._float),
    (complex, _Writer._complex),
    (str, _Writer._str),
    ((bytes, bytearray), _Writer._bytes),
    ((slice, range, PurePath, np.dtype, np.ufunc), _Writer._repr),
    ((datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo), _Writer._repr),
    (re.Pattern, _Writer._pattern),
    (np.ndarray, _Writer._array),
    ((list, tuple), _Writer._list),
    ((set, frozenset), _Writer._set),
    ((dict, types.MappingProxyType), _Writer._mapping),
    (functools.partial, _Writer._partial),
    (types.ModuleType, _Writer._module),
    (types.MethodType, _Writer._method),
    (types.FunctionType, _Writer._function),
    (types.BuiltinFunctionType, _Writer._builtin),
    (type, _Writer._class),
    ((staticmethod, classmethod), _Writer._wrapped),
    (property, _Writer._property),
    ((types.MemberDescriptorType, types.GetSetDescriptorType), _Writer._member),
]


def _is_installed(module: str | None) -> bool:
    """Whether a module comes with Python or a package: its version stands for its code."""
    name = module or "__main__"
    if name in ("__main__", "__mp_main__"):
        return False
    if name.partition(".")[0] in ("facet_nb", "builtins"):
        return True
    path = getattr(sys.modules.get(name), "__file__", None)
    if path is None:
        return name in sys.builtin_module_names or name in sys.stdlib_module_names
    return str(Path(path).resolve()).startswith(_PLACES)


def _find_globals(code: types.CodeType) -> set[str]:
    """Return the names that `code`, and functions in it, read from globals."""
    reads = ("LOAD_GLOBAL", "LOAD_NAME")
    names = {i.argval for i in dis.get_instructions(code) if i.opname in reads}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _find_globals(constant)
    return names


def _open(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None
