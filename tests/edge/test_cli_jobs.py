"""What the command line tells of jobs: how far, and what would change, field by field."""

from edge.cli import jobs


def run(**more):
    return {
        "state": "succeeded",
        "detail": "1 changed",
        "dryRun": True,
        "result": {"rows": [], "more": 0},
    } | more


def test_a_change_is_told_field_by_field():
    row = {
        "what": "changed",
        "pointer": "page 1: /machines/0",
        "hostname": "node-1",
        "mac": "52:54:00:00:03:01",
        "fields": {"labels": {"before": {"rack": "4"}, "after": {"rack": "5"}}},
    }

    assert list(jobs._difference(row)) == [
        "~ node-1 52:54:00:00:03:01 changed",
        '    labels: {"rack": "4"} -> {"rack": "5"}',
    ]


def test_a_row_that_cannot_be_read_is_told_by_its_place():
    row = {"what": "invalid", "pointer": "page 2: /machines/7/hostname", "why": "is no host name"}

    assert list(jobs._difference(row)) == [
        "? page 2: /machines/7/hostname invalid: is no host name"
    ]


def test_a_conflict_says_why_and_where():
    row = {
        "what": "conflicting",
        "pointer": "page 1: /machines/3/hostname",
        "hostname": "node-1",
        "mac": "52:54:00:00:03:01",
        "why": "another machine of the site has this host name",
    }

    first, second = jobs._difference(row)

    assert first.endswith("conflicting: another machine of the site has this host name")
    assert second.strip() == "at page 1: /machines/3/hostname"


def test_a_dry_run_says_that_nothing_was_changed_and_what_is_not_shown(capsys):
    jobs._told(run(result={"rows": [], "more": 12}))

    told = capsys.readouterr().out
    assert "dry run: nothing was changed" in told
    assert "and 12 more" in told


def test_how_far_a_sync_job_is_stands_in_one_line():
    job = {
        "state": "running",
        "filesDone": 1,
        "filesTotal": 3,
        "bytesDone": 5 << 20,
        "bytesTotal": None,
        "detail": "fetching disk.raw",
    }

    assert jobs._how_far(job) == "running: 1 of 3 files, 5 of ? MiB: fetching disk.raw"
