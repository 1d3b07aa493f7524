"""Provenance: what a file was made of, and how.

Exporters write it beside each file, as ``NAME_provenance.json``, and as far as the format has room
inside: in the description of a FIF file, the comment of a BrainVision header, and (in a few words)
the recording field of EDF. ``docs/provenance.md`` describes the entries.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import FINDING_KINDS, SEVERITIES, Finding, merge_findings
from facet_nb.core.metadata import to_plain
from facet_nb.core.planning.plan import Plan
from facet_nb.core.quality import Quality, find_known_quality, find_quality
from facet_nb.core.storage.hashing import list_versions
from facet_nb.core.storage.originals import list_files
from facet_nb.core.storage.page_cache import StreamedFiles
from facet_nb.core.storage.scratch import is_spilled
from facet_nb.io.atomic_write import PROVENANCE
from facet_nb.io.identity import is_anonymous, keep_suffix
from facet_nb.io.messages import unusable
from facet_nb.io.sources import find_source, open_recording

if TYPE_CHECKING:
    import mne

SCHEMA = "facet_nb-provenance"
SCHEMA_VERSION = 1

#: Begins the line in the description of a FIF file and in the comment of a BrainVision header.
_MARK = "facet_nb provenance: "

#: Bytes that are hashed at once.
_BLOCK = 1 << 20

#: The largest file that is read for a provenance, in bytes: others of that name are not ours.
_LARGEST = 1 << 26

#: Items of a list that are written inside a file; the file beside it has them all.
_INSIDE = 16

#: Entries that are only beside the file, because they differ between runs with the same result.
_OUTSIDE = ("settings", "machine", "versions", "written", "quality")
#: What is written inside of a finding: its figures are rounded in another way in some modes.
_TOLD = ("code", "severity", "title")

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


@dataclass(frozen=True)
class Provenance:
    """What a file was made of, and how; read by :func:`read_provenance`.

    Attributes
    ----------
    schema_version : int
        Version of the entries.
    facet_nb : str
        Version of the package that wrote the file.
    output : dict
        Name, format and size of the file.
    inputs : tuple of dict
        Name, size in bytes and SHA-256 of each file that the recording was read from; empty if it
        was made in memory.
    chain : tuple of dict
        The steps: ``name``, ``processor_type`` and ``parameters``.
    findings : tuple of Finding
        What a person should know; code, severity and title only if read from inside a file, and
        none about the run.
    quality : dict | None
        The verdict on the result, or why it was not measured; None in files of earlier versions.
    settings : dict
        How the chain was run; empty if it is not known.
    machine, versions : dict
        Where it was run; empty if read from inside a file.
    written : str
        Date and time (UTC, ISO 8601); empty if read from inside a file.
    earlier : dict | None
        The provenance of the input, if facet_nb had written it.
    """

    schema_version: int
    facet_nb: str
    output: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Mapping[str, Any], ...] = ()
    chain: tuple[Mapping[str, Any], ...] = ()
    findings: tuple[Finding, ...] = ()
    quality: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    written: str = ""
    earlier: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as plain Python values, as in the file."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        findings = [finding.to_dict() for finding in self.findings]
        return {"schema": SCHEMA} | to_plain(values | {"findings": findings})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Provenance:
        """Create it from the output of :meth:`to_dict`; unknown entries are ignored.

        Raises
        ------
        ValidationError
            If the values are not those of a provenance, or of a later version.
        """
        if values.get("schema") != SCHEMA or not isinstance(values.get("schema_version"), int):
            raise ValidationError(f"this is no provenance of facet_nb (schema: {SCHEMA!r}).")
        if values["schema_version"] > SCHEMA_VERSION:
            raise ValidationError(
                f"the provenance has version {values['schema_version']}, and this facet_nb reads "
                f"versions up to {SCHEMA_VERSION}: update facet_nb."
            )
        kept = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        try:
            lists = {name: tuple(kept.get(name, ())) for name in ("inputs", "chain")}
            findings = tuple(map(Finding.from_dict, kept.get("findings", ())))
            return cls(**kept | lists | {"findings": findings})
        except (TypeError, ValueError, AttributeError) as error:
            raise ValidationError(f"the provenance is incomplete ({error}).") from error

    def verify_input(self, path: str | Path) -> bool:
        """Whether a recording is the one that the file was made of.

        Parameters
        ----------
        path : path
            The recording; all its files are hashed.

        Returns
        -------
        bool
            True if its files have the stored hashes, whatever their names.

        Raises
        ------
        ValidationError
            If the recording cannot be read, or no hash was stored.
        """
        wanted = {entry["sha256"] for entry in self.inputs}
        if not wanted:
            raise ValidationError(
                "the recording was made in memory: its provenance has no input files to compare."
            )
        source, _ = find_source(path)
        files = list_files([open_recording(source, verbose="error")], [source])
        return wanted == {entry["sha256"] for entry in map(hash_file, files)}


def hash_file(file: Path) -> dict[str, Any]:
    """Return name, size in bytes and SHA-256 of a file, which is read in blocks of 1 MB."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb", buffering=0) as source:
        streamed = StreamedFiles([source.fileno()])
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            streamed.count(len(block))
    return {"file": file.name, "bytes": size, "sha256": digest.hexdigest()}


# ------------------------------------------------------------------------------------- collecting
def collect(
    context: ProcessingContext,
    raw: mne.io.BaseRaw,
    target: Path,
    label: str,
    plan: Plan | None = None,
    anonymize: bool = False,
) -> Provenance:
    """Return the provenance of a file that is about to be written.

    Parameters
    ----------
    context : ProcessingContext
        What is exported.
    raw : mne.io.BaseRaw
        Its recording.
    target : Path
        The file.
    label : str
        Its format.
    plan : Plan | None
        The plan of the run that the export is a step of.
    anonymize : bool
        Whether names of input files are left out.
    """
    steps = context.get_history()
    original = context.get_raw_original()
    paths = [step.parameters.get("path") for step in steps if "loader" in step.name]
    files = list_files([original], [path for path in paths if path])
    anonymous = anonymize or is_anonymous(context)
    hide = _Hider([*files, target], anonymous)
    findings = merge_findings(
        [*context.get_findings(), *(plan.findings if plan is not None else ())]
    )
    versions = list_versions()
    return Provenance(
        schema_version=SCHEMA_VERSION,
        facet_nb=versions["facet_nb"],
        output={
            "file": target.name,
            "format": label,
            "n_channels": len(raw.ch_names),
            "n_times": int(raw.n_times),
            "sfreq_hz": float(raw.info["sfreq"]),
        },
        inputs=tuple(hide(hash_file(file)) for file in files),
        chain=tuple(
            {
                "name": step.name,
                "processor_type": step.processor_type,
                "parameters": hide(to_plain(step.parameters)),
            }
            for step in steps
        ),
        findings=tuple(Finding.from_dict(hide(finding.to_dict())) for finding in findings),
        quality=hide(_find_quality(context).to_dict()),
        settings={} if plan is None else _describe_settings(plan),
        machine={
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
        },
        versions=versions,
        written=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        earlier=hide(_find_earlier(original, files)),
    )


def _find_quality(context: ProcessingContext) -> Quality:
    """Return the verdict on this recording; it is measured if the samples are in memory."""
    known, raw = find_known_quality(context), context.get_raw()
    if known is not None:
        return known
    # Samples that are computed where they are read would be computed twice.
    if not raw.preload or is_spilled(raw._data):
        return Quality("not measured", "the samples are not in memory: result.quality reads them.")
    return find_quality(context)


def _describe_settings(plan: Plan) -> dict[str, Any]:
    names = ("mode", "backend", "n_jobs", "n_workers", "batch_size", "spill")
    dtypes = {stage.dtype for stage in plan.stages}
    chunks = {stage.chunk_duration_s for stage in plan.stages}
    return {name: getattr(plan, name) for name in names} | {
        "dtype": min(dtypes, default="float64"),  # float32 if any stage uses it
        "chunk_duration_s": max(filter(None, chunks), default=None),
        "fused": len(plan.fusions.found),
        "compiled": [] if plan.kernels is None else sorted(plan.kernels.compiled),
    }


def _find_earlier(original: Any, files: Sequence[Path]) -> dict[str, Any] | None:
    """Return the provenance of an input that facet_nb has written."""
    try:
        inside = None if original is None else _parse(original.info["description"])
    except ValidationError:  # of a later version, or damaged: no reason to refuse an export
        inside = None
    if inside is not None:
        return inside.to_dict()
    for file in files:
        for _, found in _find_sidecars(file):
            return found.to_dict()
    return None


@dataclass(frozen=True)
class _Hider:
    """Leaves out folders, which say who works where, and what differs between processes."""

    files: Sequence[Path]
    anonymous: bool

    def __call__(self, value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: self(item, name) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no such numbers
        if not isinstance(value, str):
            return value
        named = key in ("path", "file", "bids_root")
        if named or PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute():
            name = PureWindowsPath(PurePosixPath(value).name).name
            return keep_suffix(name) if self.anonymous and named else name
        return self._shorten(_ADDRESS.sub("", value))

    def _shorten(self, text: str) -> str:
        """Return a text without the folders of known files, and of the user."""
        if os.sep not in text and not self.anonymous:
            return text  # most are names: to ask for the folders of each takes 5 ms a file
        for file in self.files:
            text = text.replace(f"{file.parent}{os.sep}", "")
            if self.anonymous:
                text = text.replace(file.name, keep_suffix(file.name))
        for folder in (Path.cwd(), Path.home()):
            if len(folder.parts) > 1:
                text = text.replace(f"{folder}{os.sep}", "")
        return text


# ---------------------------------------------------------------------------------------- writing
@dataclass(frozen=True)
class Note:
    """Provenance in the forms that formats have room for.

    Attributes
    ----------
    sidecar : Path
        The file beside the recording.
    content : bytes
        Its content.
    line : str
        One line of printable ASCII for inside the recording. It is the same for all modes.
    tag : tuple of str
        A few words, for the recording field of EDF.
    """

    sidecar: Path
    content: bytes
    line: str
    tag: tuple[str, ...]

    @classmethod
    def of(cls, provenance: Provenance, sidecar: Path) -> Note:
        """Return the forms of a provenance."""
        values = provenance.to_dict()
        told = _list_told(values["findings"])
        line = json.dumps(_abridge(values), ensure_ascii=True, allow_nan=False)
        # MNE divides a BrainVision header at the word [Comment], which must occur once.
        line = line.replace("[Comment]", "[\\u0043omment]")
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        digest = "".join(entry["sha256"] for entry in provenance.inputs)
        short = hashlib.sha256(digest.encode()).hexdigest()[:12]
        if len(provenance.inputs) == 1:
            short = digest[:12]
        done = "processed" if provenance.chain else "written"
        hashed = (f"sha256-{short}",) if digest else ()
        warned = ("warned",) if any(f["severity"] != "note" for f in told) else ()
        return cls(
            sidecar,
            # Names of files may hold bytes that are no text: they are written as escapes.
            f"{text}\n".encode(errors="backslashreplace"),
            _MARK + line,
            (f"facet_nb-{provenance.facet_nb}", done, *hashed, *warned),
        )

    def add_to(self, description: str | None) -> str:
        """Return the description of a recording with this provenance instead of an earlier one."""
        return "\n".join(filter(None, [remove_line(description), self.line]))


def remove_line(description: str | None) -> str | None:
    """Return the description of a recording without the provenance of an earlier file."""
    if description is None or _MARK not in description:
        return description
    return "\n".join(ln for ln in description.splitlines() if not ln.startswith(_MARK)) or None


def _list_told(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what is written inside a file of findings: once each, the most serious ones first."""
    kinds = {finding["code"]: FINDING_KINDS.get(finding["code"]) for finding in findings}
    kept = [f for f in findings if (kind := kinds[f["code"]]) is None or not kind.of_runs]
    told = {tuple(finding[name] for name in _TOLD) for finding in kept}
    ordered = sorted(told, key=lambda values: (-SEVERITIES.index(values[1]), values))
    return [dict(zip(_TOLD, values, strict=True)) for values in ordered[:_INSIDE]]


def _abridge(value: Any) -> Any:
    """Return values without those that depend on mode and time, and with short lists."""
    if isinstance(value, Mapping):
        inside = {k: v for k, v in value.items() if k not in _OUTSIDE}
        if "schema" in value and "findings" in value:
            inside["findings"] = _list_told(value["findings"])
        return {k: _abridge(v) for k, v in inside.items()}
    if isinstance(value, list):
        more = len(value) - _INSIDE
        rest = [f"… {more} more"] if more > 0 else []
        return [*map(_abridge, value[:_INSIDE]), *rest]
    return value


def choose_sidecar(path: Path) -> Path:
    """Return the file for the provenance of `path`: ``NAME_provenance.json``.

    If that of another recording is there (``rec.edf`` beside ``rec.fif``), the name of the file
    with its suffix takes the place of NAME. A file that is no provenance is never replaced.

    Raises
    ------
    ValidationError
        If neither name is free.
    """
    exact, usual, _ = _list_sidecars(path)
    for sidecar in (usual, exact):
        if not sidecar.exists():
            return sidecar
        found = _read_sidecar(sidecar)
        other = None if found is None else path.with_name(str(found.output.get("file", path.name)))
        if other is not None and (other.name == path.name or not other.exists()):
            return sidecar
    raise unusable(
        exact,
        "the provenance of the recording would replace this file, which is none",
        "Rename it, or use provenance=False",
    )


def list_sidecars_of(path: Path) -> list[Path]:
    """Return the files that hold the provenance of an existing file `path`."""
    found = [sidecar for sidecar, _ in _find_sidecars(path)]
    return [sidecar for sidecar in found if sidecar.name.endswith(PROVENANCE)]


def _find_sidecars(path: Path) -> list[tuple[Path, Provenance]]:
    """Return the files with the provenance of `path`, and their content."""
    found = [(sidecar, _read_sidecar(sidecar)) for sidecar in _list_sidecars(path)]
    return [(p, made) for p, made in found if made and made.output.get("file") == path.name]


def _list_sidecars(path: Path) -> list[Path]:
    """Return the files that may hold the provenance of a file; the last is that of BIDS."""
    names = [path.with_name(f"{name}{PROVENANCE}") for name in (path.name, path.stem)]
    return [*names, path.with_suffix(".json")]


def _read_sidecar(path: Path) -> Provenance | None:
    """Return the provenance in a file; None if there is none, which the callers tell."""
    try:
        return _read_json(path)
    except ValidationError:
        return None


# ---------------------------------------------------------------------------------------- reading
def read_provenance(path: str | Path) -> Provenance:
    """Return what a file that facet_nb has written was made of, and how.

    Parameters
    ----------
    path : path
        The recording, or the ``.json`` file beside it. Without that file, the provenance inside a
        FIF file or BrainVision header is read, which has no settings, machine and times, and of
        findings code, severity and title only.

    Returns
    -------
    Provenance
        Chain, settings, versions, inputs with their hashes, and findings. Its ``verify_input``
        tells whether a recording is the input.

    Raises
    ------
    ValidationError
        If there is none, or it is of a later version.
    """
    file = Path(path).expanduser()
    if file.suffix.lower() == ".json":
        return _read_json(file)
    source, kind = find_source(file)
    for _, found in _find_sidecars(source):
        return found
    inside = None
    if kind.label == "FIF":
        inside = _parse(open_recording(source, verbose="error").info["description"])
    elif kind.label == "BrainVision":
        inside = _parse(source.read_text(encoding="utf-8", errors="replace"))
    if inside is None:
        raise unusable(
            source,
            f"there is no {_list_sidecars(source)[1].name} beside it, and no provenance inside",
            "Only files that an exporter of facet_nb has written have one",
        )
    return inside


def _read_json(file: Path) -> Provenance:
    try:
        if file.stat().st_size > _LARGEST:
            raise unusable(file, "it is too large for a provenance", "Check the path")
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise unusable(file, f"cannot be read ({error.strerror})", "Check the path") from error
    except (ValueError, RecursionError) as error:
        raise unusable(file, f"this is not JSON ({error})", "Copy it again") from error
    if isinstance(values, dict) and "schema" not in values:
        values = values.get("facet_nb", values)  # the sidecar of a BIDS folder
    if not isinstance(values, dict):
        raise unusable(file, "it holds no provenance", "Give a recording that facet_nb has written")
    return Provenance.from_dict(values)


def _parse(text: str | None) -> Provenance | None:
    """Return the provenance in a description or header, if there is one."""
    lines = [line for line in (text or "").splitlines() if line.startswith(_MARK)]
    if not lines:
        return None
    try:
        return Provenance.from_dict(json.loads(lines[0].removeprefix(_MARK)))
    except (ValueError, RecursionError, AttributeError) as error:
        raise ValidationError(f"the provenance inside is damaged ({error}).") from error
