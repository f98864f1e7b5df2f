"""A delivery is believed only when it is signed with the own secret, over these very bytes, lately."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhenglian import webhooks
from zhenglian.webhooks import SecretInvalid, WebhookInvalid, new_secret, secret_bytes, sign, verify

SECRET = new_secret(bytes(range(32)))
OTHER = new_secret(bytes(range(1, 33)))
BODY = json.dumps({"type": "grants.requested", "data": {"n": 1}}).encode()
NOW_S = 1_800_000_000


def signed(*secrets: str, body: bytes = BODY, time_s: int = NOW_S) -> dict[str, str]:
    return sign([secret_bytes(secret) for secret in secrets or (SECRET,)], "msg_00", time_s, body)


def test_a_signed_delivery_is_believed_and_says_what_happened() -> None:
    found = verify(SECRET, signed(), BODY, now_s=NOW_S + 1)
    assert (found.message_id, found.kind, found.data, found.time_s) == (
        "msg_00",
        "grants.requested",
        {"n": 1},
        NOW_S,
    )


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the Standard Webhooks specification.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = webhooks.signature(secret_bytes(secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_changes_either_of_them_holds() -> None:
    headers = signed(SECRET, OTHER)
    for mine in (SECRET, OTHER, [OTHER, SECRET]):
        assert verify(mine, headers, BODY, now_s=NOW_S).message_id == "msg_00"


@given(st.sampled_from(["body", "id", "time", "secret", "version", "none", "twice", "empty"]))
def test_whatever_was_changed_is_refused(what: str) -> None:
    headers, body, secret = signed(), BODY, SECRET
    match what:
        case "body":
            body = BODY + b" "
        case "id":
            headers["webhook-id"] = "msg_01"
        case "time":
            headers["webhook-timestamp"] = str(NOW_S + 1)
        case "secret":
            secret = OTHER
        case "version":
            headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v1a,")
        case "none":
            del headers["webhook-signature"]
        case "twice":
            headers["Webhook-Id"] = headers["webhook-id"]
        case _:
            headers["webhook-signature"] = ""
    with pytest.raises(WebhookInvalid):
        verify(secret, headers, body, now_s=NOW_S)


@pytest.mark.parametrize("off_s", [-301, 301])
def test_an_old_delivery_and_one_of_the_future_are_refused(off_s: int) -> None:
    with pytest.raises(WebhookInvalid, match="more than 300"):
        verify(SECRET, signed(), BODY, now_s=NOW_S + off_s)
    assert verify(SECRET, signed(), BODY, now_s=NOW_S + off_s, tolerance_s=301)


def test_a_body_that_is_no_delivery_is_refused_though_it_is_signed() -> None:
    for body in (b"", b"[]", b"{}", b'{"type": 1, "data": {}}', b"\xff", b"[" * 100_000):
        with pytest.raises(WebhookInvalid):
            verify(SECRET, signed(body=body), body, now_s=NOW_S)
    large = b" " * (webhooks.BODY_SIZE_BYTES_MAX + 1)
    with pytest.raises(WebhookInvalid, match="bytes"):
        verify(SECRET, signed(body=large), large, now_s=NOW_S)


@pytest.mark.parametrize(
    "secret", ["", "abc", "whsec_", "whsec_!!", "whsec_AAAA", "whsec_" + "A" * 400, "whsec_\u4e2d"]
)
def test_what_is_no_secret_is_named_as_the_receivers_own_fault(secret: str) -> None:
    with pytest.raises(SecretInvalid):
        verify(secret, signed(), BODY, now_s=NOW_S)


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=80)
    ),
    st.binary(max_size=80),
)
def test_no_headers_and_no_bytes_make_it_fail_otherwise(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(WebhookInvalid):
        verify(SECRET, headers, body, now_s=NOW_S)
