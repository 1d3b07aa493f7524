"""Files that a recording was read from: an export must not replace them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facet_nb.core.storage.originals import is_file, list_files
from facet_nb.io.integrity.brainvision import list_companions


def list_originals(raws: Iterable[Any], paths: Iterable[Any] = ()) -> list[Path]:
    """Return the files of recordings, with those that a BrainVision header names.

    Parameters
    ----------
    raws : iterable of mne.io.BaseRaw or None
        The recordings.
    paths : iterable of path
        Further files, e.g. those of loaders.

    Returns
    -------
    list of Path
        Existing files, headers and samples; without duplicates.
    """
    files = list_files(raws, paths)
    headers = [file for file in files if file.suffix.lower() == ".vhdr"]
    named = [other for header in headers for other in list_companions(header)]
    return list(dict.fromkeys([*files, *filter(is_file, named)]))
