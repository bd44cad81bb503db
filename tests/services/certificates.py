"""An authority and what it signs, made for a test: good certificates, and each kind of bad one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from config.tls import Credentials

DAY = timedelta(days=1)
LONG_AGO, YESTERDAY, TOMORROW, LATER = (datetime.now(UTC) + days * DAY for days in (-9, -1, 1, 9))


@dataclass(frozen=True)
class Authority:
    """Signs certificates, and writes them below *folder*."""

    folder: Path
    key: CertificateIssuerPrivateKeyTypes
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def issue(
        self,
        name: str,
        *uris: str,
        hosts: Sequence[str] = (),
        begins: datetime = YESTERDAY,
        ends: datetime = TOMORROW,
        signs: bool = False,
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> Credentials:
        """Return the credentials of *name*, which trust this authority."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = [*map(x509.UniformResourceIdentifier, uris), *map(_host, hosts)]
        builder = _named(name, key.public_key(), self.certificate.subject, begins, ends, ca=signs)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = builder.add_extension(issuer, critical=False).sign(self.key, hashes.SHA256())
        return Credentials(
            self.file,
            _written(self.folder / f"{name}.pem", made.public_bytes(Encoding.PEM)),
            _written(self.folder / f"{name}.key", _private(key)),
        )

    @staticmethod
    def under(folder: Path, credentials: Credentials) -> "Authority":
        """Return what signs by *credentials*, whether it may or not."""
        folder.mkdir(parents=True)
        [certificate], key = credentials.own()
        _written(folder / "ca.pem", certificate.public_bytes(Encoding.PEM))
        return Authority(folder, cast("CertificateIssuerPrivateKeyTypes", key), certificate)


def authority(folder: Path, name: str = "authority") -> Authority:
    """Return a new authority, whose own certificate lies in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _named(name, key.public_key(), subject, LONG_AGO, LATER, ca=True)
    made = Authority(folder, key, builder.sign(key, hashes.SHA256()))
    _written(made.file, made.certificate.public_bytes(Encoding.PEM))
    return made


def variables(credentials: Credentials) -> dict[str, str]:
    """Return the settings of a process that has *credentials*."""
    return {
        "SPROUT_TLS_ENABLED": "true",
        "SPROUT_TLS_CA_FILE": str(credentials.ca),
        "SPROUT_TLS_CERT_FILE": str(credentials.cert),
        "SPROUT_TLS_KEY_FILE": str(credentials.key),
    }


def _named(
    name: str,
    key: CertificatePublicKeyTypes,
    issuer: x509.Name,
    begins: datetime,
    ends: datetime,
    *,
    ca: bool,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _written(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
