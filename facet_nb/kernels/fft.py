"""SciPy's Fourier transforms, without what importing :mod:`scipy.fft` brings along.

That also imports :mod:`scipy.special`, most of which are docstrings, and takes a tenth of the first
run of a process. The functions are those of :mod:`scipy.fft`, along one axis, with the same bits.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy

__all__ = ["dct", "fft", "idct", "ifft", "irfft", "next_fast_len", "rfft"]

_NAME = "scipy.fft._pocketfft.pypocketfft"

#: Number of threads of a transform.
_ONE = 1


def _load() -> ModuleType | None:
    """Return SciPy's compiled transforms; None if this SciPy keeps or calls them in another way."""
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    folder = Path(scipy.__file__).parent / "fft" / "_pocketfft"
    for suffix in EXTENSION_SUFFIXES:
        path = folder / f"pypocketfft{suffix}"
        if path.is_file():
            spec = spec_from_loader(_NAME, ExtensionFileLoader(_NAME, str(path)))
            assert spec is not None and spec.loader is not None
            try:
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
            except ImportError:  # scipy.fft may know how to load it, or says what is wrong
                return None
            # scipy.fft takes this one if it is imported later.
            return sys.modules.setdefault(_NAME, module) if _is_known(module) else None
    return None


def _is_known(module: Any) -> bool:
    """Whether the compiled transforms take the arguments, and give the results, of SciPy 1.14."""
    x = np.array([1.0, 2.0, 4.0, 1.0])
    try:
        spectrum = module.r2c(x, (0,), True, 0, None, _ONE)
        back = module.c2r(spectrum, (0,), 4, False, 2, None, _ONE)
        whole = module.c2c(module.c2c(x, (0,), True, 0, None, _ONE), (0,), False, 2, None, _ONE)
        cosines = module.dct(x, 2, (0,), 1, None, _ONE, None)
        size = module.good_size(11, True)
    except (AttributeError, TypeError, ValueError):
        return False
    given = np.allclose(spectrum, [8, -3 - 1j, 2]) and np.allclose(back, x) and size == 12
    return bool(given and np.allclose(whole, x) and np.isclose(cosines[0], 4.0))


def _as_float(x: Any) -> np.ndarray:
    """Return `x` as an array of a type that the compiled transforms take."""
    x = np.asarray(x)
    if x.dtype.char not in "fdFD":
        x = x.astype(float)
    if not (x.dtype.isnative and x.flags.aligned):
        x = x.astype(x.dtype.newbyteorder("="))
    return x


def _fit(x: np.ndarray, n: int | None, axis: int) -> np.ndarray:
    """Return `x`, cut or filled with zeros to `n` samples along an axis."""
    known = x.shape[axis]
    n = known if n is None else n
    if n < 1:
        raise ValueError("a transform needs at least one sample")
    if n == known:
        return x
    index: list[Any] = [slice(None)] * x.ndim
    if n < known:
        index[axis] = slice(n)
        return x[tuple(index)]
    shape = list(x.shape)
    shape[axis] = n
    filled = np.zeros(shape, x.dtype)
    index[axis] = slice(known)
    filled[tuple(index)] = x
    return filled


def _transform_real(x: Any, n: int | None = None, axis: int = -1) -> np.ndarray:
    x = _fit(_as_float(x), n, axis)
    spectrum: np.ndarray = _compiled.r2c(x, (axis,), True, 0, None, _ONE)
    return spectrum


def _transform_real_back(
    x: Any, n: int | None = None, axis: int = -1, *, overwrite_x: bool = False
) -> np.ndarray:
    x = _as_float(x)
    x = x if x.dtype.kind == "c" else x + 0.0j
    n = 2 * (x.shape[axis] - 1) if n is None else n
    if n < 1:
        raise ValueError("a transform needs at least one sample")
    result: np.ndarray = _compiled.c2r(_fit(x, n // 2 + 1, axis), (axis,), n, False, 2, None, _ONE)
    return result


def _transform(
    forward: bool, x: Any, n: int | None = None, axis: int = -1, *, overwrite_x: bool = False
) -> np.ndarray:
    x = _fit(_as_float(x), n, axis)
    out = x if overwrite_x and x.dtype.kind == "c" else None
    result: np.ndarray = _compiled.c2c(x, (axis,), forward, 0 if forward else 2, out, _ONE)
    return result


def _transform_cosines(forward: bool, x: Any, axis: int = -1, *, norm: str) -> np.ndarray:
    if norm != "ortho":
        raise ValueError(f"norm={norm!r}: only 'ortho' is used")
    kind = 2 if forward else 3
    result: np.ndarray = _compiled.dct(_as_float(x), kind, (axis,), 1, None, _ONE, None)
    return result


_compiled: Any = _load()

if _compiled is None:
    from scipy.fft import dct, fft, idct, ifft, irfft, next_fast_len, rfft
else:
    rfft, irfft = _transform_real, _transform_real_back
    fft, ifft = partial(_transform, True), partial(_transform, False)
    dct, idct = partial(_transform_cosines, True), partial(_transform_cosines, False)
    next_fast_len = _compiled.good_size
