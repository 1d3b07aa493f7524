"""The run file: chain, settings, inputs, outputs and acceptance of a study in one YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from facet_nb.batch.inputs import find_recordings
from facet_nb.batch.making import make_study
from facet_nb.core import limits
from facet_nb.core.errors import ValidationError
from facet_nb.core.pipeline import Pipeline
from facet_nb.core.storage.originals import YAML, check_kind_of_file
from facet_nb.core.study.outcome import BatchResult
from facet_nb.core.study.study import Study

#: Version of the schema that is written, and the key it stands under.
_SCHEMA, _KEY = 1, "facet_nb_run"

#: Options of a study that a run file may set; the others are for programs.
OPTIONS = (
    *("n_jobs", "backend", "memory_budget", "skip_existing", "resume", "file_timeout", "retries"),
    *("checkpoint", "anonymize", "table", "reports", "mode", "n_workers", "batch_size", "dtype"),
    *("desc", "store", "timeout", "fuse", "chunk_duration_s", "oversubscribe"),
)


@dataclass(frozen=True)
class RunFile:
    """A study in a file.

    Attributes
    ----------
    chain : dict
        The steps, as from ``Pipeline.to_dict()``.
    inputs : tuple of str
        Files, patterns and folders, relative to the file.
    output : str
        Folder or pattern of the corrected files, relative to the file.
    entities : dict of str to list of str
        Labels of BIDS recordings to keep; see :func:`facet_nb.batch.find_recordings`.
    accept : "good" | dict of str to float | None
        Which results are accepted.
    options : dict
        Options of :class:`facet_nb.Study`.
    folder : Path
        Folder of the file.
    """

    chain: Mapping[str, Any]
    inputs: tuple[str, ...]
    output: str
    entities: Mapping[str, list[str]] = field(default_factory=dict)
    accept: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)

    @classmethod
    def read(cls, path: str | Path) -> RunFile:
        """Read a run file; nothing in it is executed.

        Raises
        ------
        ValidationError
            If it cannot be read, has another version, or a key that no run file has.
        """
        import yaml

        path = Path(path).expanduser()
        try:
            values = limits.load_yaml(limits.read_text(path))
        except OSError as error:
            raise ValidationError(f"cannot read {path}: {error.strerror}.") from error
        except (ValueError, yaml.YAMLError) as error:
            raise ValidationError(f"{path} is not a run file: {error}. {_HOW}") from error
        if not isinstance(values, dict) or _KEY not in values:
            raise ValidationError(f"{path} is not a run file: it has no {_KEY!r}. {_HOW}")
        if values.pop(_KEY) != _SCHEMA:
            raise ValidationError(
                f"{path} has another version than {_KEY}: {_SCHEMA}. Write it anew, or install the "
                "version of facet_nb that wrote it."
            )
        known = {f.name for f in fields(cls)} - {"folder"}
        _check_keys(path, values, known, {"chain", "inputs", "output"})
        _check_keys(path, values.get("options") or {}, set(OPTIONS), set())
        inputs = values["inputs"]
        plain = (inputs,) if isinstance(inputs, str) else tuple(map(str, inputs or ()))
        new = cls(
            values["chain"],
            plain,
            str(values["output"]),
            values.get("entities") or {},
            values.get("accept"),
            values.get("options") or {},
            path.absolute().parent,
        )
        new.make_pipeline()  # reported with the name of the file
        return new

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        inputs: Sequence[str | Path],
        output: str | Path,
        entities: Mapping[str, list[str]] | None = None,
        accept: Any = None,
        **options: Any,
    ) -> RunFile:
        """Return the run file of a pipeline, whose paths are relative to the working folder.

        Raises
        ------
        ValidationError
            If an option is unknown.
        """
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise ValidationError(
                f"a run file has no option {', '.join(unknown)}: use {', '.join(OPTIONS)}."
            )
        places = tuple(map(str, inputs))
        return cls(pipeline.to_dict(), places, str(output), entities or {}, accept, options)

    def write(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the run file.

        Raises
        ------
        ValidationError
            If it exists and may not be replaced, or cannot be written.
        """
        import yaml

        path = Path(path).expanduser()
        if path.exists() and not overwrite:
            raise ValidationError(f"{path} exists: give another name, or overwrite=True.")
        check_kind_of_file(path, YAML)
        moved = self._move(path.absolute().parent)
        text = yaml.safe_dump(moved.to_dict(), sort_keys=False, allow_unicode=True)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ValidationError(f"cannot write {path}: {error.strerror}.") from error
        return path

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain Python values."""
        values: dict[str, Any] = {_KEY: _SCHEMA, "chain": dict(self.chain)}
        values |= {"inputs": list(self.inputs), "output": self.output}
        for name in ("entities", "accept", "options"):
            value = getattr(self, name)
            if value:
                values[name] = dict(value) if isinstance(value, Mapping) else value
        return values

    def make_pipeline(self) -> Pipeline:
        """Return the steps.

        Raises
        ------
        ValidationError
            If a step is unknown, its parameters cannot be used, or it loads or writes recordings.
        """
        if not isinstance(self.chain, Mapping):
            raise ValidationError(f"chain: {self.chain!r} are no steps. {_HOW}")
        pipeline = Pipeline.from_dict(self.chain)
        files = [step.name for step in pipeline if type(step).__module__.startswith("facet_nb.io.")]
        if files:
            raise ValidationError(
                f"remove {', '.join(files)} from the chain: inputs and output have their own keys."
            )
        return pipeline

    def list_inputs(self) -> list[Path]:
        """Return the recordings.

        Raises
        ------
        ValidationError
            If there are none.
        """
        return find_recordings(self.places, self.entities)

    @property
    def places(self) -> list[str]:
        """The inputs, as paths that do not depend on the folder of the file."""
        return [self._place(text) for text in self.inputs]

    @property
    def target(self) -> str:
        """The output, as such a path."""
        return self._place(self.output)

    @property
    def study_options(self) -> dict[str, Any]:
        """Options of :class:`facet_nb.Study`, with such paths."""
        given = dict(self.options)
        for name in ("table", "reports", "checkpoint", "store"):
            if isinstance(given.get(name), str) and "://" not in given[name]:
                given[name] = self._place(given[name])
        return given if self.accept is None else {**given, "accept": self.accept}

    def _place(self, text: str) -> str:
        path = Path(text).expanduser()
        return text if path.is_absolute() else str(self.folder / text)

    def _move(self, folder: Path) -> RunFile:
        """Return the same run file, with paths relative to another folder."""
        if folder == self.folder.absolute():
            return self

        def move(text: str) -> str:
            path = Path(text).expanduser()
            return text if path.is_absolute() else os.path.relpath(self.folder / text, folder)

        return replace(
            self, inputs=tuple(map(move, self.inputs)), output=move(self.output), folder=folder
        )

    def make_study(self, inputs: Sequence[Path] | None = None, **options: Any) -> Study:
        """Return the study.

        Parameters
        ----------
        inputs : sequence of Path | None
            The recordings, if they were found already.
        **options
            Further options of :class:`facet_nb.Study`; they have precedence over those of the file.
        """
        given = {**self.study_options, "output": self.target, **options}
        return make_study(self.make_pipeline(), self.places, self.entities, inputs, **given)

    def run(self, **options: Any) -> BatchResult:
        """Run the study; see :meth:`make_study`."""
        return self.make_study(**options).run()

    def with_output(self, output: str | Path) -> RunFile:
        """Return a run file that writes to a folder relative to the working folder."""
        return replace(self, output=str(Path(output).expanduser().absolute()))

    def with_options(self, **options: Any) -> RunFile:
        """Return a run file with other options of the study; None removes one."""
        merged = {k: v for k, v in {**self.options, **options}.items() if v is not None}
        return replace(self, options=merged)


_HOW = "facet-nb init writes one."


def _check_keys(path: Path, values: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(values, dict):
        raise ValidationError(f"{path}: {values!r} should be keys with values. {_HOW}")
    unknown = sorted(map(str, set(values) - known))
    missing = sorted(needed - set(values))
    if unknown or missing:
        told = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
        raise ValidationError(f"{path}: {told}. Keys are {', '.join(sorted(known))}.")
