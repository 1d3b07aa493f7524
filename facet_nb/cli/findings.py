"""Findings on the command line: text on stderr, an exit code, and JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from facet_nb.cli.problems import to_line

if TYPE_CHECKING:
    from facet_nb.core import Finding, PipelineResult


def print_findings(findings: Iterable[Finding], prefix: str = "facet-nb") -> None:
    """Print findings on stderr, one per line."""
    sys.stdout.flush()
    for finding in findings:
        typer.echo(f"{prefix}: {to_line(finding)}", err=True)


def check_strict(strict: bool, findings: Iterable[Finding]) -> None:
    """End with exit code 2 if `strict`, and a finding is more than a note."""
    if strict and any(finding.severity != "note" for finding in findings):
        raise typer.Exit(2)


def describe_result(source: object, output: object, result: PipelineResult) -> dict[str, Any]:
    """Return a result as plain Python values."""
    state = result.state
    return {
        "input": str(source),
        "output": None if output is None else str(output),
        "success": result.success,
        "error": None if result.error is None else str(result.error),
        "time_s": result.execution_time,
        "steps": [
            {"name": name, "wall_s": wall, "cpu_s": cpu}
            for name, wall, cpu in zip(
                state.steps, state.step_wall_s, state.step_cpu_s, strict=True
            )
        ],
        # JSON has no NaN: values that cannot be measured are null.
        "metrics": {
            k: v if math.isfinite(v) else None
            for k, v in result.metrics.items()
            if isinstance(v, (int, float))
        },
        "quality": result.quality.to_dict(),
        "findings": [finding.to_dict() for finding in result.findings],
    }


def print_json(values: Any) -> None:
    """Print plain values as JSON on stdout."""
    typer.echo(json.dumps(values, indent=2, ensure_ascii=True))
