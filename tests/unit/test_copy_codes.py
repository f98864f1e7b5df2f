"""The code on a copy: one writing, signed by a node, and nothing else passes for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger import domains
from ledger.errors import DecodeError
from tests.unit.contracts_world import NODES, OPERATORS, SUITE, identity
from zhenglian.api import AccountView, KeyView
from zhenglian.copy_codes import CODE_CHARS_MAX, CopyCode, code_message, code_text, maker_of, read_code

CHAIN, RELEASE = identity("chain", 32), identity("release", 8)
START = datetime(2026, 1, 1, tzinfo=UTC)


def operator(number: int, role: str = "node") -> AccountView:
    signer = NODES[number].signer
    key = KeyView(
        key_id=identity(f"key {number}").hex(),
        scheme=signer.scheme,
        public_key=signer.public_key.hex(),
        role=role,
        label="",
        valid_from=START,
        valid_until=None,
        revoked=None,
    )
    return AccountView(
        account=OPERATORS[number].account.hex(),
        kind="operator",
        status="active",
        name=f"运营方 {number}",
        credit_code="",
        issues=[],
        created=START,
        keys=[key],
    )


def code_of(number: int, chain_id: bytes = CHAIN, release_id: bytes = RELEASE) -> CopyCode:
    signature = NODES[number].signer.sign(domains.COPY_CODE, code_message(chain_id, release_id))
    return CopyCode(release_id=release_id, signature=signature)


def test_what_is_written_is_read_and_leads_to_its_maker() -> None:
    everybody = [operator(number) for number in range(4)]
    for number in range(4):
        text = code_text(code_of(number))
        assert text == text.upper()
        assert len(text) <= CODE_CHARS_MAX
        assert RELEASE.hex().upper() in text
        read = read_code(f" {text}\n")
        assert read == code_of(number)
        maker = maker_of(SUITE, CHAIN, read, everybody)
        assert maker is not None
        assert maker.name == f"运营方 {number}"


def test_a_code_of_another_network_release_or_key_has_no_maker() -> None:
    everybody = [operator(number) for number in range(4)]
    for code in (
        code_of(0, chain_id=identity("other", 32)),
        CopyCode(release_id=identity("other", 8), signature=code_of(0).signature),
        CopyCode(release_id=RELEASE, signature=bytes(64)),
        CopyCode(release_id=RELEASE, signature=b""),
    ):
        assert maker_of(SUITE, CHAIN, code, everybody) is None
    assert maker_of(SUITE, CHAIN, code_of(0), everybody[1:]) is None
    assert maker_of(SUITE, CHAIN, code_of(0), [operator(0, role="admin")]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.org",
        "ZL2." + code_text(code_of(0))[4:],
        code_text(code_of(0)).lower(),
        code_text(code_of(0)) + ".",
        code_text(code_of(0))[:-1] + "1",
        "ZL1." + "0" * 16 + "." + "A" * CODE_CHARS_MAX,
        "ZL1." + "0" * 16 + "." + "A" * 9,
    ],
)
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        read_code(text)
