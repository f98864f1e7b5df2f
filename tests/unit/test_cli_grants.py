"""What the commands about grants read, and that nobody's separate consent is taken for granted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from contracts.grant_records import Frequency, FrequencyUnit, GrantItem
from contracts.vocabulary import STOPPING_STATES, CertificateState
from ledger.errors import DecodeError
from node.commands.context import default_settings
from node.commands.grant import _separately
from node.commands.grant_inputs import parse_frequency, with_states
from zhenglian.api import CertificateStateRequiredView, GrantItemView
from zhenglian.plans.grants import given_items

ITEM = GrantItem(certificate_type="degree", certificate=b"", fields=("name",), attachments=("scan",))


def test_a_frequency_is_written_as_value_and_unit() -> None:
    assert parse_frequency("2/hour") == Frequency(unit=FrequencyUnit.HOUR, value=2)
    assert parse_frequency("") is None


@pytest.mark.parametrize("text", ["2", "2/", "/hour", "two/hour", "2/fortnight", "2/hour/day"])
def test_what_is_no_frequency_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_frequency(text)
    assert "2/hour" in caught.value.message("en")


def test_states_come_on_top_of_those_that_always_stop() -> None:
    (item,) = with_states([ITEM], ["mortgaged", "revoked"])
    stopped_by = item.certificate_state_required.stopped_by
    assert stopped_by == (*STOPPING_STATES, CertificateState.MORTGAGED)
    assert with_states([ITEM], None) == [ITEM]
    with pytest.raises(DecodeError):
        with_states([ITEM], ["lost"])


def view(*separately: str) -> Any:
    return SimpleNamespace(separately=list(separately))


def test_each_part_that_needs_a_consent_of_its_own_is_named_or_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    found = default_settings()
    asked = view("degree.name", "degree.grade")
    assert _separately(found, asked, (ITEM,), ["degree.name"]) == ("degree.name",)
    assert _separately(found, view(), (ITEM,), None) == ()
    with pytest.raises(DecodeError) as caught:
        _separately(found, asked, (ITEM,), None)
    assert "degree.name" in caught.value.message("en")
    with pytest.raises(DecodeError):
        _separately(found, asked, (ITEM,), ["degree.grade"])


def test_items_go_back_to_the_ledger_with_the_states_that_were_asked() -> None:
    required = CertificateStateRequiredView(stopped_by=["mortgaged"], within_dates=False)
    shown = GrantItemView(
        certificate_type="degree",
        certificate=None,
        fields=["name"],
        attachments=[],
        declined=[],
        certificate_state_required=required,
    )
    (item,) = given_items([shown])
    assert item.certificate_state_required.stopped_by == (CertificateState.MORTGAGED,)
    assert item.certificate_state_required.within_dates is False
