"""Report errors as one line on stderr, with an exit code."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def report_errors(debug: bool) -> Iterator[None]:
    """Turn a FacetError into one line on stderr and exit code 1.

    Parameters
    ----------
    debug : bool
        Whether to print the traceback first, including that of a worker.
    """
    from facet_nb.core.errors import FacetError

    try:
        yield
    except FacetError as error:
        if debug:
            traceback.print_exc()
            remote = getattr(error, "remote_traceback", None)
            if remote and error.__cause__ is None:  # otherwise print_exc has printed it
                typer.echo(f"In the step:\n{remote}", err=True)
        sys.stdout.flush()
        typer.echo(f"facet-nb: {to_line(error)}", err=True)
        raise typer.Exit(1) from error


def to_line(text: object) -> str:
    """Return `text` in one line, with control characters escaped."""
    line = re.sub(r"\s*[\r\n]+\s*", " ", str(text).strip())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
