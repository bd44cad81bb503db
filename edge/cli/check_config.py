"""`sprout check-config FILE`: each fault of a file, with its line and its cure.  Asks no edge."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import show, terminal


def check_config(
    file: Annotated[Path, typer.Argument(help="provisioning.yaml, or a file of server types.")],
) -> None:
    """Name each fault of FILE with its line, its place and its cure.

    A provisioning.yaml is checked with the file of server types that it names.  Exit status: 0 the
    files are good, 1 they are not.
    """
    from edge.cli import config_faults

    found = config_faults.faults_of(file)
    if show.for_programs():
        show.data([{"file": str(path), **asdict(fault)} for path, fault in found])
    else:
        for path, fault in found:
            terminal.out(config_faults.line(path, fault))
        if not found:
            terminal.out(f"{file}: good")
    if found:
        raise typer.Exit(1)
