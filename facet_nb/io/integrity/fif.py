"""Check that a FIF file is complete.

A FIF file is a chain of tags (kind, type, size, next), grouped in blocks. MNE raises if the file
ends within a tag, but reads a file that ends between two buffers as a short recording (MNE 1.13).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from facet_nb.core.errors import ValidationError
from facet_nb.core.limits import UnpackedSize, refuse
from facet_nb.io.messages import COPY_AGAIN, unusable

#: Kind, type, size in bytes, and position of the next tag (0: adjacent, -1: none).
TAG = struct.Struct(">iIii")

_FILE_ID, _DIR_POINTER, _BLOCK_START, _BLOCK_END = 100, 101, 104, 105

_NEXT_IS_ADJACENT, _NO_NEXT = 0, -1

#: Bytes of a compressed file that are read at once.
_PIECE = 2**16


def check_fif(path: Path) -> None:
    """Raise ValidationError if the chain of tags is broken.

    Of a compressed file, the checksum is verified, and what it unpacks to is limited.
    """
    if path.suffix.lower() == ".gz":
        _check_gzip(path)
        return
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        if not _has_directory(path, file, n_bytes):
            _walk(path, file, n_bytes)


def _check_gzip(path: Path) -> None:
    size, unpacker, rest = UnpackedSize(), zlib.decompressobj(wbits=31), b""
    with path.open("rb") as file:
        while rest := rest or file.read(_PIECE):
            if unpacker.eof:  # another member follows, or zeros that fill a block
                if not rest.strip(b"\0"):
                    rest = b""
                    continue
                unpacker = zlib.decompressobj(wbits=31)
            try:
                piece = unpacker.decompress(rest, 64 * _PIECE)
                left = unpacker.unconsumed_tail or unpacker.unused_data
                size.add(len(rest) - len(left), len(piece))
            except zlib.error as error:
                raise unusable(path, f"damaged: {error}", COPY_AGAIN) from error
            except ValueError as error:
                raise refuse(path, str(error)) from error
            rest = left
    if not unpacker.eof:
        raise _truncated(path, "it ends within a compressed block")


def _has_directory(path: Path, file: BinaryIO, n_bytes: int) -> bool:
    """Whether the file ends with a directory of its tags, which is written last."""
    first = read_tag(file, 0)
    if first is None or first[0] != _FILE_ID:
        raise unusable(path, "this is not a FIF file: it does not begin with a file id", COPY_AGAIN)
    second = read_tag(file, TAG.size + first[2])
    if second is None or second[0] != _DIR_POINTER or second[2] != 4:
        raise unusable(path, "its FIF header is damaged: no directory pointer", COPY_AGAIN)
    position = struct.unpack(">i", file.read(4).ljust(4, b"\xff"))[0]
    if position <= 0:
        return False
    directory = read_tag(file, position)
    if directory is None or position + TAG.size + directory[2] > n_bytes:
        raise _truncated(path, "its directory is beyond the end of the file")
    return True


def _walk(path: Path, file: BinaryIO, n_bytes: int) -> None:
    position, depth = 0, 0
    while position < n_bytes:
        tag = read_tag(file, position)
        if tag is None or tag[2] < 0 or position + TAG.size + tag[2] > n_bytes:
            raise _truncated(path, f"the tag at byte {position} is not complete")
        kind, _, size, following = tag
        depth += (kind == _BLOCK_START) - (kind == _BLOCK_END)
        if following == _NO_NEXT:
            break
        after = position + TAG.size + size
        position = after if following == _NEXT_IS_ADJACENT else following
        if position < after:
            raise unusable(path, f"the tag at byte {after} points back to {position}", COPY_AGAIN)
    if depth != 0:
        raise _truncated(path, f"{depth} of its blocks do not end")


def read_tag(file: BinaryIO, position: int) -> tuple[int, int, int, int] | None:
    """Return the header of the tag at `position`, or None at the end of the file."""
    file.seek(position)
    header = file.read(TAG.size)
    return TAG.unpack(header) if len(header) == TAG.size else None


def _truncated(path: Path, what: str) -> ValidationError:
    return unusable(path, f"truncated: {what}", COPY_AGAIN)
