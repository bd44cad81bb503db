"""`make bench`: the figures, each with its bound where it has one; status 1 when one is broken.

python -m tests.bench [first-light] [memory] [broker] [queues] [workflows] [fleet] [failover]
                     [--rounds N]
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import broker, failover, first_light, fleet, memory, queues, workflows

FIGURES = ("first-light", "memory", "broker", "queues", "workflows", "fleet", "failover")


def main() -> int:
    """Take the figures that were asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], metavar=" | ".join(FIGURES))
    parser.add_argument("--rounds", type=int, default=1, help="first lights of each firmware")
    asked = parser.parse_args()
    wanted, good = asked.figures or FIGURES, True
    with TemporaryDirectory(prefix="sprout-bench-") as name:
        folder = Path(name)
        if "first-light" in wanted:
            good &= first_light.measure(folder, asked.rounds)
        if "memory" in wanted:
            good &= memory.measure(folder)
        if "queues" in wanted:
            good &= queues.measure(folder / "queues")
        if "workflows" in wanted:
            good &= workflows.measure(folder / "workflows")
        if "fleet" in wanted:
            good &= fleet.measure(folder / "fleet")
        if "failover" in wanted:
            good &= failover.measure(folder / "failover")
    if "broker" in wanted:
        broker.main()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
