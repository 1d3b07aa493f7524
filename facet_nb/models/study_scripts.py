"""Scripts of a whole study: Python, the batch command, a SLURM array, and Dask."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from facet_nb.core import Pipeline
from facet_nb.io.sources import FORMATS
from facet_nb.models.codegen import write_study_script


@dataclass(frozen=True)
class ScriptTarget:
    """A kind of script.

    Attributes
    ----------
    label : str
        Its name on a button.
    file : str
        The file's name.
    usage : str
        How it is started.
    """

    label: str
    file: str
    usage: str


TARGETS = {
    "batch": ScriptTarget("Batch command", "study.sh", "bash study.sh FOLDER [OUTPUT]"),
    "slurm": ScriptTarget(
        "SLURM array", "study.sbatch", "sbatch study.sbatch FOLDER [OUTPUT]; one job per recording"
    ),
    "dask": ScriptTarget(
        "Dask", "study_dask.py", "python study_dask.py FOLDER [OUTPUT [SCHEDULER]]"
    ),
    "python": ScriptTarget("Python", "study.py", "python study.py FOLDER [OUTPUT]"),
}
#: What a job may take beyond the upper end of its time's interval, and its shortest limit in min.
_RESERVE, _LEAST_MIN = 2.0, 10


@dataclass(frozen=True)
class StudyShape:
    """Numbers that go into a script.

    Attributes
    ----------
    files, n_jobs : int
        Recordings, and how many run at once.
    memory_gb : float
        Memory of the machine, in GB.
    one_gb : float
        Memory that one recording takes, in GB.
    one_high_s : float
        Upper end of the time of one recording, in s; 0 if it is not known.
    """

    files: int
    n_jobs: int
    memory_gb: float
    one_gb: float = 0.0
    one_high_s: float = 0.0


def write_target(target: str, pipeline: Pipeline, shape: StudyShape) -> str:
    """Return a script that corrects all recordings of a folder.

    Parameters
    ----------
    target : {"batch", "slurm", "dask", "python"}
        Its kind; see :data:`TARGETS`.
    pipeline : Pipeline
        The steps.
    shape : StudyShape
        Numbers of the study.

    Returns
    -------
    str
        The script, ending with a newline.

    Raises
    ------
    FacetError
        If a step cannot be written down, such as a function of the notebook.
    """
    budget = f"{shape.memory_gb:g} GB"
    if target in ("python", "dask"):
        backend = "dask" if target == "dask" else ""
        return write_study_script(pipeline, shape.n_jobs, budget, backend)
    chain = pipeline.to_yaml().rstrip()
    Pipeline.from_yaml(chain)  # the script must be able to read it
    return (_write_slurm if target == "slurm" else _write_batch)(chain, shape, budget)


_HEAD = """\
set -euo pipefail
if [ $# -lt 1 ]; then echo "Name the folder: {usage}" >&2; exit 2; fi
folder=$1
output=${{2:-"$1/corrected"}}
mkdir -p "$output"
"""

_BATCH = """\
#!/bin/bash
# Correct all recordings of a folder: {usage}
{head}chain="$output/chain.yaml"
cat > "$chain" <<'CHAIN'
{chain}
CHAIN
exec facet-nb batch "$folder" --output "$output" --chain "$chain" \\
    --n-jobs {n_jobs} --memory-budget "{budget}" --resume
"""

_SLURM = """\
#!/bin/bash
# Correct all recordings of a folder, one job for each: {usage}
#SBATCH --job-name=facet_nb
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task=1
#SBATCH --mem={memory}
#SBATCH --time={minutes}
{head}mapfile -t files < <(find "$folder" -maxdepth 1 -type f \\
    -regextype posix-extended -iregex '.*({suffixes})' | sort)
if [ ${{#files[@]}} -eq 0 ]; then echo "$folder holds no recording." >&2; exit 1; fi
number=${{SLURM_ARRAY_TASK_ID:?start it with sbatch}}
if [ "$number" -ge ${{#files[@]}} ]; then echo "There is no recording $number."; exit 0; fi
if [ "$number" -eq {last} ] && [ ${{#files[@]}} -gt {files} ]; then
    echo "The array is too short: use --array=0-$((${{#files[@]}} - 1))." >&2; exit 1
fi
file=${{files[$number]}}
name=$(basename "$file")
name=${{name%.gz}}
target="$output/${{name%.*}}_corrected.fif"
if [ -e "$target" ]; then echo "$target exists."; exit 0; fi
chain=$(mktemp --suffix .yaml)
trap 'rm -f "$chain"' EXIT
cat > "$chain" <<'CHAIN'
{chain}
CHAIN
facet-nb run "$file" "$target" --chain "$chain" --n-jobs -1
"""


def _write_batch(chain: str, shape: StudyShape, budget: str) -> str:
    usage = TARGETS["batch"].usage
    head = _HEAD.format(usage=usage)
    return _BATCH.format(usage=usage, head=head, chain=chain, n_jobs=shape.n_jobs, budget=budget)


def _write_slurm(chain: str, shape: StudyShape, _budget: str) -> str:
    usage = TARGETS["slurm"].usage.partition(";")[0]
    minutes = math.ceil(_RESERVE * shape.one_high_s / 60)
    return _SLURM.format(
        usage=usage,
        head=_HEAD.format(usage=usage),
        chain=chain,
        files=shape.files,
        last=shape.files - 1,
        memory=f"{max(1, math.ceil(shape.one_gb or shape.memory_gb))}G",
        minutes=max(_LEAST_MIN, minutes),
        suffixes="|".join(map(re.escape, FORMATS)),
    )
