"""Vectors as values in numba: as many numbers side by side as the processor's registers hold.

A loop over a signal whose samples depend on each other cannot be vectorised in time, but 16 signals
can be worked on at once. Compilers do not find that by themselves; here a value of type
:class:`Lanes` is 16 (or 8, or 32) numbers, and ``a * b + c`` is one operation on all of them. LLVM
turns it into the widest instructions that the processor has. Operations round like scalar ones, so
that a lane's result never depends on the other lanes.

Importing this module imports numba.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import config, extending, njit, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("lanes exist in compiled code only, and NUMBA_DISABLE_JIT is set")

_I32 = ir.IntType(32)


class Lanes(types.Type):
    """Numba's type of `width` numbers side by side; comparisons make lanes of truth values."""

    def __init__(self, dtype: Any, width: int) -> None:
        self.dtype = dtype
        self.width = width
        super().__init__(name=f"Lanes({dtype}, {width})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        is_mask = lanes.dtype == types.boolean
        element = ir.IntType(1) if is_mask else manager.lookup(lanes.dtype).get_value_type()
        super().__init__(manager, lanes, ir.VectorType(element, lanes.width))


#: For functions that write instructions. (Numba's own types do not know all that it offers.)
intrinsic: Any = extending.intrinsic

#: For functions that only compiled ones call: without what Python would need to call them, and
#: without a check of each division, compilation is faster.
inner: Any = cast(Any, njit)(
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)


def compile_entry(function: Callable, *arguments: Any) -> Any:
    """Return `function` compiled for these types of arguments: what Python calls.

    It is read from the cache on disk, or kept there if there is a folder that can be written to.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    # The cache looks at the file of the entry only: inner functions are in others.
    function.__qualname__ = f"{function.__name__}_{_digest_sources()}"
    try:
        return njit(types.void(*arguments), cache=True, **options)(function)
    except RuntimeError:  # no such folder
        return njit(types.void(*arguments), **options)(function)


@lru_cache(maxsize=1)
def _digest_sources() -> str:
    """Return what differs as soon as any kernel's source does."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return f"{crc32(b''.join(source.read_bytes() for source in sources)):08x}"


def aligned_empty(n: int, dtype: Any) -> np.ndarray:
    """Return an uninitialised array of `n` numbers that starts on a cache line."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(n * itemsize + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + n * itemsize].view(dtype)


# ---------------------------------------------------------------------------------- operators
def _vector(context: Any, lanes: Lanes) -> ir.VectorType:
    return context.data_model_manager.lookup(lanes).get_value_type()


def _register(symbol: Any, emit: Callable, result: Callable[[Lanes], Lanes]) -> None:
    """Make ``symbol(a, b)`` of two lanes of one type the instruction that `emit` builds."""

    @infer_global(symbol)
    class _Template(AbstractTemplate):
        def generic(self, args: tuple, kws: dict) -> Any:
            if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
                return signature(result(args[0]), *args)
            return None

    @lower_builtin(symbol, Lanes, Lanes)
    def _lower(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return emit(builder, *args)


def _to_mask(lanes: Lanes) -> Lanes:
    return Lanes(types.boolean, lanes.width)


_register(operator.add, lambda b, x, y: b.fadd(x, y), lambda lanes: lanes)

_register(operator.sub, lambda b, x, y: b.fsub(x, y), lambda lanes: lanes)

_register(operator.mul, lambda b, x, y: b.fmul(x, y), lambda lanes: lanes)

_register(operator.truediv, lambda b, x, y: b.fdiv(x, y), lambda lanes: lanes)

_register(operator.lt, lambda b, x, y: b.fcmp_ordered("<", x, y), _to_mask)

_register(operator.le, lambda b, x, y: b.fcmp_ordered("<=", x, y), _to_mask)

_register(operator.eq, lambda b, x, y: b.fcmp_ordered("==", x, y), _to_mask)

_register(operator.ne, lambda b, x, y: b.fcmp_unordered("!=", x, y), _to_mask)

_register(operator.and_, lambda b, x, y: b.and_(x, y), _to_mask)

_register(operator.or_, lambda b, x, y: b.or_(x, y), _to_mask)


# ---------------------------------------------------------------------------- memory
@intrinsic
def pointer(typingctx, array):
    """Return the place of the first element of `array`, as ``p[i]``, `load` and `store` take it.

    Functions that pass arrays on count references to them, at a cost in each call; those that
    pass places do not. The array must outlive the use.
    """

    def codegen(context, builder, sig, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def beyond(typingctx, place, n):
    """Return the place `n` elements after `place`."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return place(place, types.intp), codegen


@intrinsic
def address(typingctx, place):
    """Return a place as a number, in bytes."""

    def codegen(context, builder, sig, args):
        return builder.ptrtoint(args[0], context.get_value_type(types.intp))

    return types.intp(place), codegen


@intrinsic
def at(typingctx, place, number):
    """Return the place that :func:`address` gave as a number, of the type of `place`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[1], args[0].type)

    return place(place, types.intp), codegen


def _load(place: Any, width: int) -> tuple[Lanes, Callable]:
    lanes = Lanes(place.dtype, width)

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        vector = _vector(context, lanes).as_pointer()
        value = builder.load(builder.bitcast(builder.gep(args[0], [args[1]]), vector))
        value.align = lanes.dtype.bitwidth // 8
        return value

    return lanes, codegen


@intrinsic(prefer_literal=True)
def load(typingctx, place, index, width):
    """Return `width` neighbours from `index` elements after `place`."""
    lanes, codegen = _load(place, width.literal_value)
    return lanes(place, types.intp, width), codegen


@intrinsic(prefer_literal=True)
def load_bytes(typingctx, place, index, n_bytes):
    """Return as many neighbours as `n_bytes` hold, from `index` elements after `place`."""
    lanes, codegen = _load(place, n_bytes.literal_value * 8 // place.dtype.bitwidth)
    return lanes(place, types.intp, n_bytes), codegen


@intrinsic
def store(typingctx, place, index, lanes):
    """Write neighbours, from `index` elements after `place`."""

    def codegen(context, builder, sig, args):
        vector = _vector(context, lanes).as_pointer()
        target = builder.bitcast(builder.gep(args[0], [args[1]]), vector)
        builder.store(args[2], target).align = lanes.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(place, types.intp, lanes), codegen


@intrinsic
def prefetch(typingctx, place, index):
    """Begin to bring `index` elements after `place` into cache; any index may be given."""

    def codegen(context, builder, sig, args):
        address = builder.bitcast(builder.gep(args[0], [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, _I32, _I32, _I32])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(hint, [address, *(ir.Constant(_I32, i) for i in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(place, types.intp), codegen


@intrinsic
def like(typingctx, lanes, number):
    """Return lanes of the type of `lanes` that all hold `number`."""

    def codegen(context, builder, sig, args):
        vector = _vector(context, lanes)
        value = context.cast(builder, args[1], sig.args[1], lanes.dtype)
        undefined = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
        return builder.shuffle_vector(one, undefined, _indices([0] * lanes.width))

    return lanes(lanes, number), codegen


# ------------------------------------------------------------------------- choice, conversion
@intrinsic
def select(typingctx, mask, yes, no):
    """Return `yes` where `mask`, else `no`."""

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return yes(mask, yes, no), codegen


@intrinsic
def is_any(typingctx, mask):
    """Return whether any lane of `mask` is true."""

    def codegen(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(mask.width))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), codegen


@intrinsic
def convert(typingctx, lanes, place):
    """Return floating-point lanes as numbers of the type that `place` holds."""
    target = Lanes(place.dtype, lanes.width)

    def codegen(context, builder, sig, args):
        if target == lanes:
            return args[0]
        is_wider = place.dtype.bitwidth > lanes.dtype.bitwidth
        return (builder.fpext if is_wider else builder.fptrunc)(args[0], _vector(context, target))

    return target(lanes, place), codegen


@intrinsic
def muladd(typingctx, a, b, c):
    """Return ``a * b + c``, rounded once where the processor can."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        name = f"llvm.fmuladd.v{vector.count}f{a.dtype.bitwidth}"
        kind = ir.FunctionType(vector, [vector] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return a(a, b, c), codegen


@infer_global(operator.neg)
class _Negative(AbstractTemplate):
    def generic(self, args: tuple, kws: dict) -> Any:
        return signature(*args, *args) if isinstance(args[0], Lanes) else None


@lower_builtin(operator.neg, Lanes)
def _negate(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
    return builder.fneg(args[0])


# ----------------------------------------------------------------------- shift and transpose
@intrinsic
def shift(typingctx, lanes, number):
    """Return `number` and all lanes but the last: each moves to the next place."""

    def codegen(context, builder, sig, args):
        moved = builder.shuffle_vector(args[0], args[0], _indices([0, *range(lanes.width - 1)]))
        return builder.insert_element(moved, args[1], ir.Constant(_I32, 0))

    return lanes(lanes, lanes.dtype), codegen


@intrinsic
def last(typingctx, lanes):
    """Return the last of the lanes."""

    def codegen(context, builder, sig, args):
        return builder.extract_element(args[0], ir.Constant(_I32, lanes.width - 1))

    return lanes.dtype(lanes), codegen


@intrinsic
def total(typingctx, lanes):
    """Return the sum of the lanes: of halves, of their halves, and so on."""

    def codegen(context, builder, sig, args):
        value = args[0]
        half = lanes.width // 2
        while half:
            low = builder.shuffle_vector(value, value, _indices(list(range(half))))
            high = builder.shuffle_vector(value, value, _indices(list(range(half, 2 * half))))
            value = builder.fadd(low, high)
            half //= 2
        return builder.extract_element(value, ir.Constant(_I32, 0))

    return lanes.dtype(lanes), codegen


@intrinsic
def size(typingctx, lanes):
    """Return how many lanes there are."""

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, lanes.width)

    return types.intp(lanes), codegen


def _indices(positions: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(positions)), positions)


@intrinsic(prefer_literal=True)
def load_square(typingctx, place, index, step, n_bytes):
    """Return the columns of a square: row i starts ``index + i * step`` elements after `place`."""
    lanes = Lanes(place.dtype, n_bytes.literal_value * 8 // place.dtype.bitwidth)
    columns = types.UniTuple(lanes, lanes.width)

    def codegen(context, builder, sig, args):
        vector = _vector(context, lanes).as_pointer()
        first, rows = args[1], []
        for _ in range(lanes.width):
            row = builder.load(builder.bitcast(builder.gep(args[0], [first]), vector))
            row.align = lanes.dtype.bitwidth // 8
            rows.append(row)
            first = builder.add(first, args[2])
        return cgutils.pack_array(builder, _transpose(builder, rows))

    return columns(place, types.intp, types.intp, n_bytes), codegen


@intrinsic
def transpose(typingctx, rows):
    """Return the columns of a square of lanes: a tuple of as many lanes as each is wide."""

    def codegen(context, builder, sig, args):
        vectors = [builder.extract_value(args[0], i) for i in range(rows.count)]
        columns = _transpose(builder, vectors)
        value = ir.Constant(args[0].type, ir.Undefined)
        for i, column in enumerate(columns):
            value = builder.insert_value(value, column, i)
        return value

    return rows(rows), codegen


def _transpose(builder: Any, rows: list) -> list:
    """Exchange halves between rows n/2 apart, then quarters between rows n/4 apart, and so on."""
    n = len(rows)
    step = n // 2
    while step:
        low = [i if not i & step else n + i - step for i in range(n)]
        high = [i + step if not i & step else n + i for i in range(n)]
        exchanged = list(rows)
        for i in range(n):
            if not i & step:
                pair = rows[i], rows[i + step]
                exchanged[i] = builder.shuffle_vector(*pair, _indices(low))
                exchanged[i + step] = builder.shuffle_vector(*pair, _indices(high))
        rows = exchanged
        step //= 2
    return rows
