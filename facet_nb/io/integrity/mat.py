"""Check the tags of a MATLAB file (EEGLAB's ``.set``) before scipy reads it.

scipy raises on truncated files by itself, but it trusts the types in the tags: a type that it does
not know, or a cell array of 10^9 cells, ends the process and with it the notebook. About 3 % of
files with one damaged tag do so (scipy 1.17). The check follows all tags and leaves every other
kind of damage to scipy, which raises an exception for it.

The layout: MAT-File Format, Level 5,
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from facet_nb.io.messages import COPY_AGAIN, unusable

_HEADER_BYTES = 128

#: Types of elements.
_UINT32, _MATRIX, _COMPRESSED = 6, 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
_TEXTS = frozenset({16, 17, 18})

#: Classes of matrices; those from 6 to 15 hold numbers.
_CHAR, _SPARSE, _LAST_NUMERIC, _OPAQUE = 4, 5, 15, 17

_COMPLEX_BIT = 0x08

#: scipy reads up to 32 dimensions into a fixed array, and without any it indexes an empty one.
_N_DIMENSIONS = range(2, 33)


class _Tag(NamedTuple):
    """Type of an element, its first byte, the byte after its last, and the next tag."""

    kind: int
    start: int
    stop: int
    following: int


def check_mat(path: Path) -> None:
    """Raise ValidationError if a tag in a MATLAB file of level 5 is damaged.

    Files of version 7.3 are HDF5, whose reader validates them.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        if not header.startswith(b"MATLAB") or len(header) < _HEADER_BYTES:
            raise unusable(path, "this is not a MATLAB file: its header is missing", COPY_AGAIN)
        if header.startswith(b"MATLAB 7.3"):
            return
        order = ">" if header[126:128] == b"MI" else "<"  # scipy rejects all but IM and MI
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                _Tags(content, order).check()
            except (ValueError, struct.error, zlib.error) as error:
                raise unusable(path, f"damaged or truncated: {error}", COPY_AGAIN) from error


class _Tags:
    """Follow the tags of a file; all methods raise ValueError for a damaged one."""

    def __init__(self, content: Any, order: str) -> None:
        self.content = content
        self.order = order

    def check(self) -> None:
        position = _HEADER_BYTES
        while position < len(self.content):
            tag = self.read(position, len(self.content))
            position = tag.following
            if tag.kind == _COMPRESSED:
                # scipy parses the content before it has seen the checksum at its end.
                _verify_checksum(self.content[tag.start : tag.stop])
            elif tag.kind == _MATRIX:
                self.check_matrix(tag)
            else:
                raise ValueError(f"unknown variable type {tag.kind} at byte {tag.start}")

    def read(self, position: int, end: int) -> _Tag:
        """Return the tag at `position`; an element of up to four bytes shares its tag's word."""
        kind, size = struct.unpack_from(f"{self.order}II", self.content, position)
        start = position + 8
        following = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if kind >> 16:
            kind, size, start, following = kind & 0xFFFF, kind >> 16, position + 4, position + 8
            if size > 4:
                raise ValueError(f"{size} bytes in a small element, at byte {position}")
        if start + size > end:
            raise ValueError(f"the element at byte {position} is not complete")
        return _Tag(kind, start, start + size, min(following, end))

    def check_matrix(self, matrix: _Tag) -> None:
        if matrix.start == matrix.stop:
            return  # an empty matrix
        flags, *rest = self.list_elements(matrix)
        if flags.kind != _UINT32 or flags.stop - flags.start != 8:
            raise ValueError(f"damaged array flags at byte {flags.start}")
        word = self.unpack("I", flags)[0]
        kind, n_parts = word & 0xFF, 1 + bool(word >> 8 & _COMPLEX_BIT)
        if kind != _OPAQUE and rest:
            self.check_dimensions(rest[0], kind)
        if kind == _SPARSE:
            n_parts += 2  # row indices and column starts
        if _CHAR <= kind <= _LAST_NUMERIC:
            known = _NUMBERS | _TEXTS if kind == _CHAR else _NUMBERS
            parts = rest[2:]  # after dimensions and name
            if len(parts) < n_parts or any(part.kind not in known for part in parts):
                raise ValueError(f"no numbers where they should be, at byte {flags.stop}")
        for tag in rest:
            if tag.kind == _MATRIX:
                self.check_matrix(tag)

    def list_elements(self, matrix: _Tag) -> list[_Tag]:
        tags, position = [], matrix.start
        while position < matrix.stop:
            tags.append(self.read(position, matrix.stop))
            position = tags[-1].following
        return tags

    def check_dimensions(self, tag: _Tag, kind: int) -> None:
        """Check that there are not more values than a file of this size can hold."""
        sizes = self.unpack("i", tag)
        too_large = kind != _SPARSE and math.prod(sizes) > len(self.content)
        if len(sizes) not in _N_DIMENSIONS or min(sizes) < 0 or too_large:
            raise ValueError(f"damaged dimensions at byte {tag.start}")

    def unpack(self, code: str, tag: _Tag) -> tuple[int, ...]:
        n = (tag.stop - tag.start) // 4
        return struct.unpack_from(f"{self.order}{n}{code}", self.content, tag.start)


def _verify_checksum(packed: bytes) -> None:
    unpacker, step = zlib.decompressobj(), 2**22
    unpacker.decompress(packed, step)
    while not unpacker.eof:
        if not unpacker.unconsumed_tail:
            raise ValueError("a compressed element is not complete")
        unpacker.decompress(unpacker.unconsumed_tail, step)
