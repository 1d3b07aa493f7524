"""Run a program, and print what each run of a pipeline told behind what the program prints.

    python tests/cases/watch.py PROGRAM.py

After each ``Pipeline.run`` of the program's own process, a line ``told: CODE …`` lists the codes
of its findings and the measures of quality that are beyond their limits.
"""

from __future__ import annotations

import functools
import runpy
import sys
from typing import Any

from facet_nb import Pipeline


def list_told(result: Any) -> list[str]:
    """Return codes of findings, and names of measures that are beyond their limits."""
    codes = {finding.code for finding in result.findings}
    if result.success:
        codes |= {m.name for m in result.quality.measures if m.verdict == "check"}
    return sorted(codes)


def main() -> None:
    """Run the program that the command line names."""
    run = Pipeline.run

    @functools.wraps(run)
    def run_and_tell(self: Pipeline, *args: Any, **kwargs: Any) -> Any:
        result = run(self, *args, **kwargs)
        print("told:", *list_told(result), flush=True)
        return result

    Pipeline.run = run_and_tell  # type: ignore[method-assign]
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
