"""Metadata of a recording: triggers, artifact length, processing history."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from facet_nb.core.findings import Finding


class Postponed:
    """Whole numbers, in the place of an array of them.

    NumPy's functions take it for the array, and a copy or a pickle of it is the array.

    Parameters
    ----------
    length : int
        How many there are.
    find : callable
        Returns them; called once, or by several threads at the same time.
    """

    def __init__(self, length: int, find: Callable[[], np.ndarray]) -> None:
        self._length, self._find = length, find
        self._found: np.ndarray | None = None

    def __len__(self) -> int:
        return self._length

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._found is None:
            self._found = np.asarray(self._find(), dtype=np.int64)
        return np.array(self._found, dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return np.array, (np.asarray(self),)

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> Postponed:
        """Return changed positions; the change is computed on their first use as well."""
        return Postponed(self._length, lambda: change(np.asarray(self)))


@dataclass
class ProcessingMetadata:
    """Triggers and other information that steps pass on to later steps.

    Sample positions count from the first sample of the data (not from ``first_samp``) at the
    current sampling rate.

    Attributes
    ----------
    triggers : ndarray of int, shape (n_triggers,) | None
        Trigger positions, in samples.
    trigger_regex : str | None
        The regular expression that found them.
    artifact_to_trigger_offset : float
        Start of the artifact relative to its trigger, in s (negative: before it).
    acq_start_sample, acq_end_sample : int | None
        First and last sample of the acquisition.
    pre_trigger_samples, post_trigger_samples : int | None
        Extent of an epoch around its trigger, in samples.
    upsampling_factor : int
        Current rate over the original rate.
    artifact_length : int | None
        Length of one artifact, in samples.
    slices_per_volume : int | None
        Number of slice triggers in one volume, if gaps between volumes reveal it.
    volume_gaps : bool
        Whether pauses separate volumes.
    ref_channel : str | None
        Reference channel of steps that ask for none, chosen when triggers were first known.
    custom : dict
        Other values; ``custom["metrics"]`` holds the results of evaluation steps.
    """

    triggers: np.ndarray | None = None
    trigger_regex: str | None = None
    artifact_to_trigger_offset: float = 0.0
    acq_start_sample: int | None = None
    acq_end_sample: int | None = None
    pre_trigger_samples: int | None = None
    post_trigger_samples: int | None = None
    upsampling_factor: int = 1
    artifact_length: int | None = None
    slices_per_volume: int | None = None
    volume_gaps: bool = False
    custom: dict[str, Any] = field(default_factory=dict)
    ref_channel: str | None = None

    def copy(self, **changes: Any) -> ProcessingMetadata:
        """Return an independent copy, with the given fields changed."""
        # These two are the fields that can be changed in place: contexts before and after a step
        # share nothing of them. Others are numbers and text.
        shared = self.triggers is None or isinstance(self.triggers, Postponed)
        own = {
            "triggers": self.triggers if shared else np.array(self.triggers),
            "custom": copy.deepcopy(self.custom),
        }
        return replace(self, **{**own, **changes})

    updated = copy

    def settle(self) -> ProcessingMetadata:
        """Compute what was postponed, in place; return the metadata."""
        if isinstance(self.triggers, Postponed):
            self.triggers = np.asarray(self.triggers)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values."""
        own = self.settle()
        return {f.name: to_plain(getattr(own, f.name)) for f in fields(own)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProcessingMetadata:
        """Create metadata from the output of :meth:`to_dict`; unknown fields are ignored."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in values.items() if k in known}
        if kept.get("triggers") is not None:
            kept["triggers"] = np.asarray(kept["triggers"], dtype=np.int64)
        return cls(**kept)


@dataclass(frozen=True)
class ProcessingStep:
    """One entry of the history: what was done, with which parameters.

    The first step of a run with ``mode="auto"`` also has the `advice` that was followed: settings,
    reason and forecast. It is not part of the result: entries that differ only in it are equal.
    `findings` are those that the step raised.
    `compiled` names the compiled kernels that the run could use; all others ran in NumPy.
    """

    name: str
    processor_type: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    advice: Mapping[str, Any] | None = field(default=None, compare=False)
    findings: tuple[Finding, ...] = ()
    compiled: tuple[str, ...] = field(default=(), compare=False)

    @property
    def processor_name(self) -> str:
        """The step's name."""
        return self.name


def to_plain(value: Any) -> Any:
    """Return `value` as plain Python (lists, dicts, numbers, text), for YAML, JSON and history."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    # Before the tests for numbers: NumPy's float64 is a float of Python as well, and YAML refuses
    # it all the same.
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(zip(map(str, value), map(to_plain, value.values()), strict=True))
    if isinstance(value, (list, tuple, set)):
        return list(map(to_plain, value))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    # Paths, functions and classes, which YAML and JSON refuse.
    return str(value)
