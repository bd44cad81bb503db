"""Results on standard output: tables for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import click
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def rows(found: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print a list; *columns* maps headings to the rows' names."""
    if as_json:
        click.echo(json.dumps(list(found), indent=2))
        return
    if not found:
        click.echo("none yet", err=True)
        return
    cells = [[_cell(row.get(name)) for name in columns.values()] for row in found]
    widths = [max(len(head), *(len(row[n]) for row in cells)) for n, head in enumerate(columns)]
    click.echo(_line([head.upper() for head in columns], widths))
    for row in cells:
        click.echo(_line(row, widths))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def record(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing, a field a line."""
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    width = max(len(name) for name in found)
    for name, value in found.items():
        click.echo(f"{name.ljust(width)}  {_cell(value)}")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
