"""One city for all tests of this folder: each leaves the network as whole as it found it.

What a test hurts for good (a node's disk, the membership, the clock) belongs in a module with a network of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from node.config import CopiesSection, load_config, write_config
from node.devnet import Devnet
from node.home import Home, write_file
from tests.e2e.cities import READY_S, SUITE, City, found_city


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with Devnet.create(tmp_path_factory.mktemp("city") / "devnet", suite=SUITE.name) as network:
        for number in network.numbers:
            sign_copies(network.home(number), f"运营方 {number}")
        network.start_all()
        network.wait_ready(READY_S)
        with found_city(network) as made:
            yield made


@pytest.fixture
def devnet(city: City) -> Devnet:
    return city.devnet


def sign_copies(folder: Path, name: str) -> None:
    """Give a node what it signs derived copies with: a P-256 key and a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=365))
        .sign(key, SHA256())
    )
    write_file(folder / "copies.pem", certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_file(folder / "copies.key", private, secret=True)
    config = Home(folder).config
    copies = CopiesSection(certificate="copies.pem", key="copies.key")
    write_config(config, msgspec.structs.replace(load_config(config), copies=copies))
