"""Model of what is saved of a result: the recording, a report, a script and a notebook."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from traitlets import HasTraits, Instance, Tuple, Unicode

from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.models.codegen import write_script
from facet_nb.models.run_model import RunModel

#: What can be saved, with the end of its file's name.
KINDS = {"recording": "", "report": "_report.html", "script": ".py", "notebook": ".ipynb"}
FORMATS = (".fif", ".vhdr", ".edf", ".set")


class SavingModel(HasTraits):
    """Writes the last result of a run, and what is needed to repeat it.

    Parameters
    ----------
    run : RunModel
        The runs.

    Attributes
    ----------
    stem : str
        Folder and beginning of the files' names.
    suffix : str
        Format of the recording, as the end of its name.
    kinds : tuple of str
        What to write: keys of :data:`KINDS`. Provenance stands beside the recording.
    files : tuple of Path
        What has been written of the last result.
    error : str
        Why nothing was written; empty if something was.
    study, study_file : str
        The script of a whole study and its file's name; empty if none was asked for.

    Examples
    --------
    >>> from facet_nb.datasets import example
    >>> from facet_nb.models import RunModel
    >>> from facet_nb.models.chain_model import make_default_chain
    >>> SavingModel(RunModel(make_default_chain(), example())).line
    'Nothing to save yet'
    """

    stem = Unicode("corrected")
    suffix = Unicode(FORMATS[0])
    kinds = Tuple(("recording", "script"))
    files = Tuple()
    error = Unicode("")
    study = Unicode("")
    study_file = Unicode("")
    run = Instance(RunModel)

    def __init__(self, run: RunModel) -> None:
        super().__init__(run=run)
        self._saved_s = 0.0
        run.observe(self._forget, "result")

    @property
    def line(self) -> str:
        """What has been saved, in one line."""
        if self.files:
            clock = time.strftime("%H:%M", time.localtime(self._saved_s))
            return f"Saved {clock}, {len(self.files)} file{'s' if len(self.files) > 1 else ''}"
        result = self.run.result
        known = result is not None and result.success
        return "Not saved yet" if known else "Nothing to save yet"

    def list_targets(self) -> dict[str, Path]:
        """Return the file of each kind that is chosen."""
        base = Path(self.stem.strip() or "corrected")
        ends = {**KINDS, "recording": self.suffix}
        return {
            kind: base.with_name(base.name + ends[kind]) for kind in KINDS if kind in self.kinds
        }

    def script(self) -> str:
        """Return the script that repeats the run and writes the recording."""
        run, base = self.run, Path(self.stem.strip() or "corrected")
        target = base.with_name(base.name + self.suffix)
        return write_script(run.pipeline, run.source, run.settings, str(target))

    def save(self, replace: bool = False) -> tuple[Path, ...]:
        """Write what is chosen; return the files.

        Parameters
        ----------
        replace : bool
            Whether to replace files that exist.

        Raises
        ------
        FacetError
            If a file exists and is not to be replaced, or cannot be written.
        """
        self.error = ""
        try:
            self.files = self._write(replace)
        except (FacetError, OSError) as error:
            self.error = str(error)
            raise
        self._saved_s = time.time()
        return self.files

    def save_study(self) -> Path:
        """Write the script of the study beside the other files; return its path.

        Raises
        ------
        ValidationError
            If the file exists.
        """
        path = Path(self.stem.strip() or "corrected").with_name(self.study_file).absolute()
        if path.exists():
            raise ValidationError(f"{path} exists: choose another folder in the name.")
        path.write_text(self.study, encoding="utf-8")
        self.files = (*self.files, path)
        self._saved_s = time.time()
        return path

    def _write(self, replace: bool) -> tuple[Path, ...]:
        from facet_nb.io import export

        result, targets = self.run.result, self.list_targets()
        if result is None or result.context is None:
            raise ValidationError("there is nothing to save yet: run the chain first.")
        if not targets:
            raise ValidationError("nothing is chosen: choose what to save.")
        known = [str(path) for path in targets.values() if path.exists()]
        if known and not replace:
            raise ValidationError(f"{', '.join(known)} exists: choose another name, or replace it.")
        for kind, path in targets.items():
            if kind == "recording":
                export(result.context, path, overwrite=replace)
            elif kind == "report":
                result.report(path)
            else:
                text = self.script()
                path.write_text(text if kind == "script" else _wrap(text), encoding="utf-8")
        return tuple(targets.values())

    def _forget(self, _change: object) -> None:
        self.files, self.error = (), ""


def _wrap(script: str) -> str:
    """Return a notebook of one cell; it has no arguments, so the defaults of the script apply."""
    lines = script.partition("\n\n")[2].replace(
        "import sys\n", 'import sys\n\nsys.argv = [""]\n', 1
    )
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "correct",
        "metadata": {},
        "outputs": [],
        "source": lines.strip().splitlines(keepends=True),
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1) + "\n"
