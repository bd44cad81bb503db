"""Memory of each process when nothing is asked of them: proportional set size, without QEMU."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.bench.first_light import say
from tests.bench.started import started

IDLE_S = 20.0
BUDGET_MB = 500.0
REHEARSAL = "deploy.rack"
"""A tool of rehearsal, shown but no part of the product."""


def measure(folder: Path) -> bool:
    """Print each process with its megabytes; return whether their sum keeps its bound."""
    with started(folder / "memory", "bios", folder / "images") as sprout:
        threading.Event().wait(IDLE_S)
        found = tree(sprout.supervisor.pid)
    say(f"memory: PSS in MB, {IDLE_S:.0f} s after active, without QEMU")
    for name, sizes in sorted(found.items(), key=lambda each: -sum(each[1])):
        each = " + ".join(f"{size:.1f}" for size in sorted(sizes, reverse=True))
        say(f"  {name:<20}{sum(sizes):8.1f}  {each if len(sizes) > 1 else ''}".rstrip())
    total = sum(map(sum, found.values()))
    say(f"  {'all':<20}{total:8.1f}  of at most {BUDGET_MB:.0f}")
    say(f"  {'without the rack':<20}{total - sum(found.get(REHEARSAL, ())):8.1f}")
    return total <= BUDGET_MB


def tree(root: int) -> Mapping[str, Sequence[float]]:
    """Return name → MB of each such process, of *root* and all below it but QEMU."""
    top = psutil.Process(root)
    sizes: dict[str, list[float]] = {}
    for process in [top, *top.children(recursive=True)]:
        try:
            name, size = _name(process.name(), process.cmdline()), process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        if not name.startswith("qemu"):
            sizes.setdefault(name, []).append(size / 1e6)
    return sizes


def _name(program: str, arguments: Sequence[str]) -> str:
    """Return what a process is called: its module where it is one of ours."""
    if program.startswith("python") and "-m" in arguments:
        return arguments[arguments.index("-m") + 1]
    return "sprout up" if "up" in arguments else program
