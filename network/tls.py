"""TLS between peers: version 1.3, both sides authenticated, keys pinned by genesis
(docs/adr/0004-peer-tls.md).

Rule: no certificate authority and no host name is trusted. A context accepts exactly the self-signed X.509
certificates it was given, `spki_of_peer` then says whose key it was, and no session is resumed, so that every
connection proves its key.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from network.errors import TlsIdentityInvalid

CERTIFICATE_VALIDITY_DAYS: Final = 20 * 365
# Peers whose clocks are this far behind the issuing machine's accept a fresh certificate.
CERTIFICATE_BACKDATING_DAYS: Final = 1
CERTIFICATE_PEM_BYTES_MAX: Final = 16 * 1024
ALPN_PROTOCOL: Final = "zhenglian-peer/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """Where this node's X.509 certificate and its private key lie, both PEM."""

    certificate_path: Path
    key_path: Path


def issue_certificate(common_name: str, *, now_ms: int) -> tuple[str, str]:
    """Make a P-256 key and a self-signed X.509 certificate for it.

    Args:
        common_name: 1 to 64 characters, shown to people; nothing is decided by it.
        now_ms: current time, Unix milliseconds.

    Returns:
        (certificate, private key), both PEM; the key is PKCS #8, unencrypted.

    Source: RFC 5280 §4.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
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
        .not_valid_before(now - timedelta(days=CERTIFICATE_BACKDATING_DAYS))
        .not_valid_after(now + timedelta(days=CERTIFICATE_VALIDITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(both_ends, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), key_pem.decode()


def load_certificate(pem: str, *, source: str) -> x509.Certificate:
    """Read one PEM certificate.

    Args:
        pem: the text.
        source: where it came from, for the message.

    Raises:
        TlsIdentityInvalid: too large, or not one X.509 certificate with a key that is supported.
    """
    if len(pem) > CERTIFICATE_PEM_BYTES_MAX:
        raise TlsIdentityInvalid(file=source, reason=f"more than {CERTIFICATE_PEM_BYTES_MAX} characters")
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
        if len(certificates) != 1:
            raise TlsIdentityInvalid(file=source, reason=f"{len(certificates)} certificates instead of one")
        certificates[0].public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsIdentityInvalid(file=source, reason=str(error)) from None
    return certificates[0]


def spki_sha256(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo, as pinned in `GenesisOperator.tls_spki`. Source: RFC 7469 §2.4."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def certificate_expires_at_ms(certificate: x509.Certificate) -> int:
    """When it ends, Unix milliseconds."""
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


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
        context.load_cert_chain(identity.certificate_path, identity.key_path)
    except OSError as error:
        reason = f"{error}; it must be a PEM certificate with its own private key"
        raise TlsIdentityInvalid(file=str(identity.certificate_path), reason=reason) from None
    roots = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in trusted)
    if roots:
        context.load_verify_locations(cadata=roots)
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


def describe_tls_error(error: ssl.SSLError) -> str:
    """The part of an error that helps a person, e.g. "certificate has expired"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.reason or str(error)
