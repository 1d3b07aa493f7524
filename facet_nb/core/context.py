"""The context: the data that a pipeline passes from step to step."""

from __future__ import annotations

import copy as _copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.errors import ValidationError, check_extra
from facet_nb.core.findings import Finding, make_finding, merge_findings, name_step
from facet_nb.core.metadata import Postponed, ProcessingMetadata, ProcessingStep, to_plain
from facet_nb.core.noise import Lineage, NoiseTerm, Step, follow, sum_noise

if TYPE_CHECKING:
    import mne


class ProcessingContext:
    """A recording with its triggers, metadata, estimated noise and history.

    Processors never change a context: they return a new one (``with_…``), which shares everything
    that did not change.

    Parameters
    ----------
    raw : mne.io.BaseRaw | None
        The recording, in V.
    raw_original : mne.io.BaseRaw | None
        The recording before any processing; `raw` itself by default. It is not copied.
    metadata : ProcessingMetadata | None
        Triggers and other metadata.
    """

    def __init__(
        self,
        raw: mne.io.BaseRaw | None = None,
        raw_original: mne.io.BaseRaw | None = None,
        metadata: ProcessingMetadata | None = None,
    ) -> None:
        for given in (raw, raw_original):
            _check_recording(given)
        self._raw = raw
        self._raw_original = raw_original if raw_original is not None else raw
        self._metadata = metadata if metadata is not None else ProcessingMetadata()
        self._history: tuple[ProcessingStep, ...] = ()
        self._findings: tuple[Finding, ...] = ()  # those of the step that is running
        self._cache: dict[str, Any] = {}
        self._lineage: Lineage | None = None
        self._noise: tuple[NoiseTerm, ...] = ()
        self._noise_array: np.ndarray | None = None

    # ------------------------------------------------------------------ recording
    def has_raw(self) -> bool:
        """Whether there is a recording."""
        return self._raw is not None

    def get_raw(self) -> mne.io.BaseRaw:
        """Return the recording (not a copy: take ``.copy()`` before changing it).

        Raises
        ------
        ValidationError
            If nothing has been loaded.
        """
        if self._raw is None:
            raise ValidationError(
                "The context holds no recording: begin the pipeline with Loader(path=…) or run it "
                "with initial_context=ProcessingContext(raw)."
            )
        return self._raw

    def get_raw_original(self) -> Any:
        """Return the recording before any processing, or None."""
        return self._raw_original

    def get_data(self, picks: Any = None, **kwargs: Any) -> np.ndarray:
        """Return samples in V, shape (n_channels, n_times); arguments as for ``raw.get_data``."""
        data: np.ndarray = self.get_raw().get_data(picks=picks, **kwargs)
        return data

    def to_data_frame(self, picks: Any = None, **kwargs: Any) -> Any:
        """Return the samples as a table: ``time`` in s, and a column for each channel.

        Parameters
        ----------
        picks : str | sequence of str | sequence of int | None
            Channels.
        **kwargs
            As for ``raw.to_data_frame``: units (by default EEG in µV), format of the times, and so
            on.

        Returns
        -------
        pandas.DataFrame
            The table.
        """
        check_extra("tables", "pandas")
        return self.get_raw().to_data_frame(picks=picks, **kwargs)

    def get_sfreq(self) -> float:
        """Return the sampling rate, in Hz."""
        return float(self.get_raw().info["sfreq"])

    def get_channel_names(self) -> list[str]:
        """Return the names of all channels."""
        return list(self.get_raw().ch_names)

    def get_n_channels(self) -> int:
        """Return the number of channels."""
        return len(self.get_raw().ch_names)

    def with_raw(self, raw: mne.io.BaseRaw, copy_metadata: bool = True) -> ProcessingContext:
        """Return a context with another recording; the estimated noise stays as it is."""
        _check_recording(raw)
        new = self._derive(raw=raw)
        if copy_metadata:
            new._metadata = self._metadata.copy()
        # The new samples may have any origin: the noise so far is bound to the samples of now.
        if any(term.open for term in self._noise):
            current = Lineage.begin(recording.open_array(self.get_raw()), self._noise)
            new._noise = tuple(term.freeze(current) for term in self._noise)
        new._lineage = None
        # A run may begin with an empty context: what its loader reads is the original.
        if new._raw_original is None:
            new._raw_original = raw
        return new

    # ------------------------------------------------------------------- triggers
    @property
    def metadata(self) -> ProcessingMetadata:
        """Triggers, artifact length and other metadata."""
        # Asked here: most metadata have nothing that was postponed.
        late = isinstance(self._metadata.triggers, Postponed)
        return self._metadata.settle() if late else self._metadata

    def with_metadata(self, metadata: ProcessingMetadata) -> ProcessingContext:
        """Return a context with other metadata."""
        new = self._derive()
        new._metadata = metadata
        return new

    def has_triggers(self) -> bool:
        """Whether there is at least one trigger."""
        return self._metadata.triggers is not None and len(self._metadata.triggers) > 0

    def get_triggers(self) -> np.ndarray | None:
        """Return trigger positions in samples from the start of the data, or None."""
        return self.metadata.triggers

    def with_triggers(self, triggers: Sequence[int] | np.ndarray) -> ProcessingContext:
        """Return a context with other triggers, in samples from the start of the data."""
        samples = check_triggers(triggers)
        new = self.with_metadata(self._metadata.updated(triggers=samples))
        return new.with_findings(self._check_given(triggers, samples))

    def _check_given(self, given: Any, samples: np.ndarray) -> tuple[Finding, ...]:
        """Return findings about given positions, and what became of them."""
        found, given = [], np.asarray(given, dtype=float)
        n = int(np.count_nonzero(given != np.rint(given)))
        if n:
            found.append(make_finding("triggers_rounded", f"{n} are between samples.", n=n))
        n = len(samples) - len(np.unique(samples))
        if n:
            detail = f"{n} triggers are at the sample of another."
            found.append(make_finding("triggers_repeated", detail, n=n))
        end = None if self._raw is None else int(self._raw.n_times)
        if end is not None and (n := int(np.count_nonzero((samples < 0) | (samples >= end)))):
            detail = f"{n} of {len(samples)} are outside the data (0 to {end - 1} samples)."
            found.append(make_finding("triggers_outside", detail, n=n))
        return name_step(found, "with_triggers")

    def with_trigger_samples(
        self,
        triggers: Sequence[int] | np.ndarray,
        *,
        artifact_length: int | None = None,
        tr_seconds: float | None = None,
        trigger_regex: str | None = None,
        custom: Mapping[str, Any] | None = None,
        samples_are_absolute: bool = False,
    ) -> ProcessingContext:
        """Return a context with triggers given as samples.

        Parameters
        ----------
        triggers : array of int, shape (n_triggers,)
            Positions, in samples.
        artifact_length : int | None
            Length of one artifact, in samples; by default from `tr_seconds`, or else the median
            distance of the triggers.
        tr_seconds : float | None
            Distance of two artifacts, in s.
        trigger_regex : str | None
            Recorded as the expression that found them.
        custom : dict | None
            Merged into ``metadata.custom``.
        samples_are_absolute : bool
            Whether positions count from sample 0 of the recorder (MNE's events do) rather than
            from the first sample of the data.
        """
        samples = check_triggers(triggers)
        if samples_are_absolute:
            samples = samples - self.get_raw().first_samp
        if artifact_length is None and tr_seconds is not None:
            artifact_length = round(tr_seconds * self.get_sfreq())
        if artifact_length is None and len(samples) > 1:
            # The median: pauses between volumes and missing triggers do not change it.
            artifact_length = int(np.median(np.diff(samples)))
        metadata = self._metadata.updated(triggers=samples, artifact_length=artifact_length)
        if trigger_regex is not None:
            metadata.trigger_regex = trigger_regex
        metadata.custom.update(custom or {})
        shift = self.get_raw().first_samp if samples_are_absolute else 0
        # As they were given: the samples are rounded, and the finding tells how many were not
        # whole.
        given = np.asarray(triggers, dtype=float) - shift
        return self.with_metadata(metadata).with_findings(self._check_given(given, samples))

    def with_mne_events(
        self,
        events: np.ndarray,
        *,
        event: int | str | None = None,
        event_id: dict[str, int] | None = None,
        artifact_length: int | None = None,
        tr_seconds: float | None = None,
        store_event_id: bool = True,
    ) -> ProcessingContext:
        """Return a context with triggers from an MNE events array, shape (n_events, 3).

        `event` picks one code, or one name of `event_id`; all events by default.
        """
        events = np.asarray(events)
        if event is not None:
            if isinstance(event, str):
                if not event_id or event not in event_id:
                    raise ValidationError(f"event {event!r} is not in event_id {event_id!r}.")
                event = event_id[event]
            events = events[events[:, 2] == event]
        custom = {"event_id": dict(event_id)} if event_id and store_event_id else None
        return self.with_trigger_samples(
            events[:, 0],
            artifact_length=artifact_length,
            tr_seconds=tr_seconds,
            custom=custom,
            samples_are_absolute=True,
        )

    def get_artifact_length(self) -> int | None:
        """Return the length of one artifact, in samples."""
        return self._metadata.artifact_length

    def get_metric(self, name: str, default: Any = None) -> Any:
        """Return one metric of an evaluation step."""
        return self._metadata.custom.get("metrics", {}).get(name, default)

    # ---------------------------------------------------------------------- noise
    def has_estimated_noise(self) -> bool:
        """Whether a correction has run, or noise was set."""
        return bool(self._noise)

    def get_estimated_noise(self) -> np.ndarray | None:
        """Return the noise that corrections removed, in V, shape (n_channels, n_times), or None.

        It is computed on the first call: the uncorrected signal is sent through the same linear
        steps, and the corrected one is subtracted. Channels that hold no data are zero.
        """
        if not self._noise:
            return None
        if self._noise_array is None:
            current = recording.open_array(self.get_raw())
            picks = recording.data_picks(self.get_raw())
            self._noise_array = sum_noise(self._noise, current, picks)
        return self._noise_array

    def set_estimated_noise(self, noise: np.ndarray) -> None:
        """Replace the estimated noise by an array in V, shape (n_channels, n_times)."""
        self._noise = (self._explicit(noise),)
        self._noise_array = None

    def accumulate_noise(self, noise: np.ndarray) -> None:
        """Add an array in V, shape (n_channels, n_times), to the estimated noise."""
        self._noise = (*self._noise, self._explicit(noise))
        self._noise_array = None

    def _explicit(self, noise: np.ndarray) -> NoiseTerm:
        # A copy: the caller may write to the array again.
        noise = np.array(noise, dtype=float)
        shape = (self.get_n_channels(), int(self.get_raw().n_times))
        if noise.shape != shape:
            raise ValidationError(f"noise has shape {noise.shape}; the recording has {shape}.")
        return NoiseTerm(Lineage.begin(noise), explicit=True)

    # -------------------------------------------------------------------- history
    def get_history(self) -> list[ProcessingStep]:
        """Return the processing steps so far, oldest first."""
        return list(self._history)

    def add_history_entry(
        self,
        name: str | None = None,
        processor_type: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        processor_name: str | None = None,
    ) -> None:
        """Append one entry to the history, with the findings that were added since the last one."""
        name = name or processor_name or "step"
        found = name_step(self._findings, name) if self._findings else ()
        entry = ProcessingStep(name, processor_type, to_plain(parameters or {}), findings=found)
        self._history, self._findings = (*self._history, entry), ()

    # ------------------------------------------------------------------- findings
    def add_finding(
        self, finding: Finding | str, detail: str = "", **options: Any
    ) -> ProcessingContext:
        """Return a context with one more finding of the step that is running.

        Parameters
        ----------
        finding : Finding | str
            A finding; or the code of one, which is made of `detail` and `options` as
            :func:`facet_nb.core.findings.make_finding` does.
        detail : str
            What was found here.
        **options
            ``severity``, ``title``, ``remedy``, ``channels``, ``span_s``, and evidence.
        """
        if not isinstance(finding, Finding):
            finding = make_finding(finding, detail, **options)
        return self.with_findings([finding])

    def with_findings(self, findings: Sequence[Finding]) -> ProcessingContext:
        """Return a context with more findings of the step that is running."""
        new = self._derive()
        new._findings = (*self._findings, *findings)
        return new

    def get_findings(self) -> tuple[Finding, ...]:
        """Return the findings of all steps so far, the most serious first, one for each code."""
        found = [finding for step in self._history for finding in step.findings]
        return merge_findings([*found, *self._findings])

    # ---------------------------------------------------------------------- cache
    def cache_get(self, key: str) -> Any:
        """Return a cached value, or None."""
        return self._cache.get(key)

    def cache_set(self, key: str, value: Any) -> None:
        """Keep a value with this context."""
        self._cache[key] = value

    def cache_has(self, key: str) -> bool:
        """Whether `key` is cached."""
        return key in self._cache

    def cache_clear(self) -> None:
        """Forget all cached values."""
        self._cache.clear()

    # ----------------------------------------------------------------------- copy
    def copy(self, deep: bool = False) -> ProcessingContext:
        """Return a copy; `deep` also copies the recording."""
        # A copy that is not deep shares the samples, which no step may change in place.
        new = self._derive(raw=self._raw.copy() if deep and self._raw is not None else self._raw)
        new._metadata = self._metadata.copy()
        return new

    def _derive(self, **changes: Any) -> ProcessingContext:
        """Return a context that shares everything except `changes` (``raw``, ``metadata``)."""
        new = _copy.copy(self)
        # Each has a dictionary of its own: what a step keeps must not appear in the context that it
        # was given.
        new._cache = dict(self._cache)
        if "raw" in changes:
            new._raw = changes["raw"]
            new._noise_array = None
        new._metadata = changes.get("metadata", self._metadata)
        return new

    def _moved(self, place: Callable[[Any], Any]) -> ProcessingContext:
        """Return a context whose noise refers to ``place(samples)`` instead of ``samples``."""
        new = self._derive()
        new._lineage = None if self._lineage is None else self._lineage.move(place)
        new._noise = tuple(term.move(place) for term in self._noise)
        return new

    def _portable(self) -> ProcessingContext:
        """Return a context that a worker can send back, without instances of notebook classes."""
        # Unpickling an instance of a class of __main__ would overwrite that class with the worker's
        # copy. If the noise needs such a step, it is computed here, in the worker.
        lineages = [self._lineage] if self._lineage is not None else []
        for term in self._noise:
            # Without `minus` a term ends with the current samples, whose lineage is in the list
            # already.
            lineages += [term.plus] if term.minus is None else [term.plus, term.minus]
        if not any(lineage.is_local() for lineage in lineages):
            return self
        new = self._derive()
        noise = self.get_estimated_noise()
        new._lineage = None
        new._noise = () if noise is None else (self._explicit(noise),)
        return new

    def _selected(self, raw: mne.io.BaseRaw, picks: list[int]) -> ProcessingContext:
        """Return the context of `raw`, which holds the channels `picks` of this recording."""
        new = self._derive(raw=raw)
        new._metadata = self._metadata.copy()
        if self._lineage is not None:
            new._lineage = self._lineage.select(picks)
        new._noise = tuple(term.select(picks) for term in self._noise)
        return new

    def _stepped(
        self, raw: mne.io.BaseRaw, steps: Sequence[Step], base: Any, picks: Sequence[int]
    ) -> ProcessingContext:
        """Return the context of `raw`, the result of `steps` on channels `picks`.

        `base` are the samples of this recording, or an object that reads them again.
        """
        new = self._derive(raw=raw)
        full = self._lineage or Lineage.begin(base, self._noise)
        new._lineage, new._noise = follow(full, self._noise, steps, picks)
        # Original samples are in memory anyway, so that the lineage may begin with them. Others
        # would be kept alive by it: their lineage begins with the first correction.
        original = self._raw_original
        kept = not isinstance(base, np.ndarray) or (
            original is not None and original.preload and original._data is base
        )
        if self._lineage is None and not kept and not any(term.open for term in new._noise):
            new._lineage = None
        return new

    def __or__(self, step: Callable[[ProcessingContext], ProcessingContext]) -> ProcessingContext:
        if not callable(step):
            return NotImplemented
        return step(self)

    def to_dict(self) -> dict[str, Any]:
        """Return metadata and history as plain Python values (no samples)."""
        history = [
            {"name": s.name, "processor_type": s.processor_type, "parameters": dict(s.parameters)}
            | ({"findings": [f.to_dict() for f in s.findings]} if s.findings else {})
            for s in self._history
        ]
        return {"metadata": self._metadata.to_dict(), "history": history}

    def __repr__(self) -> str:
        if self._raw is None:
            return "<ProcessingContext | nothing loaded>"
        n = 0 if self._metadata.triggers is None else len(self._metadata.triggers)
        return (
            f"<ProcessingContext | {self.get_n_channels()} channels × {self._raw.n_times} samples "
            f"at {self.get_sfreq():g} Hz, {n} triggers, {len(self._history)} steps>"
        )

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><th {left}>{escape(label)}</th><td {left}>{escape(text)}</td></tr>"
            for label, text in self._describe()
        )
        return (
            "<table><caption style='text-align:left'><b>ProcessingContext</b></caption>"
            f"<tbody>{rows}</tbody></table>"
        )

    def _describe(self) -> list[tuple[str, str]]:
        """Return what the context holds, as pairs of a label and a text."""
        steps = " → ".join(step.name for step in self._history) or "none"
        if self._raw is None:
            return [("recording", "none"), ("steps", steps)]
        sfreq, n_times = self.get_sfreq(), int(self._raw.n_times)
        kinds = Counter(self._raw.get_channel_types())
        bads = ", ".join(self._raw.info["bads"]) or "none"
        triggers = self.get_triggers()
        length = self.get_artifact_length()
        found = "none" if triggers is None else f"{len(triggers)}"
        if length is not None:
            found += f", artifacts of {length} samples ({1e3 * length / sfreq:.1f} ms)"
        return [
            ("channels", ", ".join(f"{n} {kind}" for kind, n in kinds.items())),
            ("bad channels", bads),
            ("duration", f"{n_times / sfreq:.2f} s, {n_times} samples at {sfreq:g} Hz"),
            ("triggers", found),
            ("estimated noise", "yes" if self._noise else "none"),
            ("steps", steps),
        ]


def is_recording(raw: Any) -> bool:
    """Whether `raw` is an MNE ``Raw`` object, or looks like one."""
    # Not isinstance: worker processes must not import MNE for this.
    return all(hasattr(raw, name) for name in ("info", "get_data", "first_samp"))


def apply_to_raw(function: Callable[[ProcessingContext], ProcessingContext], raw: Any) -> Any:
    """Return the recording that `function` makes of `raw`; they share no samples."""
    new = function(ProcessingContext(raw)).get_raw()
    # Only the bounds of the arrays are compared: to find out whether views really overlap can take
    # very long, and a copy too many does no harm.
    shared = new is raw or (
        new.preload and raw.preload and np.may_share_memory(new._data, raw._data)
    )
    return new.copy() if shared else new


def _check_recording(raw: Any) -> None:
    if raw is not None and not is_recording(raw):
        raise ValidationError(
            f"the recording is a {type(raw).__name__}, not an MNE Raw object: read a file with "
            "Loader(path=…), or make one with mne.io.RawArray(data, info)."
        )


def check_triggers(triggers: Any) -> np.ndarray:
    """Return `triggers`, rounded to whole samples, as a sorted one-dimensional int64 array.

    Raises
    ------
    ValidationError
        If they are not finite real numbers in one dimension.
    """
    array = np.asarray(triggers)
    # By type, as numpy drops the imaginary part of complex positions with a warning only.
    real = np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)
    if array.ndim != 1 or (array.size and not real):
        raise ValidationError("triggers must be a one-dimensional array of sample positions.")
    if array.size and not np.all(np.isfinite(array)):
        raise ValidationError("triggers must be finite sample positions.")
    # astype alone would cut off fractions. Steps take differences of neighbours: order matters.
    return np.sort(np.rint(array).astype(np.int64))
