"""Measurements of other machines: tables that ship with the package, and a folder of a class."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from traitlets import HasTraits, Tuple, Unicode

from facet_nb.benchmark import BenchmarkTable
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.models.background_tasks import Notifier, start_thread

#: Interval between two checks of the folder of a class, in s, and most tables read from it.
LOOK_S, MOST_TABLES = 2.0, 40


@dataclass(frozen=True, eq=False)
class MachineTable:
    """A table of one machine.

    Attributes
    ----------
    name : str
        Its label, or the name of its file.
    table : BenchmarkTable
        What was measured there; what is not in it was not measured.
    shipped : bool
        Whether it came with the package.
    """

    name: str
    table: BenchmarkTable
    shipped: bool = False


def list_shipped() -> tuple[MachineTable, ...]:
    """Return the tables that ship with the package, which were measured on other machines."""
    folder = resources.files("facet_nb.benchmark") / "machines"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    tables = [BenchmarkTable.from_json(f.read_text(encoding="utf-8")) for f in files]
    return tuple(MachineTable(t.label, t, shipped=True) for t in tables)


class MachinesModel(Notifier, HasTraits):
    """Tables of other machines, beside that of this one.

    Attributes
    ----------
    tables : tuple of MachineTable
        All tables: those of the package, then those of the folder.
    shown : tuple of str
        Names of the tables whose points are drawn.
    folder : str
        Folder of a class, into which each computer saves its table; it is read again whenever a
        file in it changes. Empty for none.
    notes : tuple of str
        Which files of the folder are no tables, and why.
    """

    tables = Tuple()
    shown = Tuple()
    folder = Unicode("")
    notes = Tuple()

    def __init__(self) -> None:
        super().__init__(tables=list_shipped())
        self._end = threading.Event()
        self._seen: tuple[tuple[str, int], ...] = ()

    def watch(self, folder: str) -> None:
        """Read the tables of a folder, now and whenever they change; an empty name ends that.

        Raises
        ------
        ValidationError
            If it is not a folder.
        """
        path = Path(folder).expanduser()
        if folder and not path.is_dir():
            raise ValidationError(f"{path} is not a folder.")
        self.close()
        self.folder = str(path) if folder else ""
        self._seen = _list_files(self.folder)
        self._read()
        if folder:
            self._end = threading.Event()
            start_thread(self._look, self._end, self.folder, self._seen, name="facet_nb-machines")

    def close(self) -> None:
        """Stop reading the folder."""
        self._end.set()

    def show(self, name: str, wanted: bool) -> None:
        """Draw the points of a table, or leave them out."""
        known = [t.name for t in self.tables]
        chosen = {*self.shown, name} if wanted else set(self.shown) - {name}
        self.shown = tuple(n for n in known if n in chosen)

    def find(self, name: str) -> BenchmarkTable:
        """Return a table by its name.

        Raises
        ------
        ValidationError
            If there is none.
        """
        for found in self.tables:
            if found.name == name:
                return found.table
        raise ValidationError(f"there is no table {name!r}.")

    def drain(self) -> bool:
        """Apply changes of the folder to the traits; return whether the folder is watched."""
        seen = _list_files(self.folder)
        if seen != self._seen:
            self._seen = seen
            self._read()
        return False

    def _read(self) -> None:
        tables, notes = [t for t in self.tables if t.shipped], []
        old = {t.name for t in self.tables}
        taken = {t.name for t in tables}
        for name, _ in self._seen:
            path = Path(name)
            try:
                table = BenchmarkTable.from_json(path)
            except (FacetError, OSError) as error:
                notes.append(f"{path.name}: {error}")
                continue
            label = path.stem if path.stem not in taken else f"{path.stem} (folder)"
            taken.add(label)
            tables.append(MachineTable(label, table))
        with self.hold_trait_notifications():
            new = [t.name for t in tables if t.name not in old]
            self.tables, self.notes = tuple(tables), tuple(notes)
            self.shown = tuple(n for n in [*self.shown, *new] if n in taken)

    def _look(self, end: threading.Event, folder: str, seen: tuple[tuple[str, int], ...]) -> None:
        """Announce that the folder has changed since `seen` was listed."""
        while not end.wait(LOOK_S):
            now = _list_files(folder)
            if now != seen:
                seen = now
                self._notify()


def _list_files(folder: str) -> tuple[tuple[str, int], ...]:
    """Return path and time of change of each table in a folder."""
    found = []
    for path in sorted(Path(folder).glob("*.json"))[:MOST_TABLES] if folder else ():
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except OSError:
            continue  # deleted in the meantime: the next check will notice
    return tuple(found)
