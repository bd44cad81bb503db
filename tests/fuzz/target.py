"""One fuzzer in a process of its own: `python -m tests.fuzz.target PROTOCOL RUNS FOLDER`.

atheris (libFuzzer) mutates by what coverage of pxe_stack each case brings.  Any exception ends it
with the case left in FOLDER; else FOLDER/report.json says what it took.
"""

import gc
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Final

import atheris

INSTRUMENTED: Final = ["pxe_stack", "tftpy", "dnslib"]
HANG_S: Final = 5
MOST_MIB: Final = 1024


class Meter:
    """Cases counted; what the process holds at half of them and at their end."""

    def __init__(self, runs: int, folder: Path) -> None:
        self._runs = runs
        self._folder = folder
        self._done = 0
        self._begun = time.monotonic()
        self._half: dict[str, int] = {}

    def tick(self) -> None:
        self._done += 1
        if self._done == self._runs // 2:
            self._half = held()
        if self._done == self._runs:
            seconds = time.monotonic() - self._begun
            told = {"runs": self._done, "seconds": seconds, "half": self._half, "end": held()}
            (self._folder / "report.json").write_text(json.dumps(told))
            os._exit(0)  # libFuzzer ends by _exit too, and not always at this number


def held() -> dict[str, int]:
    """Return open files, blocks of Python's memory, and the most memory that there was (KiB)."""
    gc.collect()
    return {
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "blocks": sys.getallocatedblocks(),
        "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main(protocol: str, runs: int, folder: Path) -> None:
    with atheris.instrument_imports(include=INSTRUMENTED):
        module = importlib.import_module(f"tests.fuzz.{protocol}")
    case, meter = module.Case(), Meter(runs, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(module.seeds()):
        (corpus / f"{number:04}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in module.TOKENS))

    def one(data: bytes) -> None:
        case.one(data)
        meter.tick()

    options = {
        "runs": -1,
        "max_len": module.LONGEST,
        "dict": words,
        "artifact_prefix": f"{folder}/",
        "timeout": HANG_S,
        "rss_limit_mb": MOST_MIB,
    }
    given = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *given, str(corpus)], one)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
