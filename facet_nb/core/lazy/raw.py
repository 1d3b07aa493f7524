"""A recording whose samples are computed when MNE reads them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any

import mne
import numpy as np

from facet_nb.core.errors import ValidationError, check_extra
from facet_nb.core.recording import ANNOTATED, copy_annotations
from facet_nb.core.storage.originals import find_same, list_files, list_parts
from facet_nb.core.storage.raw_file import RawOnDemand

#: Of copies of annotations.
_lock = Lock()


class _Borrowed(mne.Annotations):  # type: ignore[misc]  # MNE ships no type information
    """Annotations whose dictionaries are copied when somebody asks for them.

    An hour has fifty thousand, nearly all empty; to make them takes longer than to compute a
    window.
    """

    @classmethod
    def of(cls, annotations: mne.Annotations) -> mne.Annotations:
        """Return a copy of annotations that nobody will change."""
        held = vars(annotations)
        if type(annotations) is not mne.Annotations or held.keys() != ANNOTATED:
            return copy_annotations(annotations)
        new: mne.Annotations = object.__new__(cls)
        for name, value in held.items():
            if name != "_extras":
                vars(new)[name] = value.copy() if isinstance(value, np.ndarray) else value
        vars(new)["_lent"] = annotations
        return new

    @property
    def _extras(self) -> Any:
        return self._settle()["_extras"]

    @_extras.setter
    def _extras(self, extras: Any) -> None:
        self._settle()["_extras"] = extras

    def _settle(self) -> dict[str, Any]:
        """Become ordinary annotations; return what they hold."""
        with _lock:  # another thread may have done it meanwhile
            held = self.__dict__
            if (lent := held.get("_lent")) is not None:
                held["_extras"] = copy_annotations(lent)._extras
                del held["_lent"]
                self.__class__ = mne.Annotations
        return held

    def __reduce_ex__(self, protocol: Any) -> Any:
        self._settle()
        return self.__reduce_ex__(protocol)  # now that of MNE's class


class LazyRaw(RawOnDemand, mne.io.BaseRaw):  # type: ignore[misc]  # MNE looks for BaseRaw here
    """A corrected recording, computed where it is read; see ``Pipeline.lazy``.

    It is an MNE ``Raw`` with ``preload=False``: ``get_data``, indexing, ``crop``, ``pick``,
    ``save``, ``compute_psd``, :class:`mne.Epochs` and :func:`mne.concatenate_raws` read windows of
    it. Methods that change samples need ``load_data()`` first, as those of any such recording.
    """

    def borrow_annotations(self, annotations: mne.Annotations) -> None:
        """Take a copy of annotations; their dictionaries when somebody asks for them."""
        self._annotations = _Borrowed.of(annotations)

    def save(self, fname: Any, *args: Any, **options: Any) -> Any:
        """Save the recording to a FIF file, as :meth:`mne.io.Raw.save` does.

        Parameters
        ----------
        fname : path
            The file; none that the recording is computed from.
        *args, **options
            As in MNE.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        ValidationError
            If `fname` is a file of the input, by any name.
        """
        self._check_target(fname)
        return super().save(fname, *args, **options)

    def export(self, fname: Any, *args: Any, **options: Any) -> None:
        """Export the recording, as :meth:`mne.io.Raw.export` does.

        Parameters
        ----------
        fname : path
            The file; none that the recording is computed from.
        *args, **options
            As in MNE.

        Raises
        ------
        ValidationError
            If `fname`, or a part of it, is a file of the input, by any name.
        """
        self._check_target(fname)
        super().export(fname, *args, **options)

    def _check_target(self, path: Any) -> None:
        """Raise :class:`ValidationError` if `path` is a file that this recording is made from."""
        # MNE compares names only, and only those that it reads itself.
        contexts = [extra["samples"].context for extra in self._raw_extras]
        read = list_files(context.get_raw_original() for context in contexts)
        for file in list_parts(Path(path).expanduser()):
            same = find_same(file, read)
            if same is not None:
                raise ValidationError(
                    f"{path}: this would replace {same}, from which the recording is computed. "
                    "Give another name."
                )

    def describe_steps(self) -> Any:
        """Return how each step is computed, as a table: ``step``, ``how``, ``why``."""
        check_extra("tables", "pandas")
        import pandas as pd

        rows = self._raw_extras[0]["samples"].describe()
        return pd.DataFrame(rows, columns=["step", "how", "why"])

    def with_parameters(self, step: str | int | None = None, **parameters: Any) -> LazyRaw:
        r"""Return the recording that the pipeline makes with other parameters of one step.

        It shares with this one what comes before the step: decisions, states, models and computed
        samples, and the cache. Later steps decide anew.

        Parameters
        ----------
        step : str | int | None
            Name or position of the step, as ``Pipeline.get_params`` has it. None for the only one
            that has these parameters.
        **parameters
            New values.

        Returns
        -------
        LazyRaw
            The whole recording; ``crop`` and ``pick`` are not repeated.

        Raises
        ------
        ValidationError
            If there is no such step or parameter, or several steps have it.

        Examples
        --------
        >>> from facet_nb import AASCorrection, LowPassFilter, Pipeline, TriggerDetector
        >>> from facet_nb.datasets import example
        >>> detect = TriggerDetector(regex=r"\b1\b")
        >>> lazy = Pipeline([detect, AASCorrection(), LowPassFilter(70.0)]).lazy(example().raw)
        >>> smoother = lazy.with_parameters("lowpass_filter", freq=40.0)
        >>> wider = smoother.with_parameters(window_size=40)
        """
        samples = self._raw_extras[0]["samples"]
        made: LazyRaw = samples.vary(samples.set_parameters(step, parameters))
        return made

    def with_steps(self, steps: Iterable[Any]) -> LazyRaw:
        """Return the recording after other steps, from the same input.

        It shares with this one what the first steps, as far as they are the same, have decided and
        computed, and the cache.

        Parameters
        ----------
        steps : iterable of Processor
            The steps, or a pipeline.

        Returns
        -------
        LazyRaw
            The recording.
        """
        # Copies: samples are computed later, when the caller may have changed the steps.
        made: LazyRaw = self._raw_extras[0]["samples"].vary(tuple(map(copy.copy, steps)))
        return made

    @property
    def cache_bytes(self) -> int:
        """Bytes that the cache holds now."""
        return int(self._raw_extras[0]["samples"].cache.n_bytes)

    @property
    def context(self) -> Any:
        """Triggers, other metadata and history behind this recording."""
        return self._raw_extras[0]["samples"].context
