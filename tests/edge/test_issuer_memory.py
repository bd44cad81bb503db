"""What is remembered of an issuer's tokens: no longer than they, or their keys, are good."""

import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from edge.doors import Client
from edge.errors import Unauthenticated
from edge.issuer import KEYS_LIFE_S, LEEWAY_S, Issuer

URL = "https://issuer.example"
NOW = int(time.time())


class Known(Issuer):
    """An issuer whose clock stands where a test puts it, and who publishes *keys*."""

    def __init__(self, *keys):
        client = Client(issuer=URL, client_id="sprout-api", secret="", audience="sprout-api")
        self.at, self.keys, self.verified = 0.0, keys, 0
        super().__init__(client, clock=lambda: self.at, now=lambda: NOW + self.at)

    def _fetched(self, url, **sent):
        if url.endswith("openid-configuration"):
            return {"issuer": URL, "jwks_uri": f"{URL}/keys"}
        return KeySet(list(self.keys)).as_dict(private=False)

    def _verified(self, token, audience):
        self.verified += 1
        return super()._verified(token, audience)


def key(name):
    return RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256", "kid": name})


def signed(by, **more):
    claims = {"iss": URL, "aud": "sprout-api", "sub": "u1", "iat": NOW, "exp": NOW + 7200}
    return jwt.encode({"alg": "RS256", "kid": by.kid}, claims | more, by)


@pytest.fixture(scope="module")
def ours():
    return key("ours")


def test_a_token_is_verified_once(ours):
    issuer, token = Known(ours), signed(ours)

    assert issuer.access(token) == issuer.access(token)
    assert issuer.verified == 1


def test_another_token_is_verified_for_itself(ours):
    issuer, good = Known(ours), signed(ours)
    issuer.access(good)
    head, _, signature = good.split(".")
    forged = ".".join([head, signed(ours, sub="root").split(".")[1], signature])

    with pytest.raises(Unauthenticated):
        issuer.access(forged)


def test_a_token_that_was_good_is_not_when_it_has_expired(ours):
    issuer, token = Known(ours), signed(ours, exp=NOW + 60)
    issuer.access(token)
    issuer.at = 61.0 + LEEWAY_S

    with pytest.raises(Unauthenticated):
        issuer.access(token)


def test_a_token_that_was_good_is_not_when_its_key_is_published_no_more(ours):
    issuer, token = Known(ours), signed(ours)
    issuer.access(token)
    issuer.keys, issuer.at = (key("next"),), KEYS_LIFE_S

    with pytest.raises(Unauthenticated):
        issuer.access(token)


def test_what_is_no_access_token_is_refused_each_time(ours):
    issuer, token = Known(ours), signed(ours, nonce="n")

    for _ in range(2):
        with pytest.raises(Unauthenticated):
            issuer.access(token)
