"""Files that a recording was read from: an export must not replace them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facet_nb.core.storage.originals import is_file, list_files
from facet_nb.io.integrity.brainvision import list_companions


def list_originals(raws: Iterable[Any], paths: Iterable[Any] = ()) -> list[Path]:
    """Return what :func:`~facet_nb.core.storage.originals.list_files` does, and more.

    A BrainVision header may name markers and samples that have other names than itself.
    """
    files = list_files(raws, paths)
    headers = [file for file in files if file.suffix.lower() == ".vhdr"]
    named = [other for header in headers for other in list_companions(header)]
    return list(dict.fromkeys([*files, *filter(is_file, named)]))
