"""Tables that benchmarks write into pages of the documentation, row by row."""

from __future__ import annotations

from pathlib import Path


def put_row(page: Path, table: str, name: str, cells: list[str]) -> None:
    """Replace the row of a table that begins with `name`, or append it.

    The table follows the comment ``<!-- table: … -->`` with its name. Rows that are not measured
    again stay, so that a long benchmark can run in pieces.
    """
    lines = page.read_text(encoding="utf-8").split("\n")
    begin = lines.index(f"<!-- table: {table} -->")
    while not lines[begin].startswith("|---"):
        begin += 1
    end = begin
    while lines[end].startswith("|"):
        end += 1
    row = "| " + " | ".join([name, *cells]) + " |"
    known = [i for i in range(begin, end) if lines[i].startswith(f"| {name} |")]
    lines[known[0] if known else end : known[0] + 1 if known else end] = [row]
    page.write_text("\n".join(lines), encoding="utf-8")


def write_db(value: float) -> str:
    """Return a level in dB with one decimal and a minus sign."""
    return f"{value + 0.0:.1f}".replace("-0.0", "0.0").replace("-", "−")
