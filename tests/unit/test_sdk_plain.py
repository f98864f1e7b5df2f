"""Arguments as people write them: hex for bytes, names for choices, every mistake named."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.calls import GovernancePropose, GrantsRevoke, RegisterOrganization
from contracts.records import AccountKind
from ledger.errors import DecodeError
from zhenglian.plain import from_plain

ACTION: dict[str, Any] = {
    "type": "register_organization",
    "account_id": "ab" * 16,
    "kind": "department",
    "name": "市公安局",
    "credit_code": "",
    "issues": ["identity_card"],
    "admin": {
        "scheme": "ed25519",
        "public_key": "cd" * 32,
        "role": "admin",
        "label": "1",
        "valid_until_ms": 0,
    },
}


def propose(**changes: object) -> RegisterOrganization:
    made = from_plain({"action": {**ACTION, **changes}}, GovernancePropose, "propose").action
    assert isinstance(made, RegisterOrganization)
    return made


def test_an_action_is_read_with_its_key_and_kind() -> None:
    made = propose()
    assert (made.account_id, made.kind) == (bytes.fromhex("ab" * 16), AccountKind.DEPARTMENT)
    assert made.admin.public_key == bytes.fromhex("cd" * 32)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"type": "abolish"}, "action.type"),
        ({"kind": "club"}, "action.kind"),
        ({"account_id": "XY"}, "action.account_id"),
        ({"account_id": "ab"}, "propose"),
        ({"issues": "identity_card"}, "action.issues"),
        ({"extra": 1}, "action.extra"),
        ({"name": 7}, "propose"),
        ({"name": ""}, "propose"),
        ({"admin": []}, "action.admin"),
        ({"admin": {"scheme": "ed25519"}}, "action.admin.public_key"),
    ],
)
def test_a_mistake_is_named_by_its_place(changes: dict[str, object], named: str) -> None:
    with pytest.raises(DecodeError) as caught:
        propose(**changes)
    assert named in str(caught.value.fields["what"])


@pytest.mark.parametrize("document", [None, [], "x", {"grant_id": "00" * 16, "other": 1}, {}])
def test_what_is_no_object_of_the_right_members_is_refused(document: object) -> None:
    with pytest.raises(DecodeError):
        from_plain(document, GrantsRevoke, "grants.revoke")
