"""Model of a chain that is being edited: steps, typed arguments and problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traitlets import HasTraits, Instance, Int, Tuple, Unicode

from facet_nb.core import LambdaProcessor, Pipeline, ProcessingContext, Processor, list_processors
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.models.checks import ChainCheck
from facet_nb.models.fields import Field, is_editable, list_fields


@dataclass(frozen=True)
class ChainStep:
    """One step of a chain.

    Attributes
    ----------
    processor : Processor | None
        The processor; None while an argument is not valid.
    cls : type
        Its class.
    texts : tuple of (str, str)
        Names and typed texts of arguments; missing arguments have their default.
    enabled : bool
        Whether the step is part of the pipeline.
    problems : tuple of (str, str)
        Names of arguments and their problems; an empty name stands for the step as a whole.
    """

    processor: Processor | None
    cls: type[Processor]
    texts: tuple[tuple[str, str], ...] = ()
    enabled: bool = True
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Registry name of its class."""
        return self.cls.name

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its arguments; none for a plain function."""
        return () if issubclass(self.cls, LambdaProcessor) else list_fields(self.cls)

    def text(self, name: str) -> str:
        """Return the text of a field."""
        return dict(self.texts).get(name, "")

    def problem(self, name: str = "") -> str:
        """Return the problem of a field, or of the step; empty if there is none."""
        return dict(self.problems).get(name, "")


class ChainModel(HasTraits):
    """A list of steps with a selection: the logic of a chain editor, without widgets.

    Parameters
    ----------
    pipeline : Pipeline | None
        The initial pipeline.
    context : ProcessingContext | None
        The recording on which arguments are checked.

    Attributes
    ----------
    steps : tuple of ChainStep
        The steps in order.
    selected : int
        Index of the selected step; −1 if there is none.
    pipeline : Pipeline
        The enabled steps; while an argument is not valid, the last valid pipeline.
    problem : str
        Why the chain cannot run; empty if it can.
    name : str
        Name of the chain.

    Examples
    --------
    >>> from facet_nb import HighPassFilter, Pipeline
    >>> from facet_nb.models import ChainModel
    >>> chain = ChainModel(Pipeline([HighPassFilter(1.0)]))
    >>> chain.set_text("freq", "one")
    >>> chain.problem
    "Step 1 (highpass_filter): freq: 'one' is not a number."
    """

    steps = Tuple()
    selected = Int(-1)
    pipeline = Instance(Pipeline)
    problem = Unicode("")
    name = Unicode("Pipeline")

    def __init__(
        self, pipeline: Pipeline | None = None, context: ProcessingContext | None = None
    ) -> None:
        super().__init__(pipeline=Pipeline() if pipeline is None else pipeline)
        self.check = ChainCheck(context)
        self.set_pipeline(self.pipeline)

    # ------------------------------------------------------------------------------- as a whole
    def set_pipeline(self, pipeline: Pipeline) -> None:
        """Show another pipeline."""
        with self.hold_trait_notifications():
            self.name = pipeline.name
            self.selected = min(max(self.selected, 0), len(pipeline) - 1)
            self._set([_step_of(p) for p in pipeline])

    def set_context(self, context: ProcessingContext | None) -> None:
        """Set the recording on which arguments are checked."""
        self.check = ChainCheck(context)
        self._set(self.steps)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """Return the enabled steps as YAML; also write them to `path` if given."""
        return self.pipeline.to_yaml(path)

    def load_yaml(self, source: str | Path) -> None:
        """Load the steps of a YAML file or text.

        Raises
        ------
        ValidationError
            If it cannot be read; the chain is not changed.
        """
        self.set_pipeline(Pipeline.from_yaml(source))

    def use_chain(self, name: str) -> None:
        """Show a ready-made chain, for the triggers of the present one.

        Parameters
        ----------
        name : str
            A key of :data:`facet_nb.pipelines.CHAINS`: ``"gradient"``, the default, or
            ``"classic"``.

        Raises
        ------
        ValidationError
            If there is no such chain.
        """
        from facet_nb.preprocessing import TriggerDetector

        chains = list_chains()
        if name not in chains:
            raise ValidationError(f"there is no chain {name!r}: use {', '.join(chains)}.")
        known = [p.regex for p in self.pipeline if isinstance(p, TriggerDetector)]
        self.set_pipeline(chains[name](*known[:1]))

    @staticmethod
    def list_classes() -> dict[str, type[Processor]]:
        """Return the processors that can be added, by name."""
        return {n: c for n, c in list_processors().items() if is_editable(c)}

    # ----------------------------------------------------------------------------- single steps
    def add(self, name: str) -> None:
        """Insert a step after the selected one and select it.

        Raises
        ------
        ValidationError
            If there is no such processor.
        """
        classes = self.list_classes()
        if name not in classes:
            raise ValidationError(f"processor {name!r} cannot be added: see list_classes().")
        position = self.selected + 1
        steps = list(self.steps)
        steps.insert(position, _build(classes[name], ()))
        with self.hold_trait_notifications():
            self._set(steps)
            self.selected = position

    def remove(self) -> None:
        """Remove the selected step."""
        if not self.steps:
            return
        steps = list(self.steps)
        del steps[self.selected]
        with self.hold_trait_notifications():
            self._set(steps)
            self.selected = min(self.selected, len(steps) - 1)

    def move(self, by: int) -> None:
        """Move the selected step down by `by` positions (up if negative), at most to the end."""
        here = self.selected
        there = min(max(here + by, 0), len(self.steps) - 1)
        if here < 0 or there == here:
            return
        steps = list(self.steps)
        steps.insert(there, steps.pop(here))
        with self.hold_trait_notifications():
            self._set(steps)
            self.selected = there

    def enable(self, enabled: bool) -> None:
        """Enable or disable the selected step."""
        self._change(enabled=enabled)

    def set_text(self, name: str, text: str, index: int | None = None) -> None:
        """Set an argument of a step from a typed text.

        A text that is not valid is kept and listed in the problems of the step.

        Parameters
        ----------
        name : str
            Name of the argument.
        text : str
            The typed text.
        index : int | None
            Index of the step; None for the selected one.
        """
        if not self.steps:
            return
        step = self.steps[self.selected if index is None else index]
        texts = {**dict(step.texts), name: text}
        built = _build(step.cls, tuple(texts.items()))
        changes = {"texts": built.texts, "problems": built.problems}
        self._change(index, processor=built.processor, **changes)

    def set_value(self, name: str, value: Any) -> None:
        """Set an argument of the selected step."""
        fields = {f.name: f for f in self.steps[self.selected].fields}
        if name not in fields:
            raise ValidationError(f"{self.steps[self.selected].name} has no argument {name!r}.")
        self.set_text(name, fields[name].write(value))

    def use_trigger(self, description: str) -> None:
        """Set the first trigger detector to events of this description; add one if needed."""
        if all(step.name != "trigger_detector" for step in self.steps):
            self.selected = -1
            self.add("trigger_detector")
        self.selected = [step.name for step in self.steps].index("trigger_detector")
        self.set_text("regex", f"^{re.escape(description)}$")

    # ------------------------------------------------------------------------------------ inner
    def _change(self, index: int | None = None, **changes: Any) -> None:
        if not self.steps:
            return
        index, steps = self.selected if index is None else index, list(self.steps)
        steps[index] = replace(steps[index], **changes)
        self._set(steps)

    def _set(self, steps: Sequence[ChainStep]) -> None:
        """Check the steps and set the traits derived from them."""
        steps = self._judge(steps)
        problem = next(filter(None, map(_describe, range(len(steps)), steps)), "")
        with self.hold_trait_notifications():
            self.steps, self.problem = tuple(steps), problem
            if all(step.processor is not None for step in steps if step.enabled):
                enabled = [s.processor for s in steps if s.enabled and s.processor is not None]
                if enabled != self.pipeline.processors or self.name != self.pipeline.name:
                    self.pipeline = Pipeline(enabled, self.name)

    def _judge(self, steps: Sequence[ChainStep]) -> list[ChainStep]:
        """Return the steps with the problems found in the enabled ones."""
        active = [i for i, s in enumerate(steps) if s.enabled and s.processor is not None]
        complaints = self.check.find_problems(
            [p for i in active if (p := steps[i].processor) is not None]
        )
        said = dict(zip(active, complaints, strict=True))
        judged = []
        for i, step in enumerate(steps):
            own = tuple((k, v) for k, v in step.problems if k)
            judged.append(replace(step, problems=own + (("", said[i]),) if said.get(i) else own))
        return judged


def _step_of(processor: Processor) -> ChainStep:
    cls = type(processor)
    if issubclass(cls, LambdaProcessor):
        return ChainStep(processor, cls)
    given = processor.get_parameters()
    texts = [(f.name, f.write(given[f.name])) for f in list_fields(cls) if f.name in given]
    return ChainStep(processor, cls, tuple(texts))


def _build(cls: type[Processor], texts: tuple[tuple[str, str], ...]) -> ChainStep:
    """Return a step with typed arguments."""
    typed, values, problems = dict(texts), {}, []
    for field in list_fields(cls):
        text = typed.setdefault(field.name, field.write(field.default))
        try:
            values[field.name] = field.read(text)
        except ValidationError as error:
            problems.append((field.name, _explain(field, text, error)))
    shown = tuple(typed.items())
    if problems:
        return ChainStep(None, cls, shown, problems=tuple(problems))
    try:
        return ChainStep(_make(cls, values), cls, shown)
    except (FacetError, TypeError, ValueError) as error:
        return ChainStep(None, cls, shown, problems=(("", str(error)),))


def _make(cls: type[Processor], values: dict[str, Any]) -> Processor:
    """Return the processor; the list of an argument ``*names`` is unpacked."""
    import inspect

    parameters = inspect.signature(cls.__init__).parameters
    starred = [n for n, p in parameters.items() if p.kind is inspect.Parameter.VAR_POSITIONAL]
    rest = [item for name in starred for item in values.pop(name)]
    return cls(*rest, **values)


def _explain(field: Field, text: str, error: ValidationError) -> str:
    if not text.strip():
        return f"{field.name}: give {field.expected}."
    return str(error)


def _describe(index: int, step: ChainStep) -> str:
    if not step.enabled or not step.problems:
        return ""
    return f"Step {index + 1} ({step.name}): {step.problems[0][1]}"


def list_chains() -> dict[str, Callable[..., Pipeline]]:
    """Return the ready-made chains by name, the default one first."""
    from facet_nb.pipelines import CHAINS  # lazy: it imports all steps

    return CHAINS


def make_default_chain() -> Pipeline:
    """Return the chain that panels and commands run if none is given."""
    return next(iter(list_chains().values()))()
