import pytest

from models.errors import Invalid
from models.remote_commands import DEFAULT, MOST_S, Allowed, Entry, NotListed, argv


@pytest.mark.parametrize("command", ["uptime", " uptime ", "'uptime'", "df -h", "ip -br addr"])
def test_what_reads_is_allowed_however_its_words_are_quoted(command):
    assert DEFAULT.judge(argv(command)) is True


@pytest.mark.parametrize(
    "command",
    [
        "uptime; reboot", "uptime && reboot", "uptime | sh", "uptime $(reboot)", "uptime `reboot`",
        "uptime > /etc/passwd", "uptime\treboot", "sh -c uptime", "/bin/uptime", "UPTIME",
        "uptime -x", "journalctl -n 0 --no-pager", "journalctl -n 99999 --no-pager",
        "journalctl -n -1 --no-pager", "journalctl -n 1\u0660 --no-pager",
        "systemctl status --no-pager",
        "systemctl status -H --no-pager", "systemctl status a;b --no-pager", "cat /etc/shadow",
        "reboot",
    ],
)  # fmt: skip
def test_whatever_is_not_on_the_list_word_for_word_is_refused_with_the_list(command):
    with pytest.raises((NotListed, Invalid)) as caught:
        DEFAULT.judge(argv(command))

    assert caught.value.field == "/command"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("", "no program"),
        ("''", "no program"),
        ("echo 'a", "No closing quotation"),
        ("uptime\n", "does not print"),
        ("uptime\x00", "does not print"),
        ("uptime \u202e", "does not print"),
        ("LD_PRELOAD=/x uptime", "no program"),
        ("-x", "no program"),
        ("a" * 1001, "over 1000 characters"),
        ("a " * 65, "over 64 words"),
    ],
)
def test_what_is_no_program_and_its_words_is_refused_with_the_reason(command, why):
    with pytest.raises(Invalid, match=why):
        argv(command)


@pytest.mark.parametrize(
    ("entry", "fits", "fits_not"),
    [
        ("systemctl restart <unit>", "systemctl restart ssh.service", "systemctl restart -f"),
        ("systemctl restart <unit>", "systemctl restart a@b.service", "systemctl restart 'a b'"),
        ("tail -n <count> <path>", "tail -n 5 /var/log/syslog", "tail -n 5 /var/../etc/shadow"),
        ("tail -n <count> <path>", "tail -n 5 /a", "tail -n 5 a"),
        ("ping -c <count> <name>", "ping -c 3 node-01", "ping -c 3 -f"),
    ],
)
def test_a_typed_word_stands_for_one_word_of_its_kind(entry, fits, fits_not):
    allowed = Allowed.of((), [entry])

    assert allowed.judge(argv(fits)) is False
    with pytest.raises(NotListed):
        allowed.judge(argv(fits_not))


@pytest.mark.parametrize("entry", ["", "<name>", "<path> -x", "rm <what>", "a < b", "a 'b"])
def test_an_entry_that_means_nothing_is_refused(entry):
    with pytest.raises(ValueError, match=r"want a program|quotation"):
        Entry.parse(entry)


def test_a_time_limit_is_bounded_by_the_site():
    listed = Allowed.of(limit_s=30)

    assert (listed.seconds(None), listed.seconds(30), DEFAULT.seconds(MOST_S)) == (30, 30, MOST_S)
    for asked in (0, 31, -1):
        with pytest.raises(Invalid, match="30 seconds"):
            listed.seconds(asked)
