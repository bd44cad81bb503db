"""`python -m tests.fuzz [PROTOCOL...] [--runs N]`: hostile input, all protocols beside each other.

Prints a line for each; exit status 1 when any case raised, hung, or left something open.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROTOCOLS: Final = ("dhcp", "tftp", "dns", "http")
ROOT: Final = Path(__file__).parents[2]
FOUND: Final = ROOT / "build" / "fuzz"
"""Where cases that failed are kept."""

GROWTH: Final = 60_000
"""Blocks of memory that the second half of the cases may add: caches that fill up to their end."""


@dataclass(frozen=True)
class Result:
    """How one protocol fared; *failure* is empty when well, else words for a person."""

    protocol: str
    runs: int = 0
    seconds: float = 0.0
    files: int = 0
    blocks: int = 0
    rss_mib: int = 0
    failure: str = ""

    def line(self) -> str:
        if self.failure:
            return f"{self.protocol}: FAILED\n{self.failure}"
        return (
            f"{self.protocol}: {self.runs:,} cases in {self.seconds:.0f} s "
            f"({self.runs / self.seconds:,.0f}/s), no exception, no hang; second half: "
            f"{self.files:+d} open files, {self.blocks:+,d} blocks; {self.rss_mib} MiB at most"
        )


def fuzzed(protocol: str, runs: int) -> Result:
    """Run *runs* cases of *protocol*."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "tests.fuzz.target", protocol, str(runs), name]
        done = subprocess.run(
            command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        report = folder / "report.json"
        if done.returncode or not report.exists():
            return Result(protocol, failure=_failure(folder, protocol, done.stdout))
        return _judged(protocol, json.loads(report.read_text()))


def _failure(folder: Path, protocol: str, said: bytes) -> str:
    FOUND.mkdir(parents=True, exist_ok=True)
    cases = [*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")]
    for case in cases:
        (FOUND / f"{protocol}-{case.name}").write_bytes(case.read_bytes())
    kept = "".join(f"\n{FOUND}/{protocol}-{case.name}" for case in cases)
    lines = said.decode(errors="replace").splitlines()
    told = [line for line in lines if not line.startswith(("#", "INFO"))]
    return "\n".join(told)[-4000:] + kept


def _judged(protocol: str, told: dict) -> Result:
    half, end = told["half"], told["end"]
    files, blocks = end["files"] - half["files"], end["blocks"] - half["blocks"]
    grown = files > 0 or blocks > GROWTH
    return Result(
        protocol,
        told["runs"],
        told["seconds"],
        files,
        blocks,
        end["rss_kib"] // 1024,
        f"it grew by {files} open files and {blocks} blocks of memory" if grown else "",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("protocols", nargs="*", metavar="PROTOCOL", help=", ".join(PROTOCOLS))
    parser.add_argument("--runs", type=int, default=20_000)
    given = parser.parse_args()
    with ThreadPoolExecutor(len(PROTOCOLS)) as pool:
        failed = 0
        chosen = given.protocols or PROTOCOLS
        for result in pool.map(lambda each: fuzzed(each, given.runs), chosen):
            sys.stdout.write(result.line() + "\n")
            sys.stdout.flush()
            failed += bool(result.failure)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
