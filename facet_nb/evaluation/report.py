"""Print metrics and keep them as named reports."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor
from facet_nb.core.result import write_metric


@register_processor
class MetricsReport(Processor):
    """Print all metrics computed so far, and keep a copy of them as a named report.

    The copy is stored in ``metadata.custom["reports"][name]`` and, if given, in ``store[name]``.
    Pipelines that share a store can be compared with ``pandas.DataFrame(store)``.

    Parameters
    ----------
    name : str | None
        Name of the report; ``Result_1``, ``Result_2`` … by default. The attribute is
        ``report_name``, because ``name`` is the registry name of a processor.
    store : dict | None
        Where to put the copy. The dict is modified, and it is not part of the description of the
        pipeline. For files that run in separate processes, read ``custom["reports"]`` of their
        results instead.
    """

    name = "metrics_report"
    description = "Print all metrics"
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True
    output_only = True

    def __init__(
        self, name: str | None = None, store: MutableMapping[str, Any] | None = None
    ) -> None:
        self.report_name = name
        self.store = store

    def get_parameters(self) -> dict[str, Any]:
        """Return the name of the report; the store is not part of a description."""
        return {"name": self.report_name}

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Print the report, and return a context that contains it."""
        metadata = context.metadata.copy()
        found = metadata.custom.get("metrics", {})
        reports = metadata.custom.setdefault("reports", {})
        names = reports if self.store is None else self.store
        name = self.report_name or f"Result_{len(names) + 1}"
        print(format_report(name, found))
        reports[name] = copy.deepcopy(found)
        if self.store is not None:
            self.store[name] = copy.deepcopy(found)
        return context.with_metadata(metadata)


def format_report(name: str, found: Mapping[str, Any]) -> str:
    """Return metrics as text, one line for each number.

    Parameters
    ----------
    name : str
        Name of the report, for the heading.
    found : mapping
        Metrics by name. The line of a metric with values by channel gives the number of channels,
        and the names of those excluded. Tables of numbers are listed one number a line.

    Returns
    -------
    str
        The lines.
    """
    lines = [f"Metrics: {name}"]
    for key, value in found.items():
        if isinstance(value, Mapping):
            lines += [
                f"  {name:<24}{write_metric(name, x):>12}" for name, x in _flatten(key, value)
            ]
        elif _is_number(value):
            text = write_metric(key, value)
            lines.append(f"  {key:<24}{text:>12}{_describe_channels(key, found)}")
    if len(lines) == 1:
        lines.append("  none: put SNRCalculator() or RMSCalculator() before the report")
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flatten(key: str, table: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the numbers of a table and of nested tables, with their dotted names."""
    found: list[tuple[str, float]] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            found += _flatten(f"{key}.{name}", value)
        elif _is_number(value):
            found.append((f"{key}.{name}", value))
    return found


def _describe_channels(key: str, found: Mapping[str, Any]) -> str:
    values = found.get(f"{key}_per_channel")
    if values is None:
        return ""
    excluded = found.get(f"{key.removesuffix('_ratio')}_excluded", [])
    text = f"   {len(values) - len(excluded)} channels"
    return text + (f", without {', '.join(excluded)}" if excluded else "")


@register_processor
class PrintMetric(Processor):
    """Print some of the metrics computed so far, in one line.

    Parameters
    ----------
    *names : str
        Metrics, such as ``"snr"`` and ``"rms_ratio"``; by default all that are single numbers.
        Missing metrics are printed as ``not found``.
    label : str | None
        Text to print before the metrics.
    metric_names : sequence of str
        More names, as given in the description of a pipeline.
    """

    name = "print_metric"
    description = "Print some metrics"
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True
    output_only = True

    def __init__(
        self, *names: str, label: str | None = None, metric_names: Sequence[str] = ()
    ) -> None:
        self.names = (*names, *metric_names)
        self.label = label

    @property
    def metric_names(self) -> list[str]:
        """All names."""
        return list(self.names)

    def get_parameters(self) -> dict[str, Any]:
        """Return the names and the label."""
        return {"metric_names": self.metric_names, "label": self.label}

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Print the metrics, and return the context unchanged."""
        found = context.metadata.custom.get("metrics", {})
        names = self.names or [name for name, value in found.items() if _is_number(value)]
        text = ", ".join(_format(name, found.get(name)) for name in names) or "no metrics yet"
        print(f"{self.label}: {text}" if self.label else text)
        return context


def _format(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {write_metric(key, x)}" for key, x in _flatten(name, value))
    if value is None:
        return f"{name} not found"
    return f"{name} = {write_metric(name, value) if _is_number(value) else value}"
