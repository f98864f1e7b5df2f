"""TLS between peers: version 1.3, both sides authenticated, keys pinned by the ledger
(docs/adr/0004-peer-tls.md).

Rule: no certificate authority and no host name is trusted. A context accepts exactly the self-signed X.509
certificates it was given, `spki_of_peer` then says whose key it was, and no session is resumed, so that every
connection proves its key. A certificate names its own key and is signed with it, so nobody can make one that
OpenSSL would take for another node's.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ledger.errors import LedgerError
from ledger.types import CERTIFICATE_DER_BYTES_MAX
from network.errors import PeerCertificateExpired, TlsFailed, TlsIdentityInvalid

# A stolen key is of use for a year at most. Renewal begins with a third left, so that four months remain to notice that
# it does not work.
CERTIFICATE_LIFE_S: Final = 365 * 86_400
# Peers whose clocks are this far behind the issuing machine's accept a fresh certificate.
CERTIFICATE_BACKDATING_S: Final = 86_400
CERTIFICATE_PEM_BYTES_MAX: Final = 16 * 1024
ALPN_PROTOCOL: Final = "zhenglian-peer/1"
# What the X.509 parser says of foreign bytes; its own errors have no common ancestor.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Where this node's private key and X.509 certificate lie: one PEM file, so that one rename replaces both.

    Attributes:
        path: the file.
        password: says what the key in it is encrypted under; asked only if it is.
    """

    path: Path
    password: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)


def issue_certificate(
    *, now_ms: int, life_s: int = CERTIFICATE_LIFE_S, password: bytes | None = None
) -> tuple[str, str]:
    """Make a P-256 key and a self-signed X.509 certificate for it, whose only name is the hash of the key.

    Args:
        now_ms: current time, Unix milliseconds.
        life_s: how long it lasts from now on, in seconds, over 0.
        password: the private key is encrypted under it; left readable without one.

    Returns:
        (certificate, private key), both PEM; the key is PKCS #8.

    Source: RFC 5280 §4; RFC 8018 §6.2 for the encryption.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = _name_of(hashlib.sha256(spki).digest())
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    both_ends = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(seconds=CERTIFICATE_BACKDATING_S))
        .not_valid_after(now + timedelta(seconds=life_s))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(both_ends, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return certificate.public_bytes(Encoding.PEM).decode(), key_pem.decode()


def encrypt_private_key(pem: bytes, password: bytes, *, source: str) -> bytes:
    """A PEM file of `issue_certificate` with its readable private key encrypted; the certificate stays as it is.

    Raises:
        TlsIdentityInvalid: there is not exactly one readable private key.
    """
    begin, end = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
    before, found, rest = pem.partition(begin)
    body, ended, after = rest.partition(end)
    try:
        if not found or not ended or begin in after:
            raise ValueError("it does not hold one readable private key")
        key = load_pem_private_key(begin + body + end + b"\n", None)
        encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    except _UNREADABLE as error:
        raise TlsIdentityInvalid(file=source, reason=str(error)) from None
    return before + encrypted.rstrip() + after


def load_certificate(pem: str, *, source: str) -> x509.Certificate:
    """Read one PEM certificate; a private key may lie beside it.

    Args:
        pem: the text.
        source: where it came from, for the message.

    Raises:
        TlsIdentityInvalid: too large, or not one X.509 certificate as `issue_certificate` makes them.
    """
    if len(pem) > CERTIFICATE_PEM_BYTES_MAX:
        raise TlsIdentityInvalid(file=source, reason=f"more than {CERTIFICATE_PEM_BYTES_MAX} characters")
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except _UNREADABLE as error:
        raise TlsIdentityInvalid(file=source, reason=str(error)) from None
    if len(certificates) != 1:
        raise TlsIdentityInvalid(file=source, reason=f"{len(certificates)} certificates instead of one")
    _check(certificates[0], source)
    return certificates[0]


def load_certificate_der(der: bytes, *, source: str) -> x509.Certificate:
    """Read one certificate as the ledger holds it; errors as for `load_certificate`."""
    if len(der) > CERTIFICATE_DER_BYTES_MAX:
        raise TlsIdentityInvalid(file=source, reason=f"more than {CERTIFICATE_DER_BYTES_MAX} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
    except _UNREADABLE as error:
        raise TlsIdentityInvalid(file=source, reason=str(error)) from None
    _check(certificate, source)
    return certificate


def certificate_der(certificate: x509.Certificate) -> bytes:
    """Its DER, as the ledger holds it."""
    return certificate.public_bytes(Encoding.DER)


def spki_sha256(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: what is pinned of a certificate. Source: RFC 7469 §2.4."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def certificate_expires_at_ms(certificate: x509.Certificate) -> int:
    """When it ends, Unix milliseconds."""
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def certificate_life_ms(certificate: x509.Certificate) -> int:
    """How long it lasts from the moment it was made, in milliseconds."""
    made_s = certificate.not_valid_before_utc.timestamp() + CERTIFICATE_BACKDATING_S
    return certificate_expires_at_ms(certificate) - int(made_s * 1000)


def _name_of(spki: bytes) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spki.hex())])


def _check(certificate: x509.Certificate, source: str) -> None:
    """Refuse what `issue_certificate` would not make: OpenSSL finds trusted certificates by name, so a name that is not its
    own key's, or a foreign signature, could shadow another node's certificate."""
    try:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise TlsIdentityInvalid(file=source, reason="its key is not a P-256 key")
        name = _name_of(spki_sha256(certificate))
        if certificate.subject != name or certificate.issuer != name:
            raise TlsIdentityInvalid(file=source, reason="its name is not the hash of its key")
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        raise TlsIdentityInvalid(file=source, reason="it is not signed with its own key") from None
    except _UNREADABLE as error:
        raise TlsIdentityInvalid(file=source, reason=str(error)) from None


def spki_of_peer(ssl_object: ssl.SSLObject) -> bytes:
    """SHA-256 of the key that the other end has just proved to hold."""
    der = ssl_object.getpeercert(binary_form=True)
    return spki_sha256(x509.load_der_x509_certificate(der or b""))


def _context(protocol: int, identity: TlsIdentity, trusted: Iterable[x509.Certificate]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols([ALPN_PROTOCOL])
    try:
        # Always with a password, lest OpenSSL ask for one at the terminal.
        context.load_cert_chain(identity.path, password=identity.password or bytes)
    except OSError as error:
        reason = f"{error}; it must be a PEM certificate with its own private key"
        raise TlsIdentityInvalid(file=str(identity.path), reason=reason) from None
    for certificate in trusted:
        # One that OpenSSL cannot read shuts out its own node only.
        with suppress(ssl.SSLError):
            context.load_verify_locations(cadata=certificate_der(certificate))
    return context


def client_context(identity: TlsIdentity, trusted: Iterable[x509.Certificate]) -> ssl.SSLContext:
    """The context for dialing.

    Args:
        identity: this node's own certificate and key.
        trusted: the peers' certificates; nothing else is accepted.

    Raises:
        TlsIdentityInvalid: own certificate or key is missing, unreadable or not a pair.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, trusted)


def server_context(identity: TlsIdentity, trusted: Iterable[x509.Certificate]) -> ssl.SSLContext:
    """The context for listening; arguments and errors as for `client_context`."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity, trusted)
    context.num_tickets = 0
    return context


def tls_failure(error: ssl.SSLError, peer: str) -> LedgerError:
    """What a person has to know of an error between this node and `peer`, a name for the message."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return PeerCertificateExpired(peer=peer)
        return TlsFailed(reason=f"{peer}: {error.verify_message}")
    return TlsFailed(reason=f"{peer}: {error.reason or error}")
