"""The table of a study on disk: appended row by row, so that a kill loses no finished one."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facet_nb.core.errors import FacetError, explain_system
from facet_nb.core.study.rows import StudyRow, list_columns

#: Version of the lines.
_SCHEMA = 1

#: Names of the two files.
LINES, TABLE = "study.jsonl", "study.csv"

#: Longest line that is read, in bytes.
_LONGEST = 2**22

#: All metrics are in one column: their names are not known when the first line is written.
_COLUMNS = (
    *("input", "state", "success", "time_s", "peak_bytes", "forecast_bytes", "quality"),
    *("quality_sentence", "findings", "worst", "output", "report", "error", "finished", "metrics"),
)


class StudyTable:
    """A table of rows in a folder: ``study.jsonl`` with everything, ``study.csv`` for a look.

    A row is written, and synchronised with the disk, as soon as its recording is finished. Of
    several rows about one input the last one counts.

    Parameters
    ----------
    folder : path
        The folder; created if it is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()

    def exists(self) -> bool:
        """Whether there is a table in the folder."""
        return (self.folder / LINES).exists()

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write what a call of the study has in common.

        Raises
        ------
        FacetError
            If the folder cannot be written to.
        """
        values = {"schema": _SCHEMA, "began": now(), **header}
        self._append(LINES, json.dumps({"study": values}, default=repr))
        if not (self.folder / TABLE).exists():
            self._append(TABLE, _write_csv(_COLUMNS))

    def append(self, row: StudyRow) -> None:
        """Write a row.

        Raises
        ------
        FacetError
            If the disk is full.
        """
        self._append(LINES, json.dumps({"row": row.to_dict()}, default=str))
        columns = list_columns(row)
        metrics = "; ".join(f"{name}={value:.6g}" for name, value in row.metrics.items())
        columns |= {"report": row.report, "finished": row.finished, "metrics": metrics}
        self._append(TABLE, _write_csv("" if columns[c] is None else columns[c] for c in _COLUMNS))

    def _append(self, name: str, line: str) -> None:
        """Append a line; an earlier line that a kill has cut is ended first."""
        path = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(path, "a+b", buffering=0) as file:
                if file.seek(0, os.SEEK_END) and not _ends(file):
                    file.write(b"\n")
                # One write: other jobs of the study may append to the same file.
                # JSON escapes the bytes of a name that are no UTF-8; in the CSV they must not fail.
                file.write(line.encode(errors="backslashreplace") + b"\n")
                os.fsync(file.fileno())
        except OSError as error:
            raise FacetError(
                f"the table of the study cannot be written to {path}: "
                f"{explain_system(error) or error} Choose another folder with table=."
            ) from error

    def read(self) -> tuple[list[dict[str, Any]], list[StudyRow]]:
        """Return the headers of all calls, and the last row of each input in the order of inputs.

        A line that a kill has cut is left out.

        Raises
        ------
        FacetError
            If there is no such table.
        """
        headers: list[dict[str, Any]] = []
        rows: dict[str, StudyRow] = {}
        try:
            with open(self.folder / LINES, "rb") as file:
                while line := file.readline(_LONGEST):
                    header, row = _parse(line)
                    headers += [] if header is None else [header]
                    if row is not None:
                        rows[row.input] = row
        except OSError as error:
            raise FacetError(
                f"{self.folder} holds no table of a study ({LINES}): give the folder that "
                "Pipeline.map or facet-nb batch has written to."
            ) from error
        return headers, sorted(rows.values(), key=lambda row: row.index)


def _ends(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _parse(line: bytes) -> tuple[dict[str, Any] | None, StudyRow | None]:
    try:
        values = json.loads(line)
        header = values.get("study")
        row = StudyRow.from_dict(values["row"]) if "row" in values else None
    except (ValueError, TypeError, KeyError, AttributeError):  # a line that was cut
        return None, None
    return header if isinstance(header, dict) else None, row


def _write_csv(values: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_tame(value) for value in values])
    # A line break in an error would make two lines of a row, and rows are kept whole by lines.
    return text.getvalue().replace("\r", " ").replace("\n", " ")


def _tame(value: Any) -> Any:
    """Return a cell that a spreadsheet does not interpret as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def now() -> str:
    """Return the time, in ISO format, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def make_key(name: str, target: str | None, chain: Any) -> str:
    """Return the fingerprint of a recording, of its chain and of its output.

    Parameters
    ----------
    name : str
        The input; of a file, its size and the time of its last change count.
    target : str | None
        The file that is written.
    chain : Any
        Steps, options and versions, as plain values.
    """
    try:
        status = os.stat(os.path.expanduser(name))
        state = [status.st_size, status.st_mtime_ns]
    except (OSError, ValueError):
        state = []
    # abspath: a relative name means another file in another folder.
    path = os.path.abspath(os.path.expanduser(name))
    text = json.dumps([path, state, target, chain], default=repr, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
