"""Whoever said it holds the certificate: proved by the holder, and checked like a peer's."""

import base64
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from config import proofs
from config.proofs import Prover, Unproven
from config.tls import Unusable
from tests.services import certificates
from tests.services.certificates import DAY, LATER, LONG_AGO, TOMORROW, YESTERDAY

URI = "spiffe://sprout.local/site/x/agent/y"
TEXT = b"what was said"
NOW = time.time()


@pytest.fixture
def ours(tmp_path):
    return certificates.authority(tmp_path / "ours")


@pytest.fixture
def own(ours):
    return ours.issue("own", URI)


@pytest.fixture
def foreign(tmp_path):
    return certificates.authority(tmp_path / "foreign", name="authority")


def proof(credentials, now=NOW):
    return Prover(credentials, URI).proof(TEXT, now)


def refusal(made, credentials, text=TEXT, now=NOW):
    with pytest.raises(Unproven) as caught:
        proofs.holder(made, text, credentials, now)
    return str(caught.value)


def test_a_proof_names_its_holder(own):
    assert proofs.holder(proof(own), TEXT, own, NOW) == (URI,)


def test_a_key_of_rsa_proves_too(ours, own):
    made = ours.issue("rsa", URI, key=rsa.generate_private_key(65537, 2048))

    assert proofs.holder(proof(made), TEXT, own, NOW) == (URI,)


def test_an_authority_between_is_sent_along(ours, own, tmp_path):
    between = ours.under(tmp_path / "between", ours.issue("between", signs=True))
    made = between.issue("own", URI)
    made.cert.write_bytes(made.cert.read_bytes() + between.file.read_bytes())

    assert proofs.holder(proof(made), TEXT, own, NOW) == (URI,)


def test_other_words_are_not_proved(own):
    assert refusal(proof(own), own, text=b"other words") == "its proof is of other words"


@pytest.mark.parametrize("later", [-1, 1])
def test_the_time_is_part_of_what_is_proved(own, later):
    made = proof(own)

    assert refusal(made | {"at": made["at"] + later}, own) == "its proof is of other words"


def test_a_foreign_authority_s_certificate_proves_nothing(own, foreign):
    made = proof(foreign.issue("own", URI))

    assert "its certificate is refused: validation failed" in refusal(made, own)


def test_a_holder_s_own_certificate_makes_no_others(ours, own, tmp_path):
    agent = ours.under(tmp_path / "agent", own)
    made = agent.issue("forged", URI)
    made.cert.write_bytes(made.cert.read_bytes() + own.cert.read_bytes())

    assert "cA must be asserted" in refusal(proof(made), own)


def test_an_authority_s_own_certificate_is_nobody_s(ours, own):
    made = proof_of(ours.issue("signer", URI, signs=True))

    assert proofs.holder(made, TEXT, own, NOW) == ()


@pytest.mark.parametrize(
    ("begins", "ends"), [(LONG_AGO, YESTERDAY), (TOMORROW, LATER)], ids=["expired", "not-yet-valid"]
)
def test_a_certificate_out_of_its_time_proves_nothing(ours, own, begins, ends):
    made = proof_of(ours.issue("own", URI, begins=begins, ends=ends))

    assert "not valid at validation time" in refusal(made, own)


def proof_of(credentials, now=NOW):
    """Return a proof by somebody who does not look at the certificate's own limits."""
    chain, key = credentials.own()
    return {
        "at": int(now),
        "chain": [proofs._text(each.public_bytes(serialization.Encoding.DER)) for each in chain],
        "signature": proofs._text(proofs._signed(key, proofs._bound(TEXT, int(now)))),
    }


def test_what_was_said_in_time_is_believed_when_the_certificate_has_run_out(ours):
    made = ours.issue("own", URI, begins=LONG_AGO, ends=YESTERDAY)
    then = (YESTERDAY - DAY).timestamp()

    assert proofs.holder(proof(made, then), TEXT, made, NOW) == (URI,)


def test_what_was_said_a_week_ago_is_believed_no_more(ours):
    made = ours.issue("own", URI, begins=LONG_AGO)
    then = NOW - proofs.AGE_S - 1

    assert refusal(proof(made, then), made) == f"it was said {NOW - int(then):.0f} s ago"


@pytest.mark.parametrize("made", [None, "x", 7, [], True])
def test_no_proof_is_told(own, made):
    assert refusal(made, own) == "it bears no proof of who says it"


DER = base64.b64encode(b"0\x03\x02\x01\x01").decode()


@pytest.mark.parametrize(
    "bent",
    [
        {"at": "noon"},
        {"at": 10**30},
        {"at": float("nan")},
        {"at": None},
        {"chain": []},
        {"chain": None},
        {"chain": {}},
        {"chain": "text"},
        {"chain": [7]},
        {"chain": ["!"]},
        {"chain": [DER]},
        {"chain": [[]] * 100_000},
        {"signature": None},
        {"signature": "\ud800"},
        {"signature": "!"},
        {"signature": ""},
    ],
    ids=lambda bent: next(iter(bent)),
)
def test_a_bent_proof_is_refused(own, bent):
    assert "proof" in refusal(proof(own) | bent, own)


@pytest.mark.parametrize("name", ["at", "chain", "signature"])
def test_a_part_of_a_proof_is_none(own, name):
    made = proof(own)
    del made[name]

    assert refusal(made, own).startswith("its proof is malformed")


# --- whoever says it ---


def unusable(credentials, now=NOW):
    with pytest.raises(Unusable) as caught:
        proof(credentials, now)
    return str(caught.value)


@pytest.mark.parametrize("other", [("spiffe://sprout.local/site/x/agent/z",), (), (URI, URI + "z")])
def test_nothing_is_said_with_the_certificate_of_another(ours, other):
    made = ours.issue("other", *other)

    assert unusable(made) == f"{made.cert} is not of {URI} alone"


def test_nothing_is_said_by_a_certificate_that_has_run_out(ours):
    made = ours.issue("own", URI, begins=LONG_AGO, ends=YESTERDAY)

    ends = f"{YESTERDAY:%Y-%m-%d %H:%M:%S} UTC"
    assert unusable(made) == f"{made.cert} is not valid now: it ends {ends}"


def test_a_kind_of_key_that_cannot_be_used_is_told_of(ours):
    made = ours.issue("own", URI, key=ed25519.Ed25519PrivateKey.generate())

    assert unusable(made) == "want a key of RSA or of an elliptic curve (ECDSA)"


def test_a_certificate_that_is_renewed_on_disk_is_used_at_once(ours):
    own = ours.issue("own", URI, begins=LONG_AGO, ends=YESTERDAY)
    prover = Prover(own, URI)
    with pytest.raises(Unusable):
        prover.proof(TEXT, NOW)

    renewed = ours.issue("own", URI)
    made = prover.proof(TEXT, NOW)

    assert proofs.holder(made, TEXT, own, NOW) == (URI,)
    assert ends(made) > datetime.now(UTC)
    assert renewed == own


def ends(made):
    der = base64.b64decode(made["chain"][0])
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def test_half_a_renewal_proves_nothing(ours, own):
    prover = Prover(own, URI)
    prover.look()
    key = own.key.read_bytes()

    ours.issue("own", URI)
    own.key.write_bytes(key)

    with pytest.raises(Unusable, match="is not the key of the certificate"):
        prover.proof(TEXT, NOW)


def test_a_file_that_is_gone_is_told_of(own):
    prover = Prover(own, URI)
    prover.look()
    own.key.unlink()

    with pytest.raises(Unusable, match="cannot be read"):
        prover.proof(TEXT, NOW)


def test_an_authority_s_file_that_has_gone_bad_is_no_fault_of_the_proof(own):
    with pytest.raises(Unusable, match="cannot be read"):
        proofs.holder(proof(own), TEXT, replace(own, ca=own.ca.with_suffix(".gone")), NOW)
