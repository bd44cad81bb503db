"""The same by plain sushy: one thread for each BMC, which logs in, orders, and reads back.

python -m tests.bench.power_peer On|ForceOff RACK_JSON     prints the seconds of each, as JSON
"""

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sushy

PATIENCE_S = 60.0
READ_S = 0.1
"""Between two readings of the power state: what the product's driver begins with."""


def main() -> None:
    """Have all BMCs of the rack do one thing at once."""
    order, path = sys.argv[1:]
    rack = json.loads(Path(path).read_text())
    machines = rack["machines"]
    wanted = sushy.PowerState.ON if order == "On" else sushy.PowerState.OFF
    with ThreadPoolExecutor(len(machines)) as pool:
        times = list(pool.map(lambda each: _done(each, sushy.ResetType(order), wanted), machines))
    json.dump(times, sys.stdout)


def _done(machine: Mapping[str, Any], order: sushy.ResetType, wanted: sushy.PowerState) -> float:
    began = time.monotonic()
    bmc = machine["bmc"]
    password = Path(bmc["password_file"]).read_text().strip()
    root = sushy.Sushy(bmc["address"], username=bmc["username"], password=password)
    system = root.get_system(bmc["system"])
    if system.power_state is not wanted:
        system.reset_system(order)
    while system.power_state is not wanted:
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError(bmc["address"])
        time.sleep(READ_S)
        system.refresh()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
