"""A model of the scanner clock: exact times of markers, between samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import ProcessingMetadata, to_plain
from facet_nb.core.registry import register_processor
from facet_nb.kernels.triggers.clock import ClockFit, fit_clock
from facet_nb.preprocessing.triggers import TriggerStep


@register_processor
class ClockModel(TriggerStep):
    r"""Fit the scanner clock to the EEG clock, over all markers.

    Markers are rounded to samples, but the scanner clock is not. Marker `j` of run `r`, number `k`
    in its run and after `v` pauses between volumes, was sent at

    .. math:: t_j = o_r + p \, k_j + g \, v_j

    (in samples). Offsets of the runs, period and pause are estimated by least squares without
    outliers, so that each time is known to a few hundredths of a sample. A polynomial in time, of
    degree 5 at most, is added only where the clocks drift against each other.

    The fit is checked: rounding alone leaves residuals of 0.29 samples rms. If they exceed 0.4
    samples, or more than 5 % of the markers are outliers, the markers jitter; their own times are
    then used, and the report says so.

    In a pipeline the step changes no trigger: the report is stored in the history and in
    ``metadata.custom["clock"]``. Outside of one, call ``ClockModel().fit(samples)``.

    Examples
    --------
    >>> import numpy as np
    >>> from facet_nb import ClockModel
    >>> fit = ClockModel().fit(np.rint(100.3 + 292.116 * np.arange(200)))
    >>> bool(abs(fit.period - 292.116) < 1e-3), fit.trusted
    (True, True)
    """

    name = "clock_model"
    description = "Fit the scanner clock to the EEG clock"
    requires_triggers = True

    def fit(self, triggers: Sequence[float] | np.ndarray) -> ClockFit:
        """Return the exact times of markers, and their uncertainty.

        Parameters
        ----------
        triggers : array of int, shape (n_markers,)
            Slice or volume markers of one or several runs, in samples.

        Returns
        -------
        ClockFit
            ``times``, ``uncertainty``, ``missing`` … in samples; ``report()`` summarises it.

        Raises
        ------
        ValidationError
            If there are fewer than two markers, or not all are finite.
        """
        markers = np.asarray(triggers, dtype=float).ravel()
        if not np.all(np.isfinite(markers)):
            raise ValidationError("ClockModel: markers must be finite; remove NaN.")
        unique = np.unique(np.rint(markers).astype(np.int64))
        if len(unique) < 2:
            raise ValidationError(
                f"ClockModel: {len(unique)} marker found, and at least two are needed. Check the "
                "regex of TriggerDetector."
            )
        return fit_clock(unique)

    def find(self, context: ProcessingContext) -> tuple[ProcessingMetadata, dict[str, Any]]:
        """Return the metadata with the report, and the report for the history."""
        assert context.metadata.triggers is not None
        report = to_plain(self.fit(context.metadata.triggers).report())
        new = context.metadata.updated()
        new.custom["clock"] = report
        return new, report
