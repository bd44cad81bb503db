"""Control seals the audit as it grows."""

import pytest

from models import audit
from models.database import borrowed
from models.tables import AuditSeal
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.models import make

pytestmark = pytest.mark.services


def test_control_seals_what_is_recorded_and_logs_the_hash_for_who_keeps_logs(db, tmp_path):
    control = ControlProcess(tmp_path, db, db)
    control.start()
    try:
        with borrowed():
            audit.record(make.ADA, "site.create", kind="site")

        until(lambda: "audit.sealed" in control.events())
    finally:
        assert control.end() == 0
    logged = {line["hash"] for line in control.lines() if line["event"] == "audit.sealed"}
    with borrowed():
        assert logged == {each.hash for each in AuditSeal.select()}
