"""Generate Python code that does the same as a panel."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facet_nb.core import LambdaProcessor, Pipeline, Processor
from facet_nb.io.sources import FORMATS
from facet_nb.models.literals import write_call, write_value
from facet_nb.models.sources import write_source

_INDENT = 8


def write_script(pipeline: Pipeline, source: Any, settings: Mapping[str, Any], target: str) -> str:
    """Return a complete script: it corrects a recording, prints a summary and writes the result.

    The script takes the recording and the file to write as arguments; without them it uses those
    given here. It ends with an error if the chain fails, or the recording is neither an argument
    nor known as a file or simulation.

    Parameters
    ----------
    pipeline, source, settings : object
        As for :func:`write_code`.
    target : str
        The file to write.

    Returns
    -------
    str
        Source code, ending with a newline.
    """
    if isinstance(source, (str, Path)):
        source = str(Path(source).absolute())
    text = write_code(pipeline, source, {**settings, "raise_on_error": True})
    head, _, body = text.partition("\n\n")
    known = next((x for x in body.splitlines() if x.startswith("context = ")), "")
    lost = "raw: the recording" in known or not known
    fallback = (
        'sys.exit("Name the recording: python correct.py RECORDING CORRECTED")'
        if lost
        else known.removeprefix("context = ")
    )
    rest = [x for x in body.splitlines() if x != known and not x.startswith("# context:")]
    imports = [x for x in head.splitlines() if not x.endswith("import ProcessingContext")]
    lines = [
        f"context = load(sys.argv[1]) if len(sys.argv) > 1 else {fallback}",
        *rest,
        "result.print_summary()",
        f"target = sys.argv[2] if len(sys.argv) > 2 else {quote(str(Path(target).absolute()))}",
        "export(result.context, target)",
        'print("Saved:", target)',
    ]
    merged = _merge_imports([*_join(imports), "from facet_nb import export, load"])
    return f"{_USAGE}\nimport sys\n\n" + "\n".join(merged) + f"\n\n{_guard(lines)}"


def write_study_script(
    pipeline: Pipeline, n_jobs: int, memory_budget: str, backend: str = ""
) -> str:
    """Return a complete script that corrects all recordings of a folder, several at once.

    The script takes the folder and that of its output as arguments. What is finished is left out
    when it runs again. It ends with an error if a recording fails.

    Parameters
    ----------
    pipeline : Pipeline
        The steps.
    n_jobs : int
        Recordings at once.
    memory_budget : str
        Limit of the memory of all recordings together, such as ``"16 GB"``; with Dask, of each
        worker.
    backend : {"", "dask"}
        Where the recordings run: processes of this machine, or a Dask cluster.

    Returns
    -------
    str
        Source code, ending with a newline.
    """
    head, _, body = write_code(pipeline, None, {}).partition("\n\n")
    steps = body.partition("\nresult = ")[0].splitlines()
    usage = f"python study{'_dask' if backend else ''}.py FOLDER [OUTPUT"
    usage += " [SCHEDULER]]" if backend else "]"
    lines = [
        "if len(sys.argv) < 2:",
        f'    sys.exit("Name the folder: {usage}")',
        "folder = Path(sys.argv[1])",
        'output = Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "corrected"',
        f"suffixes = {tuple(FORMATS)!r}".replace("'", '"'),
        "files = sorted(p for p in folder.iterdir() if p.name.lower().endswith(suffixes))",
        "if not files:",
        '    sys.exit(f"{folder} holds no recording.")',
        *(_CLUSTER.format(n_jobs=n_jobs).splitlines() if backend else ()),
        *steps,
        "results = pipeline.map(",
        "    files,",
        f"    n_jobs={n_jobs},",
        *([f"    backend={quote(backend)},"] if backend else ()),
        f"    memory_budget={quote(memory_budget)},",
        "    output=output,",
        "    resume=True,",
        ")",
        "results.print_summary()",
        "sys.exit(0 if all(result.success for result in results) else 1)",
    ]
    imports = "import sys\nfrom pathlib import Path\n\n"
    imports += "from dask.distributed import Client\n\n" if backend else ""
    title = f'"""Correct all recordings of a folder: {usage}"""'
    return f"{title}\n\n{imports}{head}\n\n{_guard(lines)}"


#: A scheduler that is named, or workers on this machine.
_CLUSTER = """\
if len(sys.argv) > 3:
    client = Client(sys.argv[3])
else:
    client = Client(n_workers={n_jobs}, threads_per_worker=1)
"""


def write_map(
    pipeline: Pipeline,
    places: Sequence[Any],
    entities: Mapping[str, Any],
    output: str,
    settings: Mapping[str, Any],
) -> str:
    """Return Python code that runs a study.

    Parameters
    ----------
    pipeline : Pipeline
        The steps.
    places, entities : object
        As for :func:`facet_nb.batch.make_study`; recordings in memory are named in a comment.
    output : str
        The output; empty for none.
    settings : mapping
        Options of :class:`facet_nb.Study`.
    """
    head, _, body = write_code(pipeline, None, {}).partition("\n\n")
    known = all(isinstance(place, (str, Path)) for place in places)
    lines = [] if known else [f"# recordings: {len(places)}, defined in this notebook"]
    lines += body.partition("result = pipeline.run(")[0].splitlines()
    listed = ", ".join(json.dumps(str(place), ensure_ascii=False) for place in places)
    arguments = [
        f"[{listed}]" if known else "recordings",
        *([repr(dict(entities))] * bool(entities)),
    ]
    given = {**({"output": output} if output else {}), **settings}
    # What is no literal, such as a function, keeps its name.
    arguments += [f"{key}={write_value(value) or key}" for key, value in given.items()]
    call = ["batch = make_study(", "    pipeline,", *[f"    {a}," for a in arguments], ").run()"]
    merged = _merge_imports([*_join(head.splitlines()), "from facet_nb.batch import make_study"])
    return "\n".join([*merged, "", *lines, *call, 'batch.report("study.html")']) + "\n"


def _guard(lines: list[str]) -> str:
    """Return lines that run only in the main process: workers import the file."""
    body = "\n".join(f"    {line}" if line else "" for line in lines)
    return f'if __name__ == "__main__":  # worker processes import this file\n{body}\n'


_USAGE = '"""Correct a recording: python correct.py [RECORDING [CORRECTED]]"""\n'


def _join(lines: list[str]) -> list[str]:
    """Return imports on one line each, without the parentheses of long ones."""
    text = "\n".join(lines).replace("(\n    ", "").replace(",\n)", "").replace(",\n    ", ", ")
    return text.splitlines()


def write_code(pipeline: Pipeline, source: Any, settings: Mapping[str, Any]) -> str:
    """Return Python code that runs `pipeline` on `source` with these settings.

    The code is complete if steps and source come from this package or other modules; comments name
    objects that are defined in the notebook only.

    Parameters
    ----------
    pipeline : Pipeline
        The steps; of each, the first argument and those that differ from their default are written.
    source : object
        As for :func:`facet_nb.models.as_context`.
    settings : mapping
        Arguments of :meth:`Pipeline.run`.

    Returns
    -------
    str
        Source code, ending with a newline.
    """
    imports, lines = write_source(source)
    steps, more_imports, notes = [], ["from facet_nb import Pipeline"], []
    for number, processor in enumerate(pipeline, 1):
        step, needed, remarks = _write_step(number, processor)
        steps.append(f"{' ' * _INDENT}{step},")
        more_imports += needed
        notes += remarks
    body = ["pipeline = Pipeline(", "    [", *steps, "    ]", ")"] if steps else _EMPTY
    has_context = source is not None
    arguments = [*(["context"] if has_context else []), *_write_settings(settings)]
    run = ["result = pipeline.run(", *[f"    {a}," for a in arguments], ")"]
    head = _merge_imports([*imports, *more_imports])
    blocks = [head, list(dict.fromkeys(notes)), lines, [*body, *run]]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


_EMPTY = ["pipeline = Pipeline([])"]


def _write_settings(settings: Mapping[str, Any]) -> list[str]:
    return [f"{k}={quote(v)}" for k, v in settings.items()]


def quote(value: Any) -> str:
    """Return `value` as Python code, strings in double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _write_step(number: int, processor: Processor) -> tuple[str, list[str], list[str]]:
    """Return the call, its imports, and comments on what the reader must supply."""
    if isinstance(processor, LambdaProcessor):
        return _write_function(number, processor)
    cls = type(processor)
    call, unknown = write_call(cls.__name__, _changed(processor), _INDENT)
    imports, notes = _import_of(cls)
    notes += [f"# {key}: your own object, an argument of {cls.__name__}" for key in unknown]
    return call, imports, notes


def _write_function(number: int, processor: LambdaProcessor) -> tuple[str, list[str], list[str]]:
    name = getattr(processor.func, "__name__", "")
    if not name.isidentifier():
        name = f"step_{number}"
        return name, [], [f"# {name}: your own function"]
    return name, *_import_of(processor.func)


def _import_of(value: Any) -> tuple[list[str], list[str]]:
    module, name = getattr(value, "__module__", None) or "__main__", value.__name__
    package = sys.modules.get(module.partition(".")[0])
    if module == "__main__" or not hasattr(sys.modules.get(module), name):
        return [], [f"# {name}: defined in this notebook"]
    if module.startswith("facet_nb.") and name in getattr(package, "__all__", ()):
        return [f"from facet_nb import {name}"], []
    return [f"from {module} import {name}"], []


def _changed(processor: Processor) -> dict[str, Any]:
    """Return the first argument, and those that differ from their default."""
    parameters = inspect.signature(type(processor).__init__).parameters
    given = processor.get_parameters()
    first = next(iter(given), None)
    return {
        k: v for k, v in given.items() if (k == first and v) or not _same(v, parameters[k].default)
    }


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and repr(value) == repr(default)


def _merge_imports(lines: list[str]) -> list[str]:
    """Join ``from x import a`` lines of the same module; facet_nb first."""
    names: dict[str, set[str]] = {}
    for line in lines:
        module, _, listed = line.removeprefix("from ").partition(" import ")
        names.setdefault(module, set()).update(listed.split(", "))
    ordered = sorted(names, key=lambda module: (not module.startswith("facet_nb"), module))
    return [_write_import(module, sorted(names[module])) for module in ordered]


def _write_import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 88:
        return line
    return "\n".join([f"from {module} import (", *[f"    {name}," for name in names], ")"])
