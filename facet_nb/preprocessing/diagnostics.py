"""Reports about a recording and its problems, before the correction."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor
from facet_nb.kernels.measures import recovery
from facet_nb.kernels.triggers.clock import describe_runs

if TYPE_CHECKING:
    import mne


class ReportStep(Processor):
    """A step that prints a report and stores it in the metadata, without changing the data."""

    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    verbose: bool
    accepts_lazy = True

    def report(self, context: ProcessingContext) -> dict[str, Any]:
        """Return the report."""
        raise ValidationError(f"{type(self).__name__} has no report(context) method.")

    def process(self, context: ProcessingContext) -> ProcessingContext:
        found = self.report(context)
        if self.verbose:
            print(self.format(found))
        metadata = context.metadata.copy()
        metadata.custom[self.name] = found
        return context.with_metadata(metadata)

    def format(self, found: dict[str, Any]) -> str:
        """Return the report as text."""
        return format_report(self.name, found)


@register_processor
class AnalyzeDataReport(ReportStep):
    """Describe a recording: channels, sampling rate, duration, triggers and their distances.

    The report is printed and stored in ``metadata.custom["analyze_data_report"]``: ``channels``,
    ``channel_names``, ``channel_types`` (number of each), ``bad_channels``, ``sampling_rate_hz``,
    ``samples``, ``duration_s``, and with triggers ``num_triggers``, ``first_trigger_sample``,
    ``last_trigger_sample``, ``trigger_distance`` (``min, max, mean, std, median``, samples),
    ``trigger_distance_histogram`` (the ten most frequent), ``artifact_length``,
    ``slices_per_volume``, ``n_missing`` and ``n_irregular``.

    Parameters
    ----------
    verbose : bool
        Print the report.
    """

    name = "analyze_data_report"
    description = "Describe the recording"

    def __init__(self, verbose: bool = True) -> None:
        self.verbose = verbose

    def report(self, context: ProcessingContext) -> dict[str, Any]:
        raw = context.get_raw()
        found: dict[str, Any] = {
            "channels": len(raw.ch_names),
            "channel_names": list(raw.ch_names),
            "channel_types": dict(Counter(raw.get_channel_types())),
            "bad_channels": list(raw.info["bads"]),
            "sampling_rate_hz": float(raw.info["sfreq"]),
            "samples": int(raw.n_times),
            "duration_s": float(raw.n_times / raw.info["sfreq"]),
        }
        if context.has_triggers():
            found |= describe_distances(np.asarray(context.get_triggers(), dtype=np.int64))
        return found


@register_processor
class CheckDataReport(ReportStep):
    """Check for problems that would impair a correction.

    Errors: no triggers, triggers outside the data or out of order, NaN or infinite samples, no
    good electrode. Warnings: missing and irregular triggers, an unknown artifact length, flat and
    clipped channels, and less than 1 s without artifact for comparison.

    The report is printed and stored in
    ``metadata.custom["check_data_report"]``: ``errors``, ``warnings``, ``num_errors``,
    ``num_warnings``, ``flat_channels``, ``nan_channels``, ``clipped_channels`` (number of samples
    of each), ``strict``, ``require_triggers``.

    Parameters
    ----------
    require_triggers : bool
        Whether missing triggers are an error.
    strict : bool
        Raise ValidationError if there are errors.
    verbose : bool
        Print the report.

    Raises
    ------
    ValidationError
        If there are errors and `strict` is True.
    """

    name = "check_data_report"
    description = "Check for problems that would impair a correction"

    def __init__(
        self, require_triggers: bool = True, strict: bool = True, verbose: bool = True
    ) -> None:
        self.require_triggers = require_triggers
        self.strict = strict
        self.verbose = verbose

    def report(self, context: ProcessingContext) -> dict[str, Any]:
        raw = context.get_raw()
        flat, nan, clipped = inspect_channels(raw)
        errors, warnings = [], []
        if not len(recording.data_picks(raw)):
            errors.append("no good electrode: set channel types, or clear raw.info['bads']")
        if nan:
            errors.append(f"NaN or infinite samples in {', '.join(nan)}")
        if flat:
            warnings.append(f"flat: {', '.join(flat)}")
        if clipped:
            warnings.append(
                "saturated: " + ", ".join(f"{k} ({n} samples)" for k, n in clipped.items())
            )
        if context.has_triggers():
            more_errors, more_warnings = check_triggers(context)
            errors += more_errors
            warnings += more_warnings
        elif self.require_triggers:
            errors.append("there are no triggers: run TriggerDetector(regex=…) first")
        if errors and self.strict:
            raise ValidationError(f"CheckDataReport: {'; '.join(errors)}.")
        return {
            "errors": errors,
            "warnings": warnings,
            "num_errors": len(errors),
            "num_warnings": len(warnings),
            "flat_channels": flat,
            "nan_channels": nan,
            "clipped_channels": clipped,
            "strict": self.strict,
            "require_triggers": self.require_triggers,
        }


def describe_distances(triggers: np.ndarray) -> dict[str, Any]:
    """Return statistics of trigger positions, in samples."""
    ordered = np.unique(triggers)
    diffs, known = np.diff(ordered), describe_runs(ordered)
    found: dict[str, Any] = {
        "num_triggers": len(triggers),
        "first_trigger_sample": int(ordered[0]),
        "last_trigger_sample": int(ordered[-1]),
        "artifact_length": known.artifact_length,
        "slices_per_volume": known.slices_per_volume,
        "n_missing": known.n_missing,
        "n_irregular": known.n_irregular,
    }
    if len(diffs):
        found["trigger_distance"] = {
            "min": int(diffs.min()),
            "max": int(diffs.max()),
            "mean": float(diffs.mean()),
            "std": float(diffs.std()),
            "median": float(np.median(diffs)),
        }
        found["trigger_distance_histogram"] = [
            {"distance_samples": int(distance), "count": count}
            for distance, count in Counter(diffs.tolist()).most_common(10)
        ]
    return found


def inspect_channels(raw: mne.io.BaseRaw) -> tuple[list[str], list[str], dict[str, int]]:
    """Return flat electrodes, those with NaN, and clipped ones with their number of samples.

    One good electrode is read at a time.
    """
    flat, nan, clipped = [], [], {}
    for row in recording.data_picks(raw):
        name = raw.ch_names[row]
        x = raw._data[row] if raw.preload else raw.get_data(picks=[row])[0]
        if not np.all(np.isfinite(x)):
            nan.append(name)
        elif np.ptp(x) == 0:
            flat.append(name)
        elif n := int(np.count_nonzero(recovery.find_clipped(x))):
            clipped[name] = n
    return flat, nan, clipped


def check_triggers(context: ProcessingContext) -> tuple[list[str], list[str]]:
    """Return errors and warnings about the triggers of `context`."""
    errors, warnings = [], []
    n_times, sfreq = int(context.get_raw().n_times), context.get_sfreq()
    triggers = np.asarray(context.get_triggers(), dtype=np.int64)
    outside = int(np.count_nonzero((triggers < 0) | (triggers >= n_times)))
    if outside:
        errors.append(f"{outside} triggers lie outside the data (0 to {n_times - 1} samples)")
    if np.any(np.diff(triggers) <= 0):
        errors.append("triggers are not in order, or repeated: use np.unique")
    known = describe_runs(triggers)
    length = context.metadata.artifact_length or known.artifact_length
    if not length:
        warnings.append("the artifact length is not known")
    if known.n_missing:
        warnings.append(f"{known.n_missing} triggers are missing: MissingTriggerDetector()")
    if known.n_irregular:
        warnings.append(f"{known.n_irregular} distances of triggers are irregular")
    quiet = max(0, int(triggers.min())) + max(0, n_times - int(triggers.max()) - int(length or 0))
    if quiet < sfreq:
        warnings.append(f"only {quiet / sfreq:.2g} s without artifact: SNR will be imprecise")
    return errors, warnings


def format_report(name: str, found: dict[str, Any]) -> str:
    """Return a report as text, one line for each entry that is not empty."""
    lines = [name.replace("_", " ").capitalize()]
    for key, value in found.items():
        empty = value is None or (isinstance(value, (list, dict)) and not value)
        if empty or key == "trigger_distance_histogram":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v:.6g}" for k, v in value.items())
        elif isinstance(value, list):
            value = (", " if key.endswith(("names", "channels")) else "; ").join(map(str, value))
        lines.append(
            f"  {key:<22} {value:.6g}" if isinstance(value, float) else f"  {key:<22} {value}"
        )
    return "\n".join(lines)
