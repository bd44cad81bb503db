"""What holds for every suite: nothing is skipped, for a test that did not run proves nothing."""

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure that names its reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be: {call.excinfo.value}"
    return report


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """Keep the tests apart from the SPROUT_* variables of whoever runs them."""
    for name in [name for name in os.environ if name.startswith("SPROUT_")]:
        monkeypatch.delenv(name)
