"""Chains for commands: a ready-made one, or that of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from facet_nb.cli.options import CHAIN_STEPS, DEFAULT_CHAIN, DEFAULT_TRIGGER

if TYPE_CHECKING:
    from facet_nb.core import Pipeline


def make_chain(trigger: str | None = None, name: str = DEFAULT_CHAIN) -> Pipeline:
    """Return a ready-made chain.

    Parameters
    ----------
    trigger : str | None
        Regular expression of the triggers.
    name : str
        A key of :data:`facet_nb.pipelines.CHAINS`.
    """
    from facet_nb.pipelines import CHAINS

    return CHAINS[name](DEFAULT_TRIGGER if trigger is None else trigger)


def choose_chain(chain: Path | None, trigger: str | None = None) -> Pipeline:
    """Return the chain of a file, a ready-made one by its name, or the default one.

    Raises
    ------
    typer.BadParameter
        If a trigger is given as well, as the chain of a file contains it.
    ValidationError
        If the file cannot be read, or contains a loader or exporter.
    """
    if chain is None:
        return make_chain(trigger)
    if str(chain) in CHAIN_STEPS and not chain.exists():
        return make_chain(trigger, str(chain))
    if trigger is not None:
        raise typer.BadParameter("--trigger is for ready-made chains: set it in the chain's file")
    from facet_nb.core import Pipeline
    from facet_nb.core.errors import ValidationError

    try:
        pipeline = Pipeline.from_yaml(chain)
    except UnicodeDecodeError as error:
        raise ValidationError(f"{chain} is not a text file: use a pipeline in YAML.") from error
    files = [step.name for step in pipeline if type(step).__module__.startswith("facet_nb.io.")]
    if files:
        raise ValidationError(
            f"{chain}: remove {', '.join(files)} from the chain. Input and output files are "
            "arguments of the command."
        )
    return pipeline
