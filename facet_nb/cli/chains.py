"""Chains of steps: the usual one, and those of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from facet_nb.cli.options import DEFAULT_TRIGGER

if TYPE_CHECKING:
    from facet_nb.core import Pipeline


def make_chain(trigger: str | None = None) -> Pipeline:
    """Return the usual chain: gradient correction and a low-pass.

    Parameters
    ----------
    trigger : str | None
        Regular expression of the triggers.
    """
    from facet_nb.pipelines import gradient_correction

    return gradient_correction(DEFAULT_TRIGGER if trigger is None else trigger)


def choose_chain(chain: Path | None, trigger: str | None = None) -> Pipeline:
    """Return the chain of a file, or the usual one.

    Raises
    ------
    typer.BadParameter
        If a trigger is given as well: the file names its own.
    ValidationError
        If the file cannot be read, or brings a loader or exporter of its own.
    """
    if chain is None:
        return make_chain(trigger)
    if trigger is not None:
        raise typer.BadParameter("--trigger is for the usual chain: write it into the chain's file")
    from facet_nb.core import Pipeline
    from facet_nb.core.errors import ValidationError

    try:
        pipeline = Pipeline.from_yaml(chain)
    except UnicodeDecodeError as error:
        raise ValidationError(f"{chain} is not a text file: give a pipeline in YAML.") from error
    files = [step.name for step in pipeline if type(step).__module__.startswith("facet_nb.io.")]
    if files:
        raise ValidationError(
            f"{chain}: leave {', '.join(files)} out of the chain. The files to read and to write "
            "are arguments of the command."
        )
    return pipeline
