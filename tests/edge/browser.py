"""A real browser before a real edge: fixtures of the tests of pages."""

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.services import axe

# Of what is there in a moment on a quiet machine; Playwright's own 5 s are short for a busy one.
expect.set_options(timeout=60_000)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe_core():
    return axe.script()


def sign_in_url(edge):
    return edge.post("/v1/sign-in-codes").json()["url"]


@pytest.fixture
def page(chromium, served, live):
    """A page of a browser that is signed in; scripts that fail and dialogs fail the test."""
    context = chromium.new_context(base_url=served.url)
    found = context.new_page()
    wrong = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    found.goto(sign_in_url(served))
    found.get_by_role("button", name="Sign in").click()
    expect(found).to_have_url(f"{served.url}/")
    yield found
    context.close()
    assert wrong == []


def listening(page, path):
    """Open *path*, and return when its live stream is open."""
    with page.expect_response("**/events/hints"):
        page.goto(path)
    expect(page.locator("h1")).to_be_visible()
