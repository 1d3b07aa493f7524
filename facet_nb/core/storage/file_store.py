"""Files in a zarr store, through which machines without a shared file system exchange them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.errors import FacetError, PlanError, read_message

#: Length of a chunk, in bytes: as much of a file is in memory at once.
_CHUNK = 8 * 2**20


@dataclass(frozen=True)
class FileStore:
    """A group of a zarr store: an array of bytes for each file.

    Attributes
    ----------
    place : str
        A folder, or a URL such as ``s3://bucket/scratch``, which needs the package of its protocol
        (s3fs, gcsfs, …).
    group : str
        Name of the group.
    """

    place: str
    group: str = ""

    @classmethod
    def open(cls, place: str | os.PathLike[str]) -> FileStore:
        """Return a new group of a store, after writing to it.

        Raises
        ------
        PlanError
            If zarr is missing, or nothing can be written there.
        """
        place = os.fspath(place)
        if "://" not in place:
            place = os.path.abspath(os.path.expanduser(place))
        # A group of its own: other runs may use the same place at the same time.
        store = cls(place, f"facet_nb-{uuid.uuid4().hex}")
        try:
            import zarr  # noqa: F401
        except ImportError as error:
            raise PlanError("store= needs zarr: pip install 'facet-nb[zarr]'.") from error
        try:
            store._open_group("w")
        except Exception as error:  # of the protocol's package
            raise PlanError(
                f"store={place}: nothing can be written there ({type(error).__name__}: "
                f"{read_message(error)}). Give a folder, or the URL of a bucket; its protocol may "
                "need a package such as s3fs."
            ) from error
        return store

    def part(self, name: str) -> FileStore:
        """Return a group of this one."""
        return FileStore(self.place, f"{self.group}/{name}")

    def send(self, files: Iterable[Path]) -> None:
        """Write files into the group.

        Raises
        ------
        FacetError
            If one of them cannot be read, or the store not be written.
        """
        try:
            group = self._open_group("w")
            for number, path in enumerate(files):
                _write(group, str(number), path)
        except Exception as error:
            raise self._explain("be written", error) from error

    def receive(self, folder: Path) -> list[Path]:
        """Write the files of the group into a folder, in the order in which they were sent.

        Raises
        ------
        FacetError
            If the store cannot be read, or the folder not be written.
        """
        try:
            group = self._open_group("r")
            count = sum(1 for _ in group.array_keys())
            return [_read(group[str(number)], folder) for number in range(count)]
        except Exception as error:
            raise self._explain("be read", error) from error

    def remove(self) -> None:
        """Remove the group with all that is in it.

        Raises
        ------
        FacetError
            If the store cannot be written.
        """
        parent, _, name = self.group.rpartition("/")
        try:
            group = FileStore(self.place, parent)._open_group("a")
            if name in group:
                del group[name]
        except Exception as error:
            raise self._explain("be written", error) from error

    def _open_group(self, mode: Any) -> Any:
        import zarr

        return zarr.open_group(self.place, path=self.group, mode=mode)

    def _explain(self, what: str, error: Exception) -> FacetError:
        cause = f"{type(error).__name__}: {read_message(error)}"
        return FacetError(
            f"the store {self.place} could not {what} ({cause}): check that this machine reaches "
            "it, and has room and permission."
        )


def _write(group: Any, name: str, path: Path) -> None:
    size = path.stat().st_size
    array = group.create_array(
        name, shape=(size,), chunks=(max(1, min(size, _CHUNK)),), dtype="uint8"
    )
    array.attrs["name"] = path.name
    with path.open("rb") as file:
        for start in range(0, size, _CHUNK):
            array[start : start + _CHUNK] = np.frombuffer(file.read(_CHUNK), np.uint8)


def _read(array: Any, folder: Path) -> Path:
    # A name from the store must not lead to another folder.
    path = folder / Path(str(array.attrs["name"])).name
    # Nor may it replace a file that is there already.
    with path.open("xb") as file:
        for start in range(0, array.shape[0], _CHUNK):
            file.write(np.asarray(array[start : start + _CHUNK]).tobytes())
    return path
