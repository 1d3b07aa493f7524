"""Whether a MATLAB file (EEGLAB's ``.set``) is whole.

scipy's reader trusts the sizes in the file; wrong ones can end the process (segmentation fault, bus
error), and with it the notebook. So they are checked first: every element must lie within the one
that holds it, and hold as many numbers as its dimensions say.

The layout: MAT-File Format, Level 5,
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facet_nb.io.messages import COPY_AGAIN, unusable

_HEADER_BYTES = 128

_UINT32, _MATRIX, _COMPRESSED = 6, 14, 15

#: Some programs write dimensions without sign, and names in UTF-8; scipy reads both.
_WHOLE, _NAMES = (5, 6), (1, 16)

#: Bytes of one number, by the code of its type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}

#: Text in UTF-8, -16 and -32, whose characters differ in size.
_TEXTS = (16, 17, 18)

_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17

_NUMBERS = range(6, 16)

_COMPLEX = 0x800

_DEEPEST = 40


class _Damage(Exception):
    """What is wrong with a file; the message ends up in a ValidationError."""


@dataclass(frozen=True)
class _Element:
    kind: int
    start: int
    end: int
    next: int

    @property
    def size(self) -> int:
        return self.end - self.start


def check_mat(path: Path) -> None:
    """Raise ValidationError if a MATLAB file of level 5 is damaged or truncated.

    Files of version 7.3 are HDF5, whose reader checks for itself.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        if not header.startswith(b"MATLAB") or len(header) < _HEADER_BYTES:
            raise unusable(path, "this is not a MATLAB file: its header is missing", COPY_AGAIN)
        if header.startswith(b"MATLAB 7.3"):
            return
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                if order is None:
                    raise _Damage("the byte order is not given")
                _Walk(content, order).check()
            except (_Damage, struct.error, zlib.error) as error:
                raise unusable(path, f"damaged or truncated: {error}", COPY_AGAIN) from error


class _Walk:
    """Goes through all elements of a file."""

    def __init__(self, content: Any, order: str) -> None:
        self.content = content
        self.order = order

    def check(self) -> None:
        for element in self.elements(_HEADER_BYTES, len(self.content), compact=False):
            if element.kind == _COMPRESSED:
                self.check_compressed(element)
            elif element.kind == _MATRIX:
                self.check_matrix(element, 0)
            else:
                raise _Damage(f"a variable of unknown type {element.kind}")

    def element(self, position: int, end: int, compact: bool = True) -> _Element:
        """Return the element at `position`; up to four bytes may share the word of the size."""
        if position + 8 > end:
            raise _Damage(f"nothing where an element should be, at byte {position}")
        kind, size = struct.unpack_from(f"{self.order}II", self.content, position)
        if compact and kind >> 16:
            start, size, kind, following = position + 4, kind >> 16, kind & 0xFFFF, position + 8
            if size > 4:
                raise _Damage(f"a size of {size} in a small element, at byte {position}")
        else:
            start = position + 8
            padding = -size % 8 if kind != _COMPRESSED else 0
            following = min(start + size + padding, end)
        if start + size > end:
            raise _Damage(f"the element at byte {position} ends behind what holds it")
        return _Element(kind, start, start + size, following)

    def elements(self, position: int, end: int, compact: bool = True) -> Iterator[_Element]:
        while position < end:
            element = self.element(position, end, compact)
            yield element
            position = element.next

    def check_compressed(self, element: _Element) -> None:
        """Unpack for the check sum's sake; what was packed intact is trusted."""
        unpacker = zlib.decompressobj()
        position = element.start
        while position < element.end and not unpacker.eof:
            step = min(2**20, element.end - position)
            packed = self.content[position : position + step]
            while packed:
                unpacker.decompress(packed, 2**22)
                packed = unpacker.unconsumed_tail
            position += step
        if not unpacker.eof:
            raise _Damage(f"the packed element at byte {element.start} is not complete")

    def check_matrix(self, matrix: _Element, depth: int) -> None:
        if matrix.size == 0:
            return
        if depth > _DEEPEST:
            raise _Damage("variables are nested too deeply")
        flags = self.expect(matrix.start, matrix.end, (_UINT32,), 8)
        (word,) = struct.unpack_from(f"{self.order}I", self.content, flags.start)
        kind = word & 0xFF
        if kind == _OPAQUE:
            self.check_rest(flags.next, matrix.end, depth)
            return
        dims = self.expect(flags.next, matrix.end, _WHOLE)
        sizes = struct.unpack_from(f"{self.order}{dims.size // 4}i", self.content, dims.start)
        if not 2 <= len(sizes) <= 32 or min(sizes) < 0:
            raise _Damage(f"dimensions {sizes} at byte {dims.start}")
        name = self.expect(dims.next, matrix.end, _NAMES)
        is_complex = bool(word & _COMPLEX)
        if kind == _SPARSE:
            self.check_sparse(sizes, is_complex, name.next, matrix.end)
        else:
            self.check_content(kind, math.prod(sizes), is_complex, name.next, matrix, depth)

    def check_content(
        self, kind: int, n: int, is_complex: bool, position: int, matrix: _Element, depth: int
    ) -> None:
        end = matrix.end
        if kind in _NUMBERS:
            for _ in range(1 + is_complex):
                position = self.check_numbers(position, end, n)
        elif kind == _CHAR:
            text = self.element(position, end)
            if text.kind not in _TEXTS and text.size:
                self.check_numbers(position, end, n)
        elif kind == _CELL:
            self.check_matrices(position, end, n, depth)
        elif kind in (_STRUCT, _OBJECT):
            if kind == _OBJECT:
                position = self.expect(position, end, _NAMES).next
            self.check_fields(position, end, n, depth)
        elif kind == _FUNCTION:
            self.check_rest(position, end, depth)
        else:
            raise _Damage(f"a variable of unknown class {kind} at byte {matrix.start}")

    def check_numbers(self, position: int, end: int, n: int) -> int:
        numbers = self.element(position, end)
        if numbers.kind not in _SIZES or numbers.size != n * _SIZES[numbers.kind]:
            raise _Damage(f"not the {n} numbers that there should be, at byte {position}")
        return numbers.next

    def check_sparse(
        self, sizes: tuple[int, ...], is_complex: bool, position: int, end: int
    ) -> None:
        """Check rows (one for each number), column starts, and numbers of a sparse matrix."""
        rows = self.expect(position, end, _WHOLE)
        starts = self.expect(rows.next, end, _WHOLE, 4 * (sizes[1] + 1))
        n, n_starts = rows.size // 4, sizes[1] + 1
        where = struct.unpack_from(f"{self.order}{n}i", self.content, rows.start)
        begins = struct.unpack_from(f"{self.order}{n_starts}i", self.content, starts.start)
        if begins[0] != 0 or list(begins) != sorted(begins) or begins[-1] > n:
            raise _Damage(f"columns of a sparse matrix, at byte {starts.start}")
        if not all(0 <= row < max(sizes[0], 1) for row in where):
            raise _Damage(f"rows of a sparse matrix, at byte {rows.start}")
        position = starts.next
        for _ in range(1 + is_complex):
            position = self.check_numbers(position, end, n)

    def check_fields(self, position: int, end: int, n: int, depth: int) -> None:
        length = self.expect(position, end, _WHOLE, 4)
        (longest,) = struct.unpack_from(f"{self.order}i", self.content, length.start)
        names = self.expect(length.next, end, _NAMES)
        if longest < 1 or names.size % longest:
            raise _Damage(f"field names of length {longest}, at byte {length.start}")
        self.check_matrices(names.next, end, n * (names.size // longest), depth)

    def check_matrices(self, position: int, end: int, n: int, depth: int) -> None:
        for _ in range(n):
            matrix = self.expect(position, end, (_MATRIX,))
            self.check_matrix(matrix, depth + 1)
            position = matrix.next

    def check_rest(self, position: int, end: int, depth: int) -> None:
        for element in self.elements(position, end):
            if element.kind == _MATRIX:
                self.check_matrix(element, depth + 1)

    def expect(
        self, position: int, end: int, kinds: tuple[int, ...], size: int | None = None
    ) -> _Element:
        element = self.element(position, end)
        if element.kind not in kinds or (size is not None and element.size != size):
            raise _Damage(f"an element of type {element.kind} at byte {position}, not {kinds[0]}")
        return element
