"""Steps that run other steps: sequences, conditions and switches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.metadata import to_plain
from facet_nb.core.pipeline import Pipeline
from facet_nb.core.processor import NotingStep, Processor, as_processor
from facet_nb.core.registry import register_processor


class _Composite(NotingStep):
    """A step that runs other steps and stores their history entries in its own.

    The inner steps are chosen at run time, so a plan cannot include them: they run one after
    another on all channels, in every mode.
    """

    parallel_safe = False

    def choose(self, context: ProcessingContext) -> Sequence[Processor]:
        """Return the steps to run on `context`."""
        raise ValidationError(f"{type(self).__name__} has no choose(context) method.")

    def _run(self, context: ProcessingContext) -> tuple[ProcessingContext, dict[str, Any]]:
        """Return `context` after the chosen steps, with their findings, and their entries."""
        new = context
        for step in self.choose(context):
            new = step(new)
        done = new._history[len(context._history) :]
        new = new.with_findings([*chain.from_iterable(step.findings for step in done)])
        new._history = context._history
        return new, {
            "steps": [{"processor": s.name, "parameters": dict(s.parameters)} for s in done]
        }


@register_processor
class NoOpProcessor(Processor):
    """Do nothing, for a case of :class:`SwitchProcessor` that changes nothing."""

    name = "noop"
    description = "Do nothing"
    modifies_raw = False
    accepts_lazy = True

    def process(self, context: ProcessingContext) -> ProcessingContext:
        return context


@register_processor
class SequenceProcessor(_Composite):
    """Run several steps as one.

    The inner steps run one after another on all channels, in every mode. To use less memory or more
    workers, put them into the pipeline itself: ``Pipeline([*steps, …])`` gives the same result, and
    the mode applies to each step.

    Parameters
    ----------
    processors : sequence of Processor, callable or dict
        The steps; a dict describes a step, ``{"processor": name, "parameters": {…}}``.
    """

    name = "sequence"
    description = "Several steps as one"

    def __init__(self, processors: Sequence[Any] = ()) -> None:
        self.processors = [_as_step(step) for step in processors]

    def to_dict(self) -> dict[str, Any]:
        steps = [step.to_dict() for step in self.processors]
        return {"processor": self.name, "parameters": {"processors": steps}}

    def choose(self, context: ProcessingContext) -> Sequence[Processor]:
        return self.processors


@register_processor
class ConditionalProcessor(_Composite):
    """Run a step if a condition is true, otherwise another step or none.

    Parameters
    ----------
    condition : callable | str | bool
        A function of the context, or the name of a metadata entry: ``"volume_gaps"`` is a field
        of :class:`ProcessingMetadata` or an entry of its ``custom``, ``"metrics.snr"`` a nested
        entry; ``"triggers"`` is true if there are any. Functions cannot be saved to a file.
    processor : Processor, callable or dict
        The step to run if it is true.
    else_processor : Processor, callable, dict or None
        The step to run if it is false.
    """

    name = "conditional"
    description = "A step under a condition"

    def __init__(
        self,
        condition: Callable[[ProcessingContext], Any] | str | bool,
        processor: Any,
        else_processor: Any = None,
    ) -> None:
        self.condition = condition
        self.processor = _as_step(processor)
        self.else_processor = None if else_processor is None else _as_step(else_processor)

    def to_dict(self) -> dict[str, Any]:
        otherwise = self.else_processor
        parameters = {
            "condition": _describe(self.condition),
            "processor": self.processor.to_dict(),
            "else_processor": None if otherwise is None else otherwise.to_dict(),
        }
        return {"processor": self.name, "parameters": parameters}

    def choose(self, context: ProcessingContext) -> Sequence[Processor]:
        condition = self.condition
        holds = condition if isinstance(condition, bool) else _evaluate(condition, context)
        if hasattr(holds, "__len__"):
            holds = len(holds) > 0
        step = self.processor if holds else self.else_processor
        return [] if step is None else [step]


@register_processor
class SwitchProcessor(_Composite):
    """Run one of several steps.

    Parameters
    ----------
    selector : callable | str
        A function of the context that returns a key, or the name of a metadata entry, as in
        :class:`ConditionalProcessor`. Functions cannot be saved to a file.
    cases : mapping of key to Processor, callable or dict
        The steps by key. A key is looked up as it is, then as text, since files hold only text.
    default : Processor, callable, dict or None
        The step to run for other keys; by default they are an error.
    """

    name = "switch"
    description = "One of several steps"

    def __init__(
        self,
        selector: Callable[[ProcessingContext], Any] | str,
        cases: Mapping[Any, Any],
        default: Any = None,
    ) -> None:
        self.selector = selector
        self.cases = {key: _as_step(step) for key, step in cases.items()}
        self.default = None if default is None else _as_step(default)

    def to_dict(self) -> dict[str, Any]:
        parameters = {
            "selector": _describe(self.selector),
            "cases": {str(key): step.to_dict() for key, step in self.cases.items()},
            "default": None if self.default is None else self.default.to_dict(),
        }
        return {"processor": self.name, "parameters": parameters}

    def choose(self, context: ProcessingContext) -> Sequence[Processor]:
        key = to_plain(_evaluate(self.selector, context))
        step = self.cases.get(key, self.cases.get(str(key), self.default))
        if step is None:
            raise ValidationError(
                f"SwitchProcessor: no case {key!r} among "
                f"{', '.join(map(repr, self.cases))}. Add it, or give default=NoOpProcessor()."
            )
        return [step]


@register_processor
class RawTransform(Processor):
    """Change the recording with a function of MNE's ``raw``.

    The function gets all channels at once, in every mode. It must return a recording and must not
    change its argument: start with ``raw.copy()``.

    Functions cannot be saved to a file. For a pipeline that is saved, write a class with
    ``@register_processor``.

    Parameters
    ----------
    name : str
        Name of the step in plans and the history; the attribute is ``label``.
    func : callable
        ``func(raw) -> raw``.

    Examples
    --------
    >>> from facet_nb import RawTransform
    >>> RawTransform("average reference", lambda raw: raw.copy().set_eeg_reference()).label
    'average reference'
    """

    name = "raw_transform"
    description = "A function of the recording"
    requires_raw = True
    parallel_safe = False

    def __init__(self, name: str, func: Callable[[Any], Any]) -> None:
        self.name = name  # type: ignore[misc]
        self.func = func

    @property
    def label(self) -> str:
        """Name of the step."""
        return self.name

    def get_parameters(self) -> dict[str, Any]:
        return {"name": self.name, "func": _describe(self.func)}

    def to_dict(self) -> dict[str, Any]:
        return {"processor": type(self).name, "parameters": self.get_parameters()}

    def process(self, context: ProcessingContext) -> ProcessingContext:
        if not callable(self.func):
            raise ValidationError(
                f"{self.name}: {self.func!r} is not a function, since files cannot hold one. Give "
                "it again: RawTransform(name, func)."
            )
        new = self.func(context.get_raw())
        if not (hasattr(new, "info") and hasattr(new, "get_data")):
            raise ValidationError(
                f"{self.name}: the function returned {type(new).__name__}, not a recording. End it "
                "with 'return raw'."
            )
        return context.with_raw(new)


def _as_step(step: Any) -> Processor:
    """Return a step, built from its description if `step` is a dict."""
    if isinstance(step, Mapping):
        return Pipeline.from_dict({"processors": [step]})[0]
    return as_processor(step)


def _describe(rule: Any) -> Any:
    """Return a rule in a form that can be saved; a function is replaced by its name."""
    if isinstance(rule, (str, bool)):
        return rule
    return f"<function {getattr(rule, '__name__', type(rule).__name__)}>"


def _evaluate(rule: Callable[[ProcessingContext], Any] | str, context: ProcessingContext) -> Any:
    """Return the result of a function of the context, or the metadata entry of a name.

    Raises
    ------
    ValidationError
        If the text stands for a function that was saved to a file.
    """
    if callable(rule):
        return rule(context)
    if rule.startswith("<function"):
        raise ValidationError(
            f"{rule}: a function cannot be read from a file. Give the function again, or the name "
            "of a metadata field such as 'volume_gaps'."
        )
    first, *rest = rule.split(".")
    metadata = context.metadata
    known = {field.name for field in fields(metadata)}
    found = getattr(metadata, first) if first in known else None
    if found is None:
        found = metadata.custom.get(first)
    for key in rest:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
