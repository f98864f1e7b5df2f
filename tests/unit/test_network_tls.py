"""Certificates of members, as the ledger holds them."""

from __future__ import annotations

import ssl

import pytest

from network.errors import TlsIdentityInvalid
from network.tls import issue_certificate, load_certificate_der


def test_a_certificate_of_no_known_version_is_refused_like_any_other_rubbish() -> None:
    """Found by fuzzing: the parser's error for it is no ValueError, and a member could have stopped every node with it."""
    pem, _ = issue_certificate(now_ms=1_735_689_600_000)
    der = ssl.PEM_cert_to_DER_cert(pem)
    at = der.index(b"\xa0\x03\x02\x01\x02") + 4
    with pytest.raises(TlsIdentityInvalid):
        load_certificate_der(der[:at] + b"\x12" + der[at + 1 :], source="a member")
