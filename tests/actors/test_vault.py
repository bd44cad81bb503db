import pytest

from actors.drivers.vault import MOST_SECRET, Vault, from_vault
from config.secrets import Secret, Unavailable, Unresolved, resolve
from tests.services import vault as peers
from tests.services.certificates import authority

REFERENCE = "vault:kv/site-a/bmc#password"
PASSWORD = "hunter22-of-the-vault"


@pytest.fixture
def peer():
    with peers.running() as kept:
        kept.secrets["site-a/bmc"] = {"password": PASSWORD, "port": 443, "blank": ""}
        yield kept


def ask(peer, reference=REFERENCE, *, token=peers.TOKEN, **how):
    return resolve(reference, {"vault": from_vault(Vault(peer.url, Secret(token), **how))})


def test_a_key_of_a_secret_is_read_where_its_engine_keeps_it(peer):
    assert ask(peer) == Secret(PASSWORD)
    assert peer.paths == ["/v1/kv/data/site-a/bmc"]


def test_what_was_changed_in_vault_counts_from_the_next_use_on(peer):
    ask(peer)
    peer.secrets["site-a/bmc"]["password"] = "another"

    assert ask(peer) == Secret("another")


@pytest.mark.parametrize(
    ("reference", "because"),
    [
        ("vault:kv/none#password", "no such secret"),
        ("vault:other/site-a/bmc#password", "no such secret"),
        ("vault:kv/site-a/bmc#user", "no key user"),
        ("vault:kv/site-a/bmc#port", "no text"),
        ("vault:kv/site-a/bmc#blank", "no text"),
    ],
)
def test_what_is_not_there_is_told_with_its_reference(peer, reference, because):
    with pytest.raises(Unresolved, match=because) as caught:
        ask(peer, reference)

    assert reference in str(caught.value)


def test_a_deleted_version_is_not_there(peer):
    peer.deleted.add("site-a/bmc")

    with pytest.raises(Unresolved, match="deleted"):
        ask(peer)


def test_a_token_that_vault_refuses_is_never_shown(peer):
    with pytest.raises(Unresolved, match="token") as caught:
        ask(peer, token="hvs.of-somebody-else")

    assert "hvs." not in str(caught.value)


def test_a_sealed_vault_may_be_asked_again(peer):
    peer.sealed = True

    with pytest.raises(Unavailable, match="sealed"):
        ask(peer)


def test_a_vault_that_is_away_may_be_asked_again(peer):
    peer.faults.append(_hang_up)

    with pytest.raises(Unavailable, match="cannot be asked"):
        ask(peer)


def _hang_up(handler):
    handler.connection.close()
    return True


@pytest.mark.parametrize(
    "body",
    [{}, [], None, "text", {"data": None}, {"data": {"password": PASSWORD}}, {"data": {"data": 7}}],
)
def test_an_answer_of_another_engine_is_refused(peer, body):
    peer.faults.append(lambda handler: handler.answer(200, body) or True)

    with pytest.raises(Unresolved, match="version 2"):
        ask(peer)


def test_a_value_that_is_no_secret_of_any_use_is_refused(peer):
    peer.secrets["site-a/bmc"]["password"] = "x" * (MOST_SECRET + 1)

    with pytest.raises(Unresolved, match="no text of 1 to"):
        ask(peer)


def test_an_answer_without_end_is_refused(peer):
    peer.secrets["site-a/bmc"]["password"] = "x" * (2 << 20)

    with pytest.raises(Unresolved, match="over 1048576 bytes"):
        ask(peer)


def test_the_token_follows_no_redirect_to_another_host(peer):
    with peers.running() as other:
        elsewhere = other.url.replace("127.0.0.1", "127.0.0.2")
        peer.faults.append(
            lambda handler: handler.answer(307, {}, Location=f"{elsewhere}{handler.path}") or True
        )

        with pytest.raises(Unresolved, match="leads to another host"):
            ask(peer)

    assert other.paths == []


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path):
    known, strange = authority(tmp_path / "known"), authority(tmp_path / "strange")
    with peers.running(strange.issue("vault", hosts=["127.0.0.1"])) as peer:
        peer.secrets["site-a/bmc"] = {"password": PASSWORD}

        with pytest.raises(Unavailable, match="SSLError"):
            ask(peer, ca_file=known.file)

        assert ask(peer, ca_file=strange.file) == Secret(PASSWORD)
