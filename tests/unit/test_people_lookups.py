"""From an identity number to an account, over a real API and four holders; and what must not work on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest

import contracts.denials
from contracts.calls import (
    GovernanceApprove,
    GovernancePropose,
    OrganizationsRevokeKey,
    SuspendOrganization,
)
from contracts.directory import elements_hash
from contracts.people_actions import SetLookupLimits
from contracts.people_calls import LookupsRequest
from contracts.people_records import AssertionUse, LookupLimits, PersonTag
from contracts.records import AccountKind, KeyRole
from contracts.shared_key_records import KeyPurpose
from contracts.state import PERSON_TAGS
from ledger import codec
from ledger.crypto.threshold import prf
from ledger.crypto.threshold.polynomials import interpolate
from ledger.crypto.threshold.shares import Share
from ledger.domains import PERSON_TAG
from ledger.errors import DecodeError, Unavailable
from node.holders.errors import KeyRefused
from node.holders.lookups import KIND, LookupAsk
from node.holders.ports import ShareAnswer, ShareAsk
from node.holders.server import decode_answer
from node.services.people_ports import Evaluation
from node.services.ports import Caller
from tests.unit.contracts_world import (
    BANK,
    BANK_ADMIN,
    CLERK,
    DEPARTMENT,
    GROUP,
    OPERATORS,
    SUITE,
    Actor,
    directory_key,
    identity,
)
from tests.unit.lookups_world import ACCOUNTS, TELLER, Directory, directory
from zhenglian import (
    AlreadyEnrolled,
    ApiError,
    AsyncClient,
    Denied,
    KeyFile,
    NotApproved,
    OwnSecret,
    exchange,
)
from zhenglian.api_people import AccountsRequest, AccountsView, TagValue
from zhenglian.exchange import Request, decode
from zhenglian.identifiers import IdentityNumberInvalid
from zhenglian.own_numbers import ShareInvalid
from zhenglian.plans.lookups import Lookup

NUMBER: Final = "11010119900307109X"
OTHER: Final = "110101199003074477"
THIRD: Final = "110101199001010015"
Shares = Mapping[int, Sequence[Share]]
Change = Callable[[Shares], Shares]
BANK_OFFICER: Final = Caller(
    account=BANK.account, key_id=BANK.key_id, kind=AccountKind.ENTERPRISE, role=KeyRole.OFFICER
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Directory]:
    async with directory(tmp_path) as made:
        yield made


async def enroll(here: Directory, number: str = NUMBER) -> tuple[KeyFile, OwnSecret]:
    """Somebody new, by two officers; the key file and the secret that the person keeps."""
    key = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="phone")
    async with here.client(CLERK) as clerk, here.client(DEPARTMENT) as second:
        request, secret = await clerk.identity_request(number, key.new_key())
        assertion = await clerk.assert_identity(number, request)
        assert await second.enroll(key.new_key(), assertion) == key.account
    return key, secret


def owner(here: Directory, key: KeyFile) -> AsyncClient:
    client = AsyncClient(here.url, key)
    client.core.clock_ms = lambda: here.node.now_ms
    return client


async def opened(here: Directory, *numbers: str) -> Lookup:
    async with here.client(BANK) as bank:
        return await bank.open_lookup(numbers)


def asked(here: Directory, lookup: Lookup, version: int = 1, **changes: object) -> ShareAsk:
    payload = LookupAsk(
        height=here.node.chain.height, elements=tuple(one.element.encode() for one in lookup.blinded)
    )
    values: dict[str, object] = {
        "kind": KIND,
        "record_id": bytes.fromhex(lookup.ticket_id),
        "purpose": KeyPurpose.DIRECTORY,
        "version": version,
        "renewal": 0,
        "payload": codec.encode(payload),
    }
    return ShareAsk(**{**values, **changes})  # type: ignore[arg-type]


async def refusal(here: Directory, ask: ShareAsk, sender: bytes = ACCOUNTS[0]) -> str:
    """Why the second operator's node does not answer."""
    with pytest.raises(KeyRefused) as caught:
        await here.offices[ACCOUNTS[1]].permit.permit(sender, ask)
    return caught.value.reason


async def test_a_number_finds_its_account_and_nobody_elses(here: Directory) -> None:
    key, _ = await enroll(here)
    async with here.client(BANK) as bank:
        assert await bank.find_person(NUMBER) == key.account
        assert await bank.find_person(OTHER) is None
        with pytest.raises(IdentityNumberInvalid):
            await bank.find_person(NUMBER[:-1] + "0")


async def test_the_same_number_has_the_same_tag_and_account_through_every_node(here: Directory) -> None:
    key, _ = await enroll(here)
    tags = set()
    for account in ACCOUNTS:
        here.serve_as(account)
        async with here.client(BANK) as bank:
            lookup = await bank.open_lookup((NUMBER,))
            (found,) = await bank.finish_lookup(lookup)
        assert found.account == key.account
        tags.add(found.tags)
    assert len(tags) == 1


async def test_two_lookups_of_one_number_look_alike_to_nobody(here: Directory) -> None:
    one, two = await opened(here, NUMBER), await opened(here, NUMBER)
    assert one.blinded[0].element.encode() != two.blinded[0].element.encode()


async def test_neither_node_nor_holders_see_number_tag_or_unblinded_element(here: Directory) -> None:
    await enroll(here)
    async with here.client(BANK) as bank:
        lookup = await bank.open_lookup((NUMBER,))
        (found,) = await bank.finish_lookup(lookup)
    plain = GROUP.hash_to_element(PERSON_TAG, NUMBER.encode()).encode()
    everything = b"".join(here.seen)
    for secret in (NUMBER.encode(), found.tags[0].tag, plain):
        assert secret not in everything
    assert NUMBER not in repr(lookup)
    assert str(lookup.blinded[0].blind) not in repr(lookup)


async def test_a_person_is_enrolled_once_and_account_and_request_belong_to_the_number(
    here: Directory,
) -> None:
    await enroll(here)
    key = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="tablet")
    async with here.client(CLERK) as clerk:
        request, _ = await clerk.identity_request(NUMBER, key.new_key())
        with pytest.raises(AlreadyEnrolled):
            await clerk.assert_identity(NUMBER, request)
        with pytest.raises(DecodeError, match="not of this number"):
            await clerk.assert_identity(OTHER, request)


async def test_fewer_holders_than_the_threshold_compute_nothing(here: Directory) -> None:
    """With the shares of t − 1 nodes in hand, no number's tag comes out; with those of t it does."""
    await enroll(here)
    key, secrets = directory_key()
    threshold = key.keys.threshold
    assert threshold == 3
    for held in range(1, threshold + 1):
        guess = interpolate(GROUP.order, {n: secrets[n - 1] for n in range(1, held + 1)})
        blinded = prf.blind(GROUP, PERSON_TAG, NUMBER.encode(), GROUP.random_scalar)
        tag = prf.finalize(
            GROUP, SUITE.hash, PERSON_TAG, NUMBER.encode(), blinded, blinded.element.times(guess)
        )
        found = PERSON_TAGS.get(here.node.chain.records, (1, tag))
        assert (found is not None) is (held == threshold)


async def test_a_lookup_gets_on_without_one_holder_and_not_without_two(here: Directory) -> None:
    key, _ = await enroll(here)
    here.silent = {ACCOUNTS[3]}
    async with here.client(BANK) as bank:
        assert await bank.find_person(NUMBER) == key.account
    here.silent = {ACCOUNTS[2], ACCOUNTS[3]}
    lookup = await opened(here, NUMBER)
    with pytest.raises(Unavailable, match="2 of 3"):
        await here.people.evaluate(
            bytes.fromhex(lookup.ticket_id),
            [one.element.encode() for one in lookup.blinded],
            BANK_OFFICER,
        )


async def test_a_holder_that_lies_spoils_nothing(here: Directory) -> None:
    key, _ = await enroll(here)

    def forge(peer: bytes, _payload: bytes, answer: bytes) -> bytes:
        decoded = decode_answer(answer)
        if peer != ACCOUNTS[1] or not isinstance(decoded, ShareAnswer):
            return answer
        (share,) = decoded.shares
        wrong = type(share)(holder=share.holder, element=GROUP.generator.times(7).encode(), proof=share.proof)
        return codec.encode(ShareAnswer(shares=(wrong,)))

    here.between = forge
    async with here.client(BANK) as bank:
        assert await bank.find_person(NUMBER) == key.account


async def test_a_node_that_swaps_or_drops_shares_is_caught_by_the_client(here: Directory) -> None:
    evaluate = here.people.evaluate

    def swapped(shares: Shares) -> Shares:
        one, two, *rest = sorted(shares)
        return {one: shares[two], two: shares[one], **{n: shares[n] for n in rest}}

    def short(shares: Shares) -> Shares:
        return {min(shares): shares[min(shares)]}

    for change in (swapped, short):

        async def lying(
            ticket_id: bytes, elements: Sequence[bytes], caller: Caller, change: Change = change
        ) -> tuple[Evaluation, ...]:
            (made,) = await evaluate(ticket_id, elements, caller)
            return (Evaluation(version=1, renewal=made.renewal, shares=change(made.shares)),)

        here.people.evaluate = lying  # type: ignore[method-assign]
        async with here.client(BANK) as bank:
            with pytest.raises(ShareInvalid):
                await bank.find_person(NUMBER)


async def test_holders_answer_the_elements_of_the_ticket_and_no_others(here: Directory) -> None:
    lookup, other = await opened(here, NUMBER), await opened(here, OTHER)
    await here.offices[ACCOUNTS[1]].permit.permit(ACCOUNTS[0], asked(here, lookup))
    swapped = asked(here, other, record_id=bytes.fromhex(lookup.ticket_id))
    assert await refusal(here, swapped) == "elements_of_another"
    assert await refusal(here, asked(here, lookup, record_id=identity("none"))) == "unknown_ticket"
    assert await refusal(here, asked(here, lookup), sender=ACCOUNTS[2]) == "not_entrusted"
    assert await refusal(here, asked(here, lookup, purpose=KeyPurpose.VAULT)) == "wrong_purpose"
    assert await refusal(here, asked(here, lookup, version=2)) == "unknown_key"
    assert await refusal(here, asked(here, lookup, version=0)) == "unknown_key"


async def test_a_holder_answers_only_once_the_ticket_is_final_in_its_own_replica(
    here: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = await opened(here, NUMBER)
    ahead = LookupAsk(
        height=here.node.chain.height + 1000, elements=tuple(b.element.encode() for b in lookup.blinded)
    )

    monkeypatch.setattr("node.holders.waiting.WAIT_FINAL_S", 0.0)
    with pytest.raises(Unavailable):
        await here.offices[ACCOUNTS[1]].permit.permit(
            ACCOUNTS[0], asked(here, lookup, payload=codec.encode(ahead))
        )


async def test_nothing_is_answered_after_the_tickets_end(here: Directory) -> None:
    lookup = await opened(here, NUMBER)
    end_ms = here.node.now_ms + 3_600_000
    here.offices[ACCOUNTS[1]].permit._time_ms = lambda: end_ms
    assert await refusal(here, asked(here, lookup)) == "ticket_expired"


@pytest.mark.parametrize("revoked", [BANK, TELLER])
async def test_nothing_is_answered_for_an_officer_whose_key_was_revoked_meanwhile(
    here: Directory, revoked: Actor
) -> None:
    async with here.client(BANK) as bank, here.client(TELLER) as teller:
        lookup = await bank.open_lookup((NUMBER, OTHER))
        await teller.approve_lookup(lookup.ticket_id)
    permit = here.offices[ACCOUNTS[1]].permit
    permitted = await permit.permit(ACCOUNTS[0], asked(here, lookup))
    await here.node.send(BANK_ADMIN, OrganizationsRevokeKey(key_id=revoked.key_id))
    assert await refusal(here, asked(here, lookup)) == "ticket_withdrawn"
    with pytest.raises(KeyRefused):
        permitted.again()


async def test_nothing_is_answered_for_an_organisation_that_was_suspended_meanwhile(here: Directory) -> None:
    lookup = await opened(here, NUMBER)
    ticket_id = bytes.fromhex(lookup.ticket_id)
    assert here.people.accounts(ticket_id, (), BANK_OFFICER) == ()
    suspend = GovernancePropose(action=SuspendOrganization(account_id=BANK.account, reason="abuse"))
    proposed = await here.node.send(OPERATORS[0], suspend)
    approve = GovernanceApprove(proposal_id=codec.decode(proposed.output, bytes, size_bytes_max=64))
    for operator in OPERATORS[1:3]:
        await here.node.send(operator, approve)
    assert await refusal(here, asked(here, lookup)) == "ticket_withdrawn"
    with pytest.raises(contracts.denials.Denied, match="counts no more"):
        here.people.accounts(ticket_id, (), BANK_OFFICER)


async def test_elements_outside_the_group_are_refused(here: Directory) -> None:
    for bad in (b"\xc0" + bytes(47), bytes(48), b"\x01"):
        async with here.client(BANK) as bank:
            args = LookupsRequest(
                entry=ACCOUNTS[0], count=1, elements_hash=elements_hash(SUITE, (bad,)), basis="x"
            )
            view = await bank.submit(args)
        assert view.result is not None
        ticket_id = codec.decode(bytes.fromhex(view.result.output), bytes, size_bytes_max=32)
        payload = codec.encode(LookupAsk(height=1, elements=(bad,)))
        ask = ShareAsk(
            kind=KIND,
            record_id=ticket_id,
            purpose=KeyPurpose.DIRECTORY,
            version=1,
            renewal=0,
            payload=payload,
        )
        assert await refusal(here, ask) == "element_invalid"


async def test_several_people_are_found_once_another_officer_has_approved(here: Directory) -> None:
    one, _ = await enroll(here)
    two, _ = await enroll(here, OTHER)
    async with here.client(BANK) as bank, here.client(TELLER) as teller:
        lookup = await bank.open_lookup((NUMBER, THIRD, OTHER))
        with pytest.raises(ApiError) as caught:
            await bank.finish_lookup(lookup)
        assert caught.value.code == "ticket_not_approved"
        with pytest.raises(NotApproved):
            await bank.await_approval(lookup, patience_s=0)
        await teller.approve_lookup(lookup.ticket_id)
        await bank.await_approval(lookup)
        found = await bank.finish_lookup(lookup)
    assert [one.account for one in found] == [one.account, None, two.account]


async def test_a_person_finds_itself_and_nobody_else(here: Directory) -> None:
    key, secret = await enroll(here)
    await enroll(here, OTHER)
    async with owner(here, key) as person:
        assert await person.own_account(NUMBER, secret) == key.account
        for number, kept in ((OTHER, secret), (NUMBER, OwnSecret(secret="01".rjust(64, "0")))):
            with pytest.raises(Denied) as caught:
                await person.own_account(number, kept)
            assert caught.value.code == "own_number_only"
        with pytest.raises(Denied):
            await person.find_person(OTHER)


async def test_what_a_persons_own_evaluation_gives_is_no_tag_of_another_number(here: Directory) -> None:
    """The same shares, taken for another number: the factor fits the own element only."""
    key, secret = await enroll(here)
    await enroll(here, OTHER)
    async with owner(here, key) as person:
        lookup = await person.open_lookup((NUMBER,), secret=secret)
        taken = type(lookup)(
            ticket_id=lookup.ticket_id,
            base=lookup.base,
            count=1,
            numbers=(OTHER,),
            blinded=lookup.blinded,
        )
        (found,) = await person.finish_lookup(taken)
    assert found.account is None


async def test_trying_ids_and_tags_over_http_tells_nothing(here: Directory) -> None:
    key, secret = await enroll(here)
    async with here.client(BANK) as bank, owner(here, key) as person:
        lookup = await bank.open_lookup((NUMBER,))
        (found,) = await bank.finish_lookup(lookup)
        mine = await person.open_lookup((NUMBER,), secret=secret)
        await _refused(person, lookup.ticket_id, found.tags, "not_found")
        await _refused(bank, "00" * 16, found.tags, "not_found")
        await _refused(bank, lookup.ticket_id, found.tags * 4, "limit_exceeded")
        async with here.client(TELLER) as teller:
            await teller.lookup_ticket(lookup.ticket_id)
        with pytest.raises(ApiError) as caught:
            await person.lookup_ticket(lookup.ticket_id)
        assert caught.value.code == "not_found"
        # A tag that came from elsewhere leads a person to itself or nowhere.
        others = (await _tags(here, OTHER), found.tags)
        answers = [await _accounts(person, mine.ticket_id, tags) for tags in others]
        assert answers == [[None], [key.account]]
        strangers = []
        for account in (key.account, "ab" * 16):
            with pytest.raises(ApiError) as caught:
                await bank.account(account)
            strangers.append((caught.value.status, caught.value.code))
        assert strangers[0] == strangers[1] == (404, "not_found")


async def _tags(here: Directory, number: str) -> tuple[PersonTag, ...]:
    await enroll(here, number)
    async with here.client(BANK) as bank:
        lookup = await bank.open_lookup((number,))
        (found,) = await bank.finish_lookup(lookup)
        assert found.account is not None
        return found.tags


async def _accounts(client: AsyncClient, ticket_id: str, tags: Sequence[PersonTag]) -> list[str | None]:
    """What the route tells of these tags."""
    body = AccountsRequest(tags=[TagValue(version=one.version, tag=one.tag.hex()) for one in tags])
    path = f"/v1/lookups/{ticket_id}/accounts"
    request = Request(method="POST", path=path, body=msgspec.json.encode(body), session=True)
    answer = await client.run(exchange.exchange(client.core, request))
    return decode(answer, AccountsView).accounts


async def _refused(client: AsyncClient, ticket_id: str, tags: Sequence[PersonTag], code: str) -> None:
    with pytest.raises(ApiError) as caught:
        await _accounts(client, ticket_id, tags)
    assert caught.value.code == code


async def test_an_enumeration_is_stopped_by_the_quota(here: Directory) -> None:
    here.node.vote(SetLookupLimits(limits=LookupLimits(officer_max=3)))
    async with here.client(BANK) as bank:
        for _ in range(3):
            assert await bank.find_person(NUMBER) is None
        with pytest.raises(Denied) as caught:
            await bank.find_person(NUMBER)
    assert caught.value.code == "lookup_quota"


async def test_only_the_owner_of_a_key_recovers_and_vetoes_through_the_api(here: Directory) -> None:
    key, _ = await enroll(here)
    fresh = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="new phone")
    async with here.client(CLERK) as clerk, owner(here, key) as person, here.client(BANK) as bank:
        request, _ = await clerk.identity_request(NUMBER, fresh.new_key())
        assertion = await clerk.assert_identity(NUMBER, request, use=AssertionUse.RECOVER)
        assert await clerk.recover(fresh.new_key(), assertion) == key.account
        view = await person.recovery(key.account)
        assert (view.state, view.new_key, view.confirmed_by) == ("opened", fresh.key_id, None)
        with pytest.raises(ApiError) as caught:
            await bank.recovery(key.account)
        assert caught.value.code == "not_found"
        await person.veto_recovery()
        assert (await clerk.recovery(key.account)).state == "vetoed"


async def test_the_directory_says_what_is_in_force(here: Directory) -> None:
    await enroll(here)
    async with here.client(BANK) as bank:
        view = await bank.directory()
    assert view.version == 1
    assert [(one.version, one.threshold, one.holders, one.tags) for one in view.versions] == [(1, 3, 4, 2)]
    assert view.quotas.officer_max == LookupLimits().officer_max
