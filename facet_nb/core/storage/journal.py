"""An append-only journal: one line per finished piece of work.

A line is JSON, preceded by its checksum. Several processes may append at the same time. Incomplete
or damaged lines are skipped when reading; nothing in a journal is ever executed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.storage.folder_lock import explain, open_plain
from facet_nb.core.storage.hashing import hash_row

#: Rows recorded in one line: a line must be short enough to be appended by one write.
_ROWS_A_LINE = 16


def append(path: str | Path, record: dict[str, Any]) -> None:
    """Append one record to a journal.

    Raises
    ------
    FacetError
        If it cannot be written.
    """
    line = _encode(record)
    # One write of an O_APPEND file is atomic, so that lines of several processes do not mix.
    try:
        with open_plain(path, "r+b", os.O_APPEND) as file:
            written = os.write(file.fileno(), line)
    except OSError as error:
        raise _unwritable(path, explain(error)) from error
    # A disk that fills up takes a part of a line without an error.
    if written < len(line):
        raise _unwritable(path, "no room")


def read(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the complete records of a journal, oldest first."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise FacetError(f"the journal {path} cannot be read: {error.strerror}.") from error
    for line in content.split(b"\n"):
        record = _decode(line)
        if record is not None:
            yield record


def repair_last_line(path: str | Path) -> None:
    """End the last line of a journal, if its writer was killed while writing it."""
    # Otherwise the next record would be appended to the incomplete line, and be lost with it.
    try:
        if not os.path.lexists(path):
            return
        with open_plain(path, "r+b") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
    except OSError as error:
        raise _unwritable(path, explain(error)) from error


def replace(path: str | Path, records: Sequence[dict[str, Any]]) -> None:
    """Replace all records of a journal with `records`, atomically."""
    new = Path(f"{path}.new")
    try:
        with open_plain(new, "r+b", os.O_TRUNC) as file:
            file.writelines(map(_encode, records))
            # Before the rename: after a power failure the new name must not hold an empty file.
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        raise _unwritable(path, explain(error)) from error


@dataclass(frozen=True)
class RowLog:
    """Log of the rows that the batches of a stage have written; it is sent to workers.

    Attributes
    ----------
    path : str
        The journal.
    stage : str
        Key of the stage.
    """

    path: str
    stage: str

    def note(self, rows: Sequence[int], samples: np.ndarray) -> tuple[str, ...]:
        """Record that `rows` hold `samples`, shape (n_rows, n_times); return their checksums."""
        digests = tuple(hash_row(x) for x in samples)
        for i in range(0, len(rows), _ROWS_A_LINE):
            part = slice(i, i + _ROWS_A_LINE)
            record = {
                "kind": "rows",
                "stage": self.stage,
                "rows": [int(r) for r in rows[part]],
                "sha256": list(digests[part]),
            }
            append(self.path, record)
        return digests


def _encode(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line; None if it is incomplete or damaged."""
    check, _, text = line.partition(b" ")
    if check != b"%08x" % zlib.crc32(text):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError: thousands of nested brackets
        return None
    return record if isinstance(record, dict) else None


def _unwritable(path: str | Path, what: str) -> FacetError:
    return FacetError(
        f"the journal {path} cannot be written: {what}. Free some space, or choose another folder "
        "for checkpoint=."
    )
