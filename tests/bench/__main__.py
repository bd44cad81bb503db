"""`make bench`: the figures, each with its bound where it has one; status 1 when one is broken.

python -m tests.bench [FIGURE...] [--rounds N]     all of FIGURES by default
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from tests.bench import (
    answers,
    api,
    broker,
    dhcp,
    dhcp_starvation,
    dns,
    failover,
    first_light,
    fleet,
    http,
    imports,
    live,
    memory,
    power,
    queues,
    router,
    ssh,
    storm,
    sync,
    tftp,
    workflows,
)

Measure = Callable[[Path, int], bool]
"""Prints figures, with a folder of its own and so many rounds; whether they keep their bounds."""

FIGURES: Mapping[str, Measure] = MappingProxyType(
    {
        "first-light": lambda folder, rounds: first_light.measure(folder.parent, rounds),
        "memory": lambda folder, _: memory.measure(folder.parent),
        "queues": lambda folder, _: queues.measure(folder),
        "workflows": lambda folder, _: workflows.measure(folder),
        "power": lambda folder, _: power.measure(folder),
        "ssh": lambda folder, _: ssh.measure(folder),
        "fleet": lambda folder, _: fleet.measure(folder),
        "failover": lambda folder, _: failover.measure(folder),
        "events": lambda folder, _: live.measure(folder),
        "dashboards": lambda folder, _: live.dashboards(folder),
        "api": lambda folder, _: api.measure(folder),
        "router": router.measure,
        "dhcp": lambda folder, _: dhcp.measure(folder / "dhcp"),
        "dhcp-starvation": lambda folder, _: dhcp_starvation.measure(folder),
        "dns": lambda folder, _: dns.measure(folder),
        "tftp": lambda folder, _: tftp.measure(folder),
        "answers": lambda folder, _: answers.measure(folder),
        "http": lambda folder, _: http.measure(folder),
        "storm": lambda folder, _: storm.measure(folder),
        "import": lambda folder, _: imports.measure(folder),
        "sync": lambda folder, _: sync.measure(folder),
        "broker": lambda _, __: broker.main() is None,
    }
)


def main() -> int:
    """Take the figures that were asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], metavar=" | ".join(FIGURES))
    parser.add_argument("--rounds", type=int, default=1, help="machines booted for each figure")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="sprout-bench-") as name:
        good = [
            measure(Path(name) / figure, asked.rounds)
            for figure, measure in FIGURES.items()
            if figure in (asked.figures or FIGURES)
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
