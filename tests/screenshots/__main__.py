"""`python -m tests.screenshots [FOLDER] [--readme]`: each page, three widths, two schemes.

With --readme the few that the README shows are written to deploy/screenshots as well, small.
"""

import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from playwright.sync_api import Browser, Page, StorageState, sync_playwright

from models import database as pool
from models import queries
from models.migrations import runner
from tests.edge import racked
from tests.edge.browser import FLAGS, sign_in_url
from tests.edge.conftest import Edge, hearing, serving, variables
from tests.screenshots import hosts, rack
from tests.services import postgres

WIDTHS = (360, 900, 1600)
SCHEMES = ("light", "dark")
README = {
    ("machines", 1600, "light"),
    ("machine", 1600, "dark"),
    ("host-installing", 900, "light"),
    ("workflow", 360, "light"),
    ("approvals", 360, "dark"),
}
"""What the README shows, as it is above the fold."""

KEPT = Path(__file__).parents[2] / "deploy" / "screenshots"
LARGEST = 150_000
"""Bytes of a picture of the README."""


def pages(shown: Mapping[str, UUID]) -> Mapping[str, str]:
    """Return the path of each page, by the name of its picture."""
    ask = f"/machines/{shown['active']}"
    return {
        "machines": "/?sort=-updatedAt",
        "machines-table": "/?view=table",
        "machines-failed": "/?state=failed",
        "machines-none": "/?search=nobody",
        "machine": f"/machines/{shown['machine']}",
        "machine-active": f"/machines/{shown['active']}",
        "machine-failed": f"/machines/{shown['failed']}",
        "machine-long": f"/machines/{shown['long']}",
        "workflows": "/workflows",
        "workflow": f"/workflows/{shown['flow']}",
        "discoveries": "/discoveries",
        "approvals": "/approvals",
        "approval": f"/approvals/{shown['approval']}",
        "approve": f"/machines/{shown['asked']}/approve?action=reboot",
        "ask-reprovision": f"{ask}/reprovision",
        "ask-reboot": f"{ask}/reboot",
        "sites": "/sites",
        "site": "/sites/fra-1",
        "site-degraded": "/sites/ams-2",
        "audit": "/audit",
        "new-machine": "/sites/fra-1/new-machine",
        **{
            name: f"/hosts/{each}"
            for name, each in shown.items()
            if name.partition("-")[0] == "host"
        },
        "operation": f"/ops/{shown['operation']}",
        "operation-failed": f"/ops/{shown['operation-failed']}",
        "rebuild": f"/hosts/{shown['host-ready']}/rebuild",
        "delete-host": f"/hosts/{shown['host-registered']}/delete",
        "new-host": "/new-host",
        "hosts": "/?siteId=home",
        "hosts-table": "/?siteId=home&view=table",
        "isos": "/isos",
        "new-iso": "/new-iso",
        "images": "/images",
        "image": "/images/debian-12",
        "profile": "/profiles/plain",
        "new-image": "/new-image",
        "new-network": "/sites/sin-1/new-network",
        "sign-in": "/sign-in",
    }


@contextmanager
def filled(folder: Path) -> Iterator[tuple[str, Mapping[str, UUID]]]:
    """A database with a rack in it: its URL, and what has pages of its own.

    *folder* is where the file of server types is written.
    """
    with postgres.running() as server:
        url = server.fresh_database()
        pool.configure(url, connections=4)
        runner.migrate()
        with pool.borrowed():
            shown = {**hosts.enter(folder), **rack.enter(url)}
            assert len(queries.counts()) > 0
        yield url, shown
        pool.database.close_all()


def signed_in(browser: Browser, edge: Edge) -> StorageState:
    context = browser.new_context(base_url=edge.url)
    page = context.new_page()
    page.goto(sign_in_url(edge))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{edge.url}/")
    state = context.storage_state()
    context.close()
    return state


def shoot(browser: Browser, edge: Edge, paths: Mapping[str, str], told: Namespace) -> None:
    state = signed_in(browser, edge)
    for scheme in SCHEMES:
        for width in WIDTHS:
            context = browser.new_context(
                base_url=edge.url,
                storage_state=state,
                color_scheme=scheme,
                viewport={"width": width, "height": 760 if width > 400 else 720},
                reduced_motion="reduce",
            )
            page = context.new_page()
            for name, path in paths.items():
                page.goto(path)
                page.evaluate("document.fonts.ready")
                overflow = page.evaluate("document.documentElement.scrollWidth") - width
                note = f"  {overflow} px too wide" if overflow > 0 else ""
                target = told.folder / f"{name}-{width}-{scheme}.png"
                page.screenshot(path=target, full_page=not name.startswith("machines"))
                sys.stdout.write(f"{target}{note}\n")
                if told.readme and (name, width, scheme) in README:
                    keep(page, name)
            context.close()


def keep(page: Page, name: str) -> None:
    """Write the picture of the README."""
    target = KEPT / f"{name}.png"
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=target)
    assert target.stat().st_size <= LARGEST, f"{target} is too large"


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/screenshots"))
    parser.add_argument("--readme", action="store_true", help="write those of the README as well")
    parser.add_argument("--only", help="names of pages, with commas between")
    told = parser.parse_args()
    told.folder.mkdir(parents=True, exist_ok=True)
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, filled(Path(name)) as (url, shown):
        home = Path(name)
        paths = pages(shown)
        if told.only:
            paths = {name: paths[name] for name in told.only.split(",")}
        settings = variables(url, home) | {
            "PATH": os.environ["PATH"],
            "SPROUT_SERVER_TYPES_FILE": str(home / "server-types.yaml"),
            "SPROUT_PROXMOX_ROOT_PASSWORD_HASH": racked.HASH,
            "SPROUT_SITE_ID": "home",
        }
        with (
            hearing(settings, home),
            serving(settings, home) as edge,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            shoot(browser, edge, paths, told)
            browser.close()


if __name__ == "__main__":
    main()
