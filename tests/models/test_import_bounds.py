"""What an inventory document may make of control's memory, and of what is kept of its import."""

import json
import time

import pytest

from models import import_form
from models.commands.importing import SHOWN_BYTES, Tally
from models.errors import Invalid


def test_a_page_of_more_rows_than_a_document_may_have_is_refused_before_they_are_read():
    body = b'{"machines":[' + b",".join([b"1"] * (import_form.ROWS + 1)) + b"]}"
    began = time.process_time()

    with pytest.raises(Invalid, match="over 100000 machines"):
        import_form.page(body)

    assert time.process_time() - began < 0.2


def test_a_result_tells_of_rows_up_to_a_size_and_counts_the_others():
    tally = Tally()
    for number in range(900):
        tally.add("changed", f"page 1: /machines/{number}", fields={"labels": "x" * 10_000})

    result = tally.result(dry_run=False)

    assert len(json.dumps(result)) < SHOWN_BYTES + 20_000
    assert result["counts"]["changed"] == len(result["rows"]) + result["more"] == 900
