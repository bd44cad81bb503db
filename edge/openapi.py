"""The contract as a file: `python -m edge.openapi --write` makes openapi.yaml of the code.

`--check` says whether it is as the code would make it; a test does too.
"""

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from edge.app import EdgeConfig, create_app

FILE: Final = Path(__file__).with_name("openapi.yaml")

_NOWHERE: Final = Path("/nonexistent")


def document() -> dict[str, Any]:
    """Return the contract, as /v1/openapi.json serves it."""
    config = EdgeConfig(
        public_url="http://localhost",
        allowed_hosts=("localhost",),
        events_socket=_NOWHERE,
        blob_dir=_NOWHERE,
        artifact_dir=_NOWHERE,
    )
    return dict(create_app(config).api_doc)


def written() -> str:
    """Return the contract as the file has it."""
    head = "# Made of the code by `make openapi`; a test compares the two.\n"
    return head + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=100)


def main() -> int:
    if "--write" in sys.argv:
        FILE.write_text(written(), encoding="utf-8")
        return 0
    if FILE.read_text(encoding="utf-8") == written():
        return 0
    sys.stderr.write("edge/openapi.yaml is not what the code makes: make openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
