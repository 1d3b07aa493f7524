"""Check the tags of a MATLAB file (EEGLAB's ``.set``) before scipy reads it.

scipy raises on truncated files by itself, but it trusts the types in the tags: a type that it does
not know, or a cell array of 10^9 cells, ends the process and with it the notebook. About 3 % of
files with one damaged tag do so (scipy 1.17). The check follows all tags and leaves every other
kind of damage to scipy, which raises an exception for it. It also limits what compressed elements
may unpack to, and how many channels a file may state: MNE makes a name for each.

The layout: MAT-File Format, Level 5,
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from facet_nb.core.limits import FREE_BYTES, UnpackedSize, refuse
from facet_nb.io.messages import COPY_AGAIN, unusable

_HEADER_BYTES = 128

#: Types of elements.
_UINT32, _MATRIX, _COMPRESSED = 6, 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
_TEXTS = frozenset({16, 17, 18})

#: Classes of matrices; those from 6 to 15 hold numbers.
_STRUCT, _CHAR, _SPARSE, _LAST_NUMERIC, _OPAQUE = 2, 4, 5, 15, 17

#: How :mod:`struct` calls the types of numbers.
_CODES = dict(zip((1, 2, 3, 4, 5, 6, 7, 9, 12, 13), "bBhHiIfdqQ", strict=True))

#: Fields that say how large the recording is.
_SIZES = ("nbchan", "pnts", "trials")

#: No recording has more channels.
_MOST_CHANNELS = 100_000

#: Levels of structures; EEGLAB's have five.
_DEEPEST = 40

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
            tags = _Tags(content, order)
            try:
                tags.check()
            except _TooLarge as error:
                raise refuse(path, str(error)) from error
            except (ValueError, struct.error, zlib.error) as error:
                raise unusable(path, f"damaged or truncated: {error}", COPY_AGAIN) from error
    n_channels = tags.sizes.get("nbchan", 0.0)
    if n_channels > _MOST_CHANNELS:
        what = f"it states {n_channels:g} channels, and no recording has more than {_MOST_CHANNELS}"
        raise unusable(path, what, COPY_AGAIN)


class _TooLarge(ValueError):
    """An element unpacks to far more than its size."""


class _Tags:
    """Follow the tags of a file; all methods raise ValueError for a damaged one."""

    def __init__(self, content: Any, order: str) -> None:
        self.content = content
        self.order = order
        self.sizes: dict[str, float] = {}

    def check(self) -> None:
        position = _HEADER_BYTES
        while position < len(self.content):
            tag = self.read(position, len(self.content))
            position = tag.following
            if tag.kind == _COMPRESSED:
                self.check_compressed(self.content[tag.start : tag.stop])
            elif tag.kind == _MATRIX:
                self.check_matrix(tag)
                self.find_sizes(tag)
            else:
                raise ValueError(f"unknown variable type {tag.kind} at byte {tag.start}")

    def check_compressed(self, packed: bytes) -> None:
        """Check an element that is compressed, and what is in it."""
        # scipy parses the content before it has seen the checksum at its end.
        whole, content = _unpack(packed, FREE_BYTES)
        inner = _Tags(content, self.order)
        if whole:
            tag = inner.read(0, len(content))
            if tag.kind == _MATRIX:
                inner.check_matrix(tag)
                inner.find_sizes(tag)
        elif not inner.find_first_sizes():
            inner = _Tags(_unpack(packed, None)[1], self.order)  # they are behind the samples
            inner.find_first_sizes()
        self.sizes |= inner.sizes

    def find_first_sizes(self) -> bool:
        """Find the sizes in the beginning of an element; return whether they are there."""
        kind, _ = struct.unpack_from(f"{self.order}II", self.content)
        try:
            self.find_sizes(_Tag(kind, 8, len(self.content), len(self.content)))
        except ValueError:
            return bool(self.sizes)  # the next element is not complete
        return True

    def find_sizes(self, matrix: _Tag, name: str = "", depth: int = 0) -> None:
        """Find the fields _SIZES in a variable, or in the structures that it holds."""
        if matrix.kind != _MATRIX or matrix.start == matrix.stop:
            return
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} structures in one another")
        elements = self.iterate(matrix)
        kind = self.unpack("I", next(elements))[0] & 0xFF
        next(elements, None)  # dimensions
        label = next(elements, None)
        if label is None:
            return
        name = name or bytes(self.content[label.start : label.stop]).decode("latin-1")
        if kind == _STRUCT:
            self._find_in_fields(elements, depth)
        elif _SPARSE < kind <= _LAST_NUMERIC and name in _SIZES:
            value = next(elements, None)
            code = "" if value is None else _CODES.get(value.kind, "")
            if value is not None and code and value.stop - value.start >= struct.calcsize(code):
                number = struct.unpack_from(f"{self.order}{code}", self.content, value.start)[0]
                self.sizes[name] = float(number)

    def _find_in_fields(self, elements: Iterator[_Tag], depth: int) -> None:
        length, names = next(elements, None), next(elements, None)
        if length is None or names is None:
            return
        size, text = self.unpack("i", length)[0], self.content[names.start : names.stop]
        if size < 1:
            raise ValueError(f"damaged field names at byte {names.start}")
        fields = [text[i : i + size].split(b"\0")[0] for i in range(0, len(text), size)]
        if len(fields) > _MOST_CHANNELS:
            raise ValueError(f"{len(fields)} fields at byte {names.start}")
        for field, element in zip(fields, elements, strict=False):
            self.find_sizes(element, field.decode("latin-1"), depth + 1)

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

    def check_matrix(self, matrix: _Tag, depth: int = 0) -> None:
        if matrix.start == matrix.stop:
            return  # an empty matrix
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} structures in one another")
        flags, *rest = self.iterate(matrix)
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
                self.check_matrix(tag, depth + 1)

    def iterate(self, matrix: _Tag) -> Iterator[_Tag]:
        position = matrix.start
        while position < matrix.stop:
            tag = self.read(position, matrix.stop)
            yield tag
            position = tag.following

    def check_dimensions(self, tag: _Tag, kind: int) -> None:
        """Check that there are not more values than a file of this size can hold."""
        sizes = self.unpack("i", tag)
        too_large = kind != _SPARSE and math.prod(sizes) > len(self.content)
        if len(sizes) not in _N_DIMENSIONS or min(sizes) < 0 or too_large:
            raise ValueError(f"damaged dimensions at byte {tag.start}")

    def unpack(self, code: str, tag: _Tag) -> tuple[int, ...]:
        n = (tag.stop - tag.start) // 4
        return struct.unpack_from(f"{self.order}{n}{code}", self.content, tag.start)


def _unpack(packed: bytes, keep: int | None) -> tuple[bool, bytes]:
    """Return the first `keep` bytes of a compressed element, and whether these are all.

    Raises
    ------
    ValueError
        If it is not complete, its checksum is wrong, or it unpacks to far too much.
    """
    unpacker, step, size = zlib.decompressobj(), 2**22, UnpackedSize()
    kept, n, rest = [], 0, packed
    while not unpacker.eof:
        if not rest:
            raise ValueError("a compressed element is not complete")
        piece = unpacker.decompress(rest, step)
        used, rest = len(rest) - len(unpacker.unconsumed_tail), unpacker.unconsumed_tail
        try:
            size.add(used, len(piece))
        except ValueError as error:
            raise _TooLarge(str(error)) from error
        if keep is None or n < keep:
            kept.append(piece)
        n += len(piece)
    return keep is None or n <= keep, b"".join(kept)
