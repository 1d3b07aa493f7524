"""Sources of recordings as HTML: upload, examples, recent files, and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facet_nb.core.errors import FacetError
from facet_nb.models.files_model import MOST_ENTRIES, FileEntry, name_apart
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.studio_parts import write_button

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

_ENDINGS = ".vhdr,.vmrk,.eeg,.edf,.bdf,.gdf,.set,.fdt,.fif,.gz"


def write_files(model: StudioModel) -> str:
    """Return upload, examples and recent files, and the folder of the server."""
    files = model.files
    if model.recording.status == "failed":
        said = f'<p class="fnb-bad" role="alert">■ Cannot read: {write_text(model.recording.error)}'
        said += "</p>" if model.recording.context is None else " The one before stays.</p>"
    elif files.uploading or model.recording.status == "loading":
        said = f'<p role="status">{write_text(files.uploading or "Reading …")}</p>'
    else:
        said = ""
    recent = "".join(
        f"<li>{write_button(name, 'open', path, css='fnb-line', more=_tip(path))}</li>"
        for name, path in zip(name_apart(files.recent), files.recent, strict=True)
    )
    none = '<p class="fnb-small">None yet.</p>'
    return (
        f'<section class="fnb-card"><header><h3>Open a recording</h3></header>{said}'
        '<div class="fnb-open"><div class="fnb-drop" data-drop><p><b>Drop the files of a recording '
        'here</b></p><p><label class="fnb-b fnb-choose">Choose files …<input type="file" multiple '
        f'data-upload accept="{_ENDINGS}" aria-label="Choose files to upload"></label></p>'
        '<p class="fnb-small">All files of one recording together (.vhdr, .vmrk and .eeg), at most '
        f"{files.limit_bytes / 1e6:,.0f} MB. They go to <code>uploads</code> in the folder on the "
        "right; larger files are opened from there.</p></div>"
        f"<div><h4>Examples</h4><p>{write_button('The example, 6 channels', 'example')}</p>"
        f"<h4>Recent</h4>{f'<ul>{recent}</ul>' if recent else none}</div>"
        f"<div>{_write_folder(model)}</div></div></section>"
    )


def _write_folder(model: StudioModel) -> str:
    folder = model.files.folder
    try:
        entries = model.files.list_entries()
    except FacetError as error:
        lines = f'<li class="fnb-bad">{write_text(error)}</li>'
    else:
        lines = "".join(map(_write_entry, entries))
        if not entries:
            lines = '<li class="fnb-small">No folder and no recording here.</li>'
        if len(entries) == MOST_ENTRIES:
            lines += f'<li class="fnb-small">The first {MOST_ENTRIES}; name a folder above.</li>'
    up = write_button("↑", "folder", Path(folder).parent, more=' aria-label="Folder above"')
    return (
        '<h4>On this machine</h4><p class="fnb-place">'
        f'{up}<input type="text" data-act="folder" name="folder" aria-label="Folder" '
        f'value="{write_text(folder)}"></p><ul class="fnb-entries" data-arrows>{lines}</ul>'
    )


def _write_entry(entry: FileEntry) -> str:
    if entry.kind == "recording":
        size = f"{entry.n_bytes / 1e6:.1f} MB"
        button = write_button(entry.name, "open", entry.path, css="fnb-line", more=_tip(entry.path))
        return f'<li>{button} <span class="fnb-small">{size}</span></li>'
    note = '<span class="fnb-small">BIDS data set</span>' if entry.kind == "bids" else ""
    return f"<li>{write_button(f'{entry.name}/', 'folder', entry.path, css='fnb-line')} {note}</li>"


def _tip(path: str) -> str:
    return f' title="{write_text(path)}"'
