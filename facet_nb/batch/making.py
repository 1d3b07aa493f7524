"""Make a study of files, patterns and folders; of a BIDS data set, with derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facet_nb.batch.derivatives import make_derivative_study
from facet_nb.batch.inputs import find_recordings, is_bids
from facet_nb.core.errors import ValidationError
from facet_nb.core.study.study import Study


def make_study(
    pipeline: Any,
    places: Sequence[Any],
    entities: Mapping[str, Iterable[str]] | None = None,
    inputs: Sequence[Path] | None = None,
    desc: str | None = None,
    **options: Any,
) -> Study:
    """Return the study of the recordings at some places.

    Parameters
    ----------
    pipeline : Pipeline
        The steps.
    places : sequence of path, or of ProcessingContext or mne.io.BaseRaw
        Files, patterns and folders, as for :func:`facet_nb.batch.find_recordings`; or recordings.
        Of one BIDS data set, the output is a data set of derivatives.
    entities : dict of str to iterable of str | None
        Labels of BIDS recordings to keep.
    inputs : sequence of Path | None
        The recordings, if they were found already.
    desc : str | None
        Label of the description in the names of derivatives; ``""`` for none, None for ``facet``.
    **options
        Options of :class:`facet_nb.Study`.

    Raises
    ------
    ValidationError
        If there is no recording, or an option cannot be used.
    """
    if not all(isinstance(place, (str, Path)) for place in places):
        return Study(pipeline, places, **options)
    if inputs is None:
        inputs = find_recordings(places, entities)
    if len(places) == 1 and is_bids(places[0]) and options.get("output") is not None:
        options |= {} if desc is None else {"desc": desc}
        return make_derivative_study(pipeline, places[0], inputs, **options)
    if desc is not None:
        raise ValidationError("desc is for names of BIDS: give one BIDS data set, and an output.")
    return Study(pipeline, inputs, **options)
