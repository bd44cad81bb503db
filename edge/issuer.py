"""Who an OpenID Connect issuer says that somebody is; the one owner of joserfc.

Rule 1: a token that is three parts between dots is judged by the issuer's published keys alone;
        any other is asked about at the issuer (RFC 7662).
Rule 2: algorithm, signature, issuer, audience and times must all be right; only algorithms with a
        public key are known, so that a published key can sign nothing.
Rule 3: what was judged once is good until it expires, or until the keys are fetched again: with a
        key that is no longer published, what it signed ends too.
Rule 4: an unknown key has the keys fetched again, once, and not again for a while: whoever makes
        up key ids makes no traffic.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import requests
import structlog
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from edge import outbound
from edge.doors import Client
from edge.errors import IssuerAway, Unauthenticated

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
LONGEST: Final = 16 * 1024
LEEWAY_S: Final = 30
KEYS_LIFE_S: Final = 3600.0
REFETCH_S: Final = 30.0
ASKED_LIFE_S: Final = 30.0
MOST_ASKED: Final = 1024
ASKERS: Final = 4
_PARTS: Final = 3
_OTHER_USES: Final = frozenset({"ID", "Refresh", "Offline", "Logout"})
"""Words for what is no access token in Keycloak's claim `typ`."""

Claims = Mapping[str, Any]

log = structlog.get_logger()


class Issuer:
    """An issuer, and what is known of it; shared by the threads of a process."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self._clock, self._now = clock, now
        self._metadata: Claims | None = None
        self._keys: KeySet | None = None
        self._keys_at = self._asked_at = float("-inf")
        self._lock = threading.Lock()
        self._askers = threading.BoundedSemaphore(ASKERS)
        self._asked: OrderedDict[str, tuple[float, Claims]] = OrderedDict()
        self._judged: OrderedDict[bytes, tuple[KeySet, Claims]] = OrderedDict()

    @property
    def keys_are_missing(self) -> bool:
        """Whether the issuer was asked for its keys, and none are known."""
        return self._keys is None and self._asked_at > float("-inf")

    def access(self, token: str) -> Claims:
        """Return the claims of an access token.  Raises Unauthenticated, and IssuerAway."""
        if len(token) > LONGEST or not token.isascii():
            raise _bad("it is no token")
        if token.count(".") != _PARTS - 1:
            return self._introspected(token)
        name = hashlib.sha256(token.encode()).digest()
        keys = self._key_set()
        with self._lock:
            known = self._judged.get(name)
        if known is not None and known[0] is keys and self._now() < known[1]["exp"]:
            return known[1]
        return self._judge(token, name, keys)

    def _judge(self, token: str, name: bytes, keys: KeySet) -> Claims:
        """Return the claims of a JWT; they are remembered while it lasts, and *keys* do."""
        claims = self._verified(token, self.client.audience)
        if claims.get("typ") in _OTHER_USES or {"nonce", "at_hash"} & claims.keys():
            raise _bad("it is no access token")
        with self._lock:
            self._judged[name] = (keys, claims)
            while len(self._judged) > MOST_ASKED:
                self._judged.popitem(last=False)
        return claims

    def identity(self, token: str) -> Claims:
        """Return the claims of an ID token, which is for the edge's client.  Raises the same."""
        return self._verified(token, self.client.client_id)

    def metadata(self) -> Claims:
        """Return what the issuer says of itself (OpenID Connect Discovery 1.0).

        Raises IssuerAway.
        """
        if self._metadata is None:
            found = self._fetched(f"{self.client.issuer}/.well-known/openid-configuration")
            if found.get("issuer") != self.client.issuer:
                raise IssuerAway("the issuer calls itself by another name")
            self._metadata = found
        return self._metadata

    def session(self) -> requests.Session:
        """Return a session that speaks to the issuer and where it leads, by `edge.outbound`."""
        made = requests.Session()
        outbound.guard(made, self.client.issuer)
        return made

    def _verified(self, token: str, audience: str) -> Claims:
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.client.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims: dict[str, Any] = self._decoded(token).claims
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as exc:
            # Not its own words: they repeat what is in the token.
            log.info("issuer.refused-token", why=type(exc).__name__)
            raise _bad("it is forged, over, or not for here") from None
        return claims

    def _decoded(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, self._key_set(), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            return jwt.decode(token, self._key_set(again=True), algorithms=ALGORITHMS)

    def _key_set(self, *, again: bool = False) -> KeySet:
        with self._lock:
            at = self._clock()
            stale = at >= self._keys_at + (REFETCH_S if again else KEYS_LIFE_S)
            if self._keys is None or (stale and at >= self._asked_at + REFETCH_S):
                self._asked_at = at
                self._renew_keys(at)
            if self._keys is None:
                raise IssuerAway("the issuer's keys are not known yet")
            return self._keys

    def _renew_keys(self, at: float) -> None:
        """Fetch the keys; while the issuer is away, those that are known go on being good."""
        try:
            found = self._fetched(str(self.metadata().get("jwks_uri", "")))
            self._keys, self._keys_at = _key_set(found), at
        except IssuerAway:
            if self._keys is None:
                raise
            log.warning("issuer.keys-not-renewed", issuer=self.client.issuer)

    def _introspected(self, token: str) -> Claims:
        """Return what the issuer says of an opaque token; remembered for a short while."""
        known = hashlib.sha256(token.encode()).hexdigest()
        with self._lock:
            at, claims = self._asked.get(known, (float("-inf"), {}))
        if self._clock() >= at + ASKED_LIFE_S:
            claims = self._asked_about(token)
            with self._lock:
                self._asked[known] = (self._clock(), claims)
                while len(self._asked) > MOST_ASKED:
                    self._asked.popitem(last=False)
        self._judge_opaque(claims)
        # A client that comes for itself has no subject there.
        return {"sub": f"client:{claims.get('client_id', '')}", **claims}

    def _asked_about(self, token: str) -> Claims:
        url = self.metadata().get("introspection_endpoint")
        if not url or not self.client.secret:
            raise _bad("opaque tokens are not taken here")
        if not self._askers.acquire(timeout=outbound.CONNECT_S):
            raise IssuerAway("too many tokens are being asked about")
        try:
            auth = (self.client.client_id, self.client.secret)
            return self._fetched(str(url), data={"token": token}, auth=auth)
        finally:
            self._askers.release()

    def _judge_opaque(self, claims: Claims) -> None:
        """Return if what the issuer says of an opaque token makes it good.  Raises the same."""
        audience = claims.get("aud", ())
        for_us = self.client.audience in ([audience] if isinstance(audience, str) else audience)
        here = claims.get("iss", self.client.issuer) == self.client.issuer
        until = claims.get("exp", 0)
        good = claims.get("active") is True and isinstance(until, int | float)
        named = _is_name(claims.get("sub", claims.get("client_id")))
        if not (good and for_us and here and named and until > self._now()):
            raise _bad("the issuer does not say that it is good here")

    def _fetched(self, url: str, **sent: Any) -> dict[str, Any]:
        try:
            with self.session() as session:
                method = "POST" if sent else "GET"
                answer = session.request(
                    method, url, headers={"Accept": "application/json"}, **sent
                )
                answer.raise_for_status()
                found = answer.json()
        except (requests.RequestException, ValueError, OSError) as exc:
            log.warning("issuer.away", issuer=self.client.issuer, why=type(exc).__name__)
            raise IssuerAway("the issuer cannot be reached, or makes no sense") from None
        if not isinstance(found, dict):
            raise IssuerAway("the issuer makes no sense")
        return found


def _key_set(found: Mapping[str, Any]) -> KeySet:
    """Return the keys that sign, of those that are published; strange ones are left out."""
    keys = []
    for each in filter(_signs, found.get("keys", ())):
        try:
            keys += KeySet.import_key_set({"keys": [each]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            log.warning("issuer.strange-key", kid=str(each.get("kid"))[:64])
    return KeySet(keys)


def _signs(key: object) -> bool:
    return (
        isinstance(key, dict)
        and key.get("kty") in {"RSA", "EC", "OKP"}
        and key.get("use", "sig") == "sig"
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _bad(why: str) -> Unauthenticated:
    # RFC 6750, section 3.1.
    how = {"WWW-Authenticate": 'Bearer realm="sprout", error="invalid_token"'}
    return Unauthenticated(f"the token is not good: {why}", headers=how)
