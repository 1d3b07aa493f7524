"""Studies of BIDS data sets: outputs, sidecars and tables as BIDS derivatives."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from facet_nb.batch.inputs import read_labels
from facet_nb.core.errors import FacetError, ValidationError, explain_system
from facet_nb.core.storage.hashing import list_versions
from facet_nb.core.study.rows import StudyRow
from facet_nb.core.study.study import Study

#: Version of BIDS that the output follows.
_BIDS = "1.9.0"
#: Label of the description of corrected recordings.
_LABEL = "facet"
#: Formats of BIDS that can be written; others become BrainVision.
_KEPT = (".edf", ".bdf", ".vhdr")
#: Entries of ``.bidsignore``: what a study writes and BIDS does not define.
#: Folders without a slash: the validator does not find them otherwise.
_NOT_BIDS = ("facet_nb", "reports", "study.html", "*_provenance.json")
#: Name by which sidecars refer to the data set that was corrected.
_SOURCE = "source"
#: Files of a data set that its derivatives share.
_SHARED = ("participants.tsv", "participants.json")
#: Files beside a recording that are valid for a corrected one of the same length and rate too.
_BESIDE = ("events.tsv", "events.json", "channels.tsv", "electrodes.tsv", "coordsystem.json")


def name_derivative(
    path: str | Path, root: str | Path, output: str | Path, desc: str = _LABEL
) -> Path:
    """Return the corrected file of a BIDS recording: ``sub-01/eeg/sub-01_task-a_desc-facet_eeg``.

    Parameters
    ----------
    path, root, output : path
        The recording, its data set, and that of the derivatives.
    desc : str
        Label of the description; empty for the name of the recording.

    Raises
    ------
    ValidationError
        If its name, or the label, is not one of BIDS.
    """
    if desc and not desc.isalnum():
        raise ValidationError(f"desc={desc!r}: labels of BIDS consist of letters and digits.")
    path, root = Path(path).absolute(), Path(root).absolute()
    if "sub" not in read_labels(path) or not path.stem.endswith("_eeg"):
        raise ValidationError(f"{path.name} is no name of an EEG recording in BIDS (sub-…_eeg).")
    suffix = path.suffix if path.suffix in _KEPT else ".vhdr"
    label = f"_desc-{desc}" if desc else ""
    name = f"{path.stem.removesuffix('_eeg')}{label}_eeg{suffix}"
    return Path(output).expanduser() / path.parent.relative_to(root) / name


def make_derivative_study(
    pipeline: Any,
    root: str | Path,
    inputs: Sequence[str | Path],
    *,
    output: str | Path,
    desc: str = _LABEL,
    on_finish: Callable[[StudyRow], Any] | None = None,
    **options: Any,
) -> Study:
    """Return a study of a BIDS data set whose output is a data set of derivatives.

    Parameters
    ----------
    pipeline : Pipeline
        The steps.
    root : path
        The data set.
    inputs : sequence of path
        Its recordings.
    output : path
        Folder of the derivatives.
    desc : str
        Label of the description in their names; empty for the names of the recordings, under which
        programs for raw data sets find them.
    on_finish : callable | None
        As for :class:`facet_nb.Study`.
    **options
        Options of :class:`facet_nb.Study`.

    Raises
    ------
    ValidationError
        If an option or a name cannot be used.
    """
    root, place = Path(root).expanduser().absolute(), Path(output).expanduser().absolute()
    if place == root:
        raise ValidationError(f"{place} is the data set itself: use {root}/derivatives/facet_nb.")
    options.setdefault("table", place / "facet_nb")

    def finish(row: StudyRow) -> None:
        if row.state == "done" and not row.resumed and row.output is not None:
            write_beside(Path(row.input), Path(row.output), root, row)
        if on_finish is not None:
            on_finish(row)

    targets = [name_derivative(path, root, place, desc) for path in inputs]
    study = Study(pipeline, inputs, output=targets, on_finish=finish, **options)
    write_description(root, place)
    return study


def write_description(root: Path, output: Path) -> None:
    """Write ``dataset_description.json``, the files about participants, and ``.bidsignore``.

    Files that exist are kept.
    """
    path, ignored = output / "dataset_description.json", output / ".bidsignore"
    if not ignored.exists():
        _write_text(ignored, "".join(f"{name}\n" for name in _NOT_BIDS))
    for name in _SHARED:
        if (root / name).is_file() and not (output / name).exists():
            output.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, output / name)
    if path.exists():
        return
    source = _read_json(root / path.name)
    links = {"DOI": source["DatasetDOI"]} if source.get("DatasetDOI") else {}
    url = _find_url(root, output)
    values = {
        "Name": f"{source.get('Name', root.name)}: corrected by facet_nb",
        "BIDSVersion": _BIDS,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "facet_nb", "Version": list_versions()["facet_nb"]}],
        "SourceDatasets": [{"URL": url, **links}],
        "DatasetLinks": {_SOURCE: url},
    }
    values |= {key: source[key] for key in ("License", "Authors") if key in source}
    _write_json(path, values)


def _find_url(root: Path, output: Path) -> str:
    """Return the data set `root` as a link from its derivatives, relative where possible."""
    try:
        return Path(os.path.relpath(root, output)).as_posix()
    except ValueError:  # on another drive of Windows
        return root.as_uri()


def write_beside(source: Path, target: Path, root: Path, row: StudyRow) -> None:
    """Write the sidecar of a corrected recording, and the tables that remain valid for it.

    Parameters
    ----------
    source, target : Path
        The recording and its corrected file.
    root : Path
        The data set of the source.
    row : StudyRow
        What happened to it.
    """
    same = _is_same_time(source, target)
    stem, new = source.stem.removesuffix("_eeg"), target.stem.removesuffix("_eeg")
    left_out = []
    for name in _BESIDE:
        found = _find_beside(source.parent, stem, name)
        if found is None:
            continue
        if name == "events.tsv" and not same:
            left_out.append(name)
            continue
        shutil.copyfile(found, target.parent / f"{new}_{name}")
    values = _read_json(source.with_suffix(".json"))
    values |= {
        "Sources": [f"bids:{_SOURCE}:{source.absolute().relative_to(root).as_posix()}"],
        "Description": "EEG without the artifacts of the MRI scanner",
        "GeneratedBy": [{"Name": "facet_nb", "Version": list_versions()["facet_nb"]}],
        "facet_nb": {"quality": row.quality.to_dict(), "course_uv": list(row.course_uv)},
    }
    if not same:
        values["facet_nb"]["left_out"] = left_out
        for key in ("SamplingFrequency", "RecordingDuration"):
            values.pop(key, None)
    _write_json(target.with_suffix(".json"), values)


def _is_same_time(source: Path, target: Path) -> bool:
    """Whether a corrected recording has the rate and the number of samples of its source."""
    from facet_nb.io.sources import open_recording

    before, after = (open_recording(path, verbose="error") for path in (source, target))
    return bool(before.n_times == after.n_times and before.info["sfreq"] == after.info["sfreq"])


def _find_beside(folder: Path, stem: str, name: str) -> Path | None:
    """Return a table of a recording; several runs and tasks may share one of coordinates."""
    exact = folder / f"{stem}_{name}"
    if exact.is_file():
        return exact
    labels = read_labels(f"{stem}_{name}")
    for path in sorted(folder.glob(f"*_{name}")):
        if read_labels(path).items() <= labels.items():
            return path
    return None


def _read_json(path: Path) -> dict[str, Any]:
    """Return the values of a JSON file; none if there is no such file."""
    from facet_nb.core.limits import read_text

    if not path.is_file():
        return {}
    try:
        values = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise ValidationError(f"{path} cannot be read as JSON: {error}.") from error
    return values if isinstance(values, dict) else {}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    _write_text(path, json.dumps(values, indent=2, default=str) + "\n")


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FacetError(
            f"{path} cannot be written: {explain_system(error) or error.strerror}"
        ) from error
