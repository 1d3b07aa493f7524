"""Fingerprints: two runs with equal fingerprints compute the same.

A fingerprint covers the values of a step and, for classes that are not part of an installed package
(defined in a notebook or script), their code and the globals that it reads. It is the same in every
process: it contains no addresses and does not depend on the order of sets.
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

#: Attributes of a class that have no influence on what it computes.
_BOOKKEEPING = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "__parameters__"),
    *("__orig_bases__", "_abc_impl", "__dataclass_params__", "__annotate__"),
    *("__annotate_func__", "__annotations_cache__"),
}


class UnhashableError(Exception):
    """A value has no fingerprint; the message says where it is."""


def take_fingerprint(value: Any) -> str:
    """Return the fingerprint of `value`: 64 hexadecimal digits.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, containers, dataclasses, functions, classes, instances of plain
        classes, and nested combinations of these.

    Raises
    ------
    UnhashableError
        If it contains another object, such as a lock, an open file or a generator.
    """
    writer = _Writer()
    try:
        writer.add(value, type(value).__name__)
    except RecursionError as error:
        raise UnhashableError(f"{type(value).__name__} is nested too deeply") from error
    return writer.hash.hexdigest()


def hash_row(row: np.ndarray) -> str:
    """Return the checksum of samples, shape (n_times,)."""
    samples = np.ascontiguousarray(row, dtype=np.float64)
    return hashlib.sha256(samples.data).hexdigest()


def list_versions() -> dict[str, str]:
    """Return the versions on which the last bits of samples may depend."""
    names = ("facet_nb", "numpy", "scipy", "mne")
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        loaded = getattr(sys.modules.get(name), "__version__", None)
        try:
            versions[name] = str(loaded or version(name))
        except PackageNotFoundError:
            versions[name] = "none"
    return versions


class _Writer:
    """Feeds values to a hash, each preceded by its kind and size."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        # Holds the values as well as their digests: the id of a dead object may be reused.
        self._known: dict[int, tuple[Any, bytes]] = {}

    def add(self, value: Any, where: str) -> None:
        """Feed `value`; `where` describes its place, for messages."""
        if isinstance(value, _SIMPLE):
            self._choose(value)(self, value, where)
            return
        if id(value) not in self._known:
            # A value may contain itself: until its digest is known, a placeholder stands for it.
            self._known[id(value)] = value, b"itself"
            outer, self.hash = self.hash, hashlib.sha256()
            try:
                self._choose(value)(self, value, where)
                self._known[id(value)] = value, self.hash.digest()
            finally:
                self.hash = outer
        self.text("value", self._known[id(value)][1])

    def _choose(self, value: Any) -> Callable[[_Writer, Any, str], None]:
        # functools.singledispatch would follow the order of base classes: an IntEnum is an int
        # first, and members of two enumerations with the same number would be equal.
        for kinds, method in _METHODS:
            if isinstance(value, kinds):
                return method
        return _Writer._instance

    def text(self, kind: str, content: bytes = b"") -> None:
        """Feed one piece."""
        self.hash.update(f"{kind}:{len(content)}:".encode())
        self.hash.update(content)

    def _array(self, value: np.ndarray, where: str) -> None:
        if value.dtype.hasobject:
            self.text("objects", repr(value.shape).encode())
            self._list(value.ravel().tolist(), where)
            return
        self.text("array", f"{value.dtype.str}{value.dtype.fields}{value.shape}".encode())
        content = np.ascontiguousarray(value)
        self.hash.update(content.reshape(-1).view(np.uint8).data)

    # -------------------------------------------------------------------------------- containers
    def _list(self, value: Any, where: str) -> None:
        self.text("list" if isinstance(value, list) else "tuple", str(len(value)).encode())
        for i, item in enumerate(value):
            self.add(item, f"{where}[{i}]")

    def _set(self, value: Any, where: str) -> None:
        self.text("set", "".join(sorted(take_fingerprint(item) for item in value)).encode())

    def _mapping(self, value: Mapping[Any, Any], where: str) -> None:
        # Sorted: two dicts with the same items are equal, whatever the order of insertion.
        keys = sorted(value, key=lambda key: (type(key).__name__, repr(key)))
        self.text("mapping", str(len(keys)).encode())
        for key in keys:
            self.add(key, f"{where}: a key")
            self.add(value[key], f"{where}[{key!r}]")

    def _partial(self, value: functools.partial[Any], where: str) -> None:
        self.text("partial")
        self.add([value.func, list(value.args), dict(value.keywords)], where)

    def _instance(self, value: Any, where: str) -> None:
        """Feed the parts that pickle would store of an instance."""
        # The bytes of a pickle would not do: they depend on which objects are shared.
        inner = getattr(value, "py_func", None) or getattr(value, "__wrapped__", None)
        if isinstance(inner, types.FunctionType):  # compiled by numba, or cached
            self.text("wrapped", type(value).__qualname__.encode())
            self.add(inner, where)
            return
        try:
            parts = value.__reduce_ex__(4)
        except Exception as error:  # __reduce__ may raise anything
            raise UnhashableError(f"{where} is a {type(value).__name__}") from error
        if isinstance(parts, str):
            self.text("name", f"{value.__module__}.{parts}".encode())
            return
        self.text("instance", str(len(parts)).encode())
        for part in parts:
            self.add(list(part) if hasattr(part, "__next__") else part, where)

    # -------------------------------------------------------------------------- code and classes
    def _module(self, value: types.ModuleType, where: str) -> None:
        version = getattr(sys.modules.get(value.__name__.partition(".")[0]), "__version__", "")
        self.text("module", f"{value.__name__} {version}".encode())

    def _builtin(self, value: Any, where: str) -> None:
        owner = getattr(value, "__self__", None)
        self.text("builtin", f"{value.__module__}.{value.__qualname__}".encode())
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.add(owner, where)

    def _method(self, value: types.MethodType, where: str) -> None:
        self.text("method")
        self.add(value.__func__, where)
        self.add(value.__self__, where)

    def _function(self, value: types.FunctionType, where: str) -> None:
        self.text("function", f"{value.__module__}.{value.__qualname__}".encode())
        if _is_installed(value.__module__):
            self._module_of(value)
            return
        self._code(value.__code__, where)
        self.add([value.__defaults__, value.__kwdefaults__], f"{where}: defaults")
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if name != "__class__":  # the cell of super(): the class is being hashed
                self.add(_open(cell), f"{name} in {value.__qualname__}")
        for name in sorted(_find_globals(value.__code__)):
            if name in value.__globals__:
                self.text("global", name.encode())
                self.add(value.__globals__[name], f"{name} in {value.__qualname__}")

    def _code(self, code: types.CodeType, where: str) -> None:
        # Without file name and line numbers: moving a cell does not change what it computes.
        self.text("code", code.co_code)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self.add([list(n) for n in names] + [code.co_argcount, code.co_flags], where)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, where)
            else:
                self.add(constant, where)

    def _class(self, value: type, where: str) -> None:
        self.text("class", f"{value.__module__}.{value.__qualname__}".encode())
        if _is_installed(value.__module__):
            self._module_of(value)
            self.add(str(getattr(value, "version", "")), where)
            return
        self.add(list(value.__bases__), where)
        for name in sorted(set(vars(value)) - _BOOKKEEPING):
            self.text("attribute", name.encode())
            self.add(vars(value)[name], f"{value.__qualname__}.{name}")

    def _wrapped(self, value: Any, where: str) -> None:
        self.text(type(value).__name__)
        self.add(value.__func__, where)

    def _property(self, value: property, where: str) -> None:
        self.text("property")
        self.add([value.fget, value.fset, value.fdel], where)

    def _module_of(self, value: Any) -> None:
        top = sys.modules.get(value.__module__.partition(".")[0])
        self.text("version", str(getattr(top, "__version__", "")).encode())


_SIMPLE = (type(None), bool, int, float, complex, str, bytes, np.generic)


def _plain(encode: Callable[[Any], bytes], kind: str = "") -> Callable[[_Writer, Any, str], None]:
    """Return a method that feeds a value as one piece; its kind is that of its class by default."""

    def feed(writer: _Writer, value: Any, where: str) -> None:
        writer.text(kind or type(value).__name__, encode(value))

    return feed


_as_repr = _plain(lambda v: repr(v).encode())

_METHODS: list[tuple[Any, Callable[[_Writer, Any, str], None]]] = [
    ((type(None), type(Ellipsis), type(NotImplemented)), _plain(lambda v: b"")),
    (enum.Enum, _plain(lambda v: f"{type(v).__qualname__}.{v.name}".encode(), "enum")),
    (np.generic, _plain(lambda v: v.dtype.str.encode() + b" " + v.tobytes(), "scalar")),
    (bool, _plain(lambda v: str(bool(v)).encode(), "bool")),
    (int, _plain(lambda v: str(int(v)).encode(), "int")),
    (float, _plain(lambda v: struct.pack("<d", float(v)), "float")),
    (complex, _plain(lambda v: struct.pack("<dd", v.real, v.imag), "complex")),
    (str, _plain(lambda v: str(v).encode("utf-8", "surrogatepass"), "str")),
    ((bytes, bytearray), _plain(bytes, "bytes")),
    ((slice, range, PurePath, np.dtype, np.ufunc), _as_repr),
    ((datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo), _as_repr),
    (re.Pattern, _plain(lambda v: f"{v.flags}:{v.pattern!r}".encode(), "pattern")),
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
    (
        (types.MemberDescriptorType, types.GetSetDescriptorType),
        _plain(lambda v: v.__name__.encode(), "member"),
    ),
]


def _is_installed(module: str | None) -> bool:
    """Whether a module belongs to Python or to an installed package."""
    # The version of such a module stands for its code.
    name = module or "__main__"
    if name in ("__main__", "__mp_main__"):  # the second in children of multiprocessing
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
    except ValueError:  # the variable is not set yet
        return None
