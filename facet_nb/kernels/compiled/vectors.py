"""SIMD vectors as values in Numba.

A loop over a signal whose samples depend on each other cannot be vectorised over time, but several
signals can be processed at once. Compilers do not do so by themselves. Here a value of type
:class:`Vector` is 8, 16 or 32 numbers (lanes), and ``a * b + c`` is one operation on all of them,
which LLVM turns into the widest instructions of the processor. Operations round like scalar ones,
so that the result of a lane never depends on the other lanes.

Importing this module imports Numba.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import config, extending, njit, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("vectors exist in compiled code only, but NUMBA_DISABLE_JIT is set")

_I32 = ir.IntType(32)


class Vector(types.Type):
    """Numba type of a vector of `width` numbers; comparisons give vectors of booleans."""

    def __init__(self, dtype: Any, width: int) -> None:
        self.dtype = dtype
        self.width = width
        super().__init__(name=f"Vector({dtype}, {width})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        is_mask = vector.dtype == types.boolean
        element = ir.IntType(1) if is_mask else manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.width))


#: Decorator of functions that emit LLVM instructions. (``Any``: Numba's annotations do not
#: cover its options.)
intrinsic: Any = extending.intrinsic

#: Decorator of functions that only compiled functions call. Without wrappers for calls from Python,
#: and without a check of each division for zero, compilation is faster.
inner: Any = cast(Any, njit)(
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)


# ---------------------------------------------------------------------------------- operators
def _find_llvm_type(context: Any, vector: Vector) -> ir.VectorType:
    return context.data_model_manager.lookup(vector).get_value_type()


def _register(symbol: Any, emit: Callable, result: Callable[[Vector], Vector]) -> None:
    """Make ``symbol(a, b)`` of two equal vector types emit the instruction that `emit` builds."""

    @infer_global(symbol)
    class _Template(AbstractTemplate):
        def generic(self, args: tuple, kws: dict) -> Any:
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(result(args[0]), *args)
            return None

    @lower_builtin(symbol, Vector, Vector)
    def _lower(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return emit(builder, *args)


def _to_mask(vector: Vector) -> Vector:
    return Vector(types.boolean, vector.width)


_register(operator.add, lambda b, x, y: b.fadd(x, y), lambda kind: kind)

_register(operator.sub, lambda b, x, y: b.fsub(x, y), lambda kind: kind)

_register(operator.mul, lambda b, x, y: b.fmul(x, y), lambda kind: kind)

_register(operator.truediv, lambda b, x, y: b.fdiv(x, y), lambda kind: kind)

_register(operator.lt, lambda b, x, y: b.fcmp_ordered("<", x, y), _to_mask)

_register(operator.le, lambda b, x, y: b.fcmp_ordered("<=", x, y), _to_mask)

_register(operator.eq, lambda b, x, y: b.fcmp_ordered("==", x, y), _to_mask)

_register(operator.ne, lambda b, x, y: b.fcmp_unordered("!=", x, y), _to_mask)

_register(operator.and_, lambda b, x, y: b.and_(x, y), _to_mask)

_register(operator.or_, lambda b, x, y: b.or_(x, y), _to_mask)


# ---------------------------------------------------------------------------- memory
@intrinsic
def pointer(typingctx, array):
    """Return a pointer to the first element of `array`, for ``p[i]``, `load` and `store`.

    The array must outlive the pointer.
    """
    # Passing arrays to inner functions would count references to them in each call.

    def codegen(context, builder, sig, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def beyond(typingctx, place, n):
    """Return the pointer `n` elements after `place`."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return place(place, types.intp), codegen


@intrinsic
def address(typingctx, place):
    """Return a pointer as an integer, in bytes."""

    def codegen(context, builder, sig, args):
        return builder.ptrtoint(args[0], context.get_value_type(types.intp))

    return types.intp(place), codegen


@intrinsic
def at(typingctx, place, number):
    """Return the pointer that :func:`address` turned into an integer, of the type of `place`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[1], args[0].type)

    return place(place, types.intp), codegen


def _load(place: Any, width: int) -> tuple[Vector, Callable]:
    vector = Vector(place.dtype, width)

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        ll_type = _find_llvm_type(context, vector).as_pointer()
        value = builder.load(builder.bitcast(builder.gep(args[0], [args[1]]), ll_type))
        # LLVM assumes the alignment of a whole vector otherwise, and unaligned loads would crash.
        value.align = vector.dtype.bitwidth // 8
        return value

    return vector, codegen


@intrinsic(prefer_literal=True)
def load(typingctx, place, index, width):
    """Return a vector of `width` elements, from `index` elements after `place`."""
    vector, codegen = _load(place, width.literal_value)
    return vector(place, types.intp, width), codegen


@intrinsic(prefer_literal=True)
def load_bytes(typingctx, place, index, n_bytes):
    """Return a vector of `n_bytes` bytes, from `index` elements after `place`."""
    vector, codegen = _load(place, n_bytes.literal_value * 8 // place.dtype.bitwidth)
    return vector(place, types.intp, n_bytes), codegen


@intrinsic
def store(typingctx, place, index, vector):
    """Write a vector, from `index` elements after `place`."""

    def codegen(context, builder, sig, args):
        ll_type = _find_llvm_type(context, vector).as_pointer()
        target = builder.bitcast(builder.gep(args[0], [args[1]]), ll_type)
        builder.store(args[2], target).align = vector.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(place, types.intp, vector), codegen


@intrinsic
def prefetch(typingctx, place, index):
    """Prefetch the cache line `index` elements after `place`; any index is allowed."""

    def codegen(context, builder, sig, args):
        address = builder.bitcast(builder.gep(args[0], [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, _I32, _I32, _I32])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(hint, [address, *(ir.Constant(_I32, i) for i in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(place, types.intp), codegen


@intrinsic
def like(typingctx, vector, number):
    """Return a vector of the type of `vector` whose lanes all equal `number`."""

    def codegen(context, builder, sig, args):
        ll_type = _find_llvm_type(context, vector)
        value = context.cast(builder, args[1], sig.args[1], vector.dtype)
        undefined = ir.Constant(ll_type, ir.Undefined)
        one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
        return builder.shuffle_vector(one, undefined, _indices([0] * vector.width))

    return vector(vector, number), codegen


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
def convert(typingctx, vector, place):
    """Return a floating-point vector, converted to the type of the elements at `place`."""
    target = Vector(place.dtype, vector.width)

    def codegen(context, builder, sig, args):
        if target == vector:
            return args[0]
        is_wider = place.dtype.bitwidth > vector.dtype.bitwidth
        return (builder.fpext if is_wider else builder.fptrunc)(
            args[0], _find_llvm_type(context, target)
        )

    return target(vector, place), codegen


@intrinsic
def muladd(typingctx, a, b, c):
    """Return ``a * b + c``, with a single rounding where the processor supports it."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        name = f"llvm.fmuladd.v{vector.count}f{a.dtype.bitwidth}"
        kind = ir.FunctionType(vector, [vector] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return a(a, b, c), codegen


@infer_global(operator.neg)
class _Negative(AbstractTemplate):
    def generic(self, args: tuple, kws: dict) -> Any:
        return signature(*args, *args) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _negate(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
    return builder.fneg(args[0])


# ----------------------------------------------------------------------- shift and transpose
@intrinsic
def shift(typingctx, vector, number):
    """Return `vector` shifted by one lane, with `number` in the first."""

    def codegen(context, builder, sig, args):
        moved = builder.shuffle_vector(args[0], args[0], _indices([0, *range(vector.width - 1)]))
        return builder.insert_element(moved, args[1], ir.Constant(_I32, 0))

    return vector(vector, vector.dtype), codegen


@intrinsic
def last(typingctx, vector):
    """Return the last lane of a vector."""

    def codegen(context, builder, sig, args):
        return builder.extract_element(args[0], ir.Constant(_I32, vector.width - 1))

    return vector.dtype(vector), codegen


@intrinsic
def total(typingctx, vector):
    """Return the sum over lanes, pairwise: halves are added, then quarters, and so on."""

    def codegen(context, builder, sig, args):
        value = args[0]
        half = vector.width // 2
        while half:
            low = builder.shuffle_vector(value, value, _indices(list(range(half))))
            high = builder.shuffle_vector(value, value, _indices(list(range(half, 2 * half))))
            value = builder.fadd(low, high)
            half //= 2
        return builder.extract_element(value, ir.Constant(_I32, 0))

    return vector.dtype(vector), codegen


@intrinsic
def size(typingctx, vector):
    """Return the number of lanes."""

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, vector.width)

    return types.intp(vector), codegen


def _indices(positions: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(positions)), positions)


@intrinsic(prefer_literal=True)
def load_square(typingctx, place, index, step, n_bytes):
    """Return the columns of a square matrix; row i starts at ``index + i * step``."""
    vector = Vector(place.dtype, n_bytes.literal_value * 8 // place.dtype.bitwidth)
    columns = types.UniTuple(vector, vector.width)

    def codegen(context, builder, sig, args):
        ll_type = _find_llvm_type(context, vector).as_pointer()
        first, rows = args[1], []
        for _ in range(vector.width):
            row = builder.load(builder.bitcast(builder.gep(args[0], [first]), ll_type))
            row.align = vector.dtype.bitwidth // 8
            rows.append(row)
            first = builder.add(first, args[2])
        return cgutils.pack_array(builder, _transpose(builder, rows))

    return columns(place, types.intp, types.intp, n_bytes), codegen


@intrinsic
def transpose(typingctx, rows):
    """Return the columns of a square matrix, which is a tuple of rows."""

    def codegen(context, builder, sig, args):
        vectors = [builder.extract_value(args[0], i) for i in range(rows.count)]
        columns = _transpose(builder, vectors)
        value = ir.Constant(args[0].type, ir.Undefined)
        for i, column in enumerate(columns):
            value = builder.insert_value(value, column, i)
        return value

    return rows(rows), codegen


def _transpose(builder: Any, rows: list) -> list:
    """Transpose a square of vectors."""
    # Exchange halves between rows n/2 apart, then quarters between rows n/4 apart, and so on.
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
