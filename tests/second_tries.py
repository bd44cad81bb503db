"""A test of real services or firmware that fails is tried once more, and said so: a few a run.

Emulated firmware, kernels and other people's servers fail by themselves now and then.  What fails
twice is broken, and a run where more than a few had to be tried twice is no good run.
"""

from typing import Final

import pytest

MOST: Final = 2
"""Tests of one run that may pass at their second try alone."""


class SecondTries:
    """Counts what was tried again, and judges the run by it."""

    def __init__(self) -> None:
        self._again: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":
            self._again.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if len(self._again) > MOST and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._again:
            limit = f"{len(self._again)} of at most {MOST}"
            terminalreporter.section(f"tried a second time: {limit}", yellow=True)
            for name in self._again:
                terminalreporter.line(name)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SecondTries())
