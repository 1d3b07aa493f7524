"""A table of all metrics."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.processor import Processor
from facet_nb.core.registry import register_processor


@register_processor
class MetricsReport(Processor):
    """Print all metrics that were found so far, and keep them under a name.

    A copy goes to ``metadata.custom["reports"][name]`` and, if given, to ``store[name]``: several
    pipelines with one store can be compared, as in ``pandas.DataFrame(store)``.

    Parameters
    ----------
    name : str | None
        Name of the report; ``Result_1``, ``Result_2`` … by default. The attribute is
        ``report_name``, because a processor's ``name`` is that of its class.
    store : dict | None
        Where to put the copy. It is changed, and is no part of the pipeline's description. Where
        many files run in processes of their own, read ``custom["reports"]`` of their results.
    """

    name = "metrics_report"
    description = "Print all metrics"
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True

    def __init__(
        self, name: str | None = None, store: MutableMapping[str, Any] | None = None
    ) -> None:
        self.report_name = name
        self.store = store

    def get_parameters(self) -> dict[str, Any]:
        return {"name": self.report_name}

    def process(self, context: ProcessingContext) -> ProcessingContext:
        metadata = context.metadata.copy()
        found = metadata.custom.get("metrics", {})
        reports = metadata.custom.setdefault("reports", {})
        names = reports if self.store is None else self.store
        name = self.report_name or f"Result_{len(names) + 1}"
        print(format_report(name, found))
        reports[name] = copy.deepcopy(found)
        if self.store is not None:
            self.store[name] = copy.deepcopy(found)
        new = context.with_metadata(metadata)
        new._noise_array = context._noise_array
        return new


def format_report(name: str, found: Mapping[str, Any]) -> str:
    """Return metrics as text: one line for each that is a single number.

    Parameters
    ----------
    name : str
        Headline.
    found : mapping
        Metrics by name; lists over channels are told by their number of channels, and channels
        that were left out by their names. Tables of numbers are told number by number.
    """
    lines = [f"Metrics: {name}"]
    for key, value in found.items():
        if isinstance(value, Mapping):
            lines += [f"  {name:<24}{x:>12.4g}" for name, x in _flatten(key, value)]
        elif _is_number(value):
            lines.append(f"  {key:<24}{value:>12.4g}{_describe_channels(key, found)}")
    if len(lines) == 1:
        lines.append("  none: put SNRCalculator() or RMSCalculator() before the report")
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flatten(key: str, table: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the numbers of a table and of the tables in it, with their whole names."""
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
    """Print some of the metrics that were found so far, in one line.

    Parameters
    ----------
    *names : str
        Metrics, such as ``"snr"`` and ``"rms_ratio"``; all that are single numbers by default. One
        that has not been found is told as such.
    label : str | None
        What to print before them.
    metric_names : sequence of str
        More names: how a description of a pipeline gives them.
    """

    name = "print_metric"
    description = "Print some metrics"
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True

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
        return {"metric_names": self.metric_names, "label": self.label}

    def process(self, context: ProcessingContext) -> ProcessingContext:
        found = context.metadata.custom.get("metrics", {})
        names = self.names or [name for name, value in found.items() if _is_number(value)]
        told = ", ".join(_tell(name, found.get(name)) for name in names) or "no metrics yet"
        print(f"{self.label}: {told}" if self.label else told)
        return context


def _tell(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {x:.4g}" for key, x in _flatten(name, value))
    if value is None:
        return f"{name} not found"
    return f"{name} = {value:.4g}" if _is_number(value) else f"{name} = {value}"
