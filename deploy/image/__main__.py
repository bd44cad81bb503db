"""`python -m deploy.image`: build the Debian image and the deploy system, or find them built.

With --inventory: the kernel and initramfs that look at a machine and test it for a moment.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.image import apt, requirements
from deploy.image.build import DEBIAN, INVENTORY, Failed, build


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when the output folder is complete, 1 when this machine cannot build it."""
    options = _parser().parse_args(arguments)
    product = INVENTORY if options.inventory else DEBIAN
    if lack := requirements.missing(disk_image=product is DEBIAN):
        print(f"the image cannot be built here: {lack}", file=sys.stderr)
        return 1
    begun = time.monotonic()
    try:
        built = build(options.output or options.cache / product.folder, options.cache, product)
    except (apt.Unavailable, Failed) as exc:
        print(f"the image was not built: {exc}", file=sys.stderr)
        return 1
    verb = "built" if built.fresh else "found"
    print(f"{verb} in {time.monotonic() - begun:.1f} s: {built.folder} ({built.mib:.1f} MiB)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.image", description=__doc__)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = home / "sprout" / "image"
    parser.add_argument("--inventory", action="store_true", help="the inventory system instead")
    parser.add_argument("--output", type=Path, metavar="DIR")
    parser.add_argument("--cache", type=Path, default=cache, metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
