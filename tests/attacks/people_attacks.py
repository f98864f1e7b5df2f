"""Attacks on people: on who they are, on what is asked about them, and on what is kept from them.

Rule: every attacker holds real keys and uses the real doors; a denial counts only by its code, so that an attack is not withstood
by accident.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
from msgspec.structs import replace

from contracts.calls import GrantsApprove, NewKey, PeopleSetReachable, RegisterPurposes, call
from contracts.grant_actions import SetGrantRules
from contracts.grant_records import GrantRules, PurposeTemplate, RepresentationBasis, TemplateItem
from contracts.passkeys import SCHEME, transaction_challenge
from contracts.people_actions import SetRegistrar
from contracts.people_calls import LookupsRequest
from contracts.people_records import (
    BATCH_MAX,
    RECOVERY_DELAY_MS,
    AssertionMethod,
    AssertionUse,
    LookupLimits,
)
from contracts.records import AccountKind, ConsentMode, GrantItem, KeyRole, Output, OutputFormat
from ledger import codec
from ledger.crypto.suite import key_id
from ledger.types import Transaction, TransactionBody
from tests.attacks.scene import Scene, token_of
from tests.attacks.table import attack, must
from tests.e2e.cities import (
    DAY_MS,
    IDENTITY,
    INSURANCE,
    SUITE,
    Organization,
    decide,
    found,
    seen,
    until,
)
from tests.unit.passkey_world import UP, Device, authenticator_data, client_data
from zhenglian import ApiError, Client, Denied, KeyFile
from zhenglian.plans.transactions import Signed
from zhenglian_demo.people import make_people

PURPOSE: Final = "inquiry"
NAME: Final = GrantItem(certificate_type=IDENTITY, certificate=b"", fields=("name", "sex"), attachments=())
WEBHOOKS: Final = (
    "http://127.0.0.1/x",
    "https://127.0.0.1/x",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/x",
    "https://[::ffff:10.0.0.1]/x",
    "https://[64:ff9b::a9fe:a9fe]/x",
    "https://0.0.0.0/x",
    "https://192.168.1.1/x",
    "https://user:word@example.org/x",
    "file:///etc/passwd",
    "gopher://example.org/x",
    "https://example.org\\@127.0.0.1/x",
)


def denied(what: str, attempt: Callable[[], object]) -> str:
    """The code by which a node or the ledger refused; the attacker has won where neither did."""
    try:
        attempt()
    except (Denied, ApiError) as refusal:
        return refusal.code
    must(False, what)
    return ""


def court(scene: Scene) -> Organization:
    """A department that issues nothing, approves accesses, and may say who people are; made once a city."""
    made = getattr(scene, "_court", None)
    if made is None:
        made = found(scene.devnet, "法院", AccountKind.DEPARTMENT)
        account = bytes.fromhex(made.admin.account)
        rules = GrantRules(
            approvers=(account, bytes.fromhex(scene.city.police.admin.account)),
            guardian_types=(INSURANCE,),
        )
        decide(scene.devnet, SetGrantRules(rules=rules))  # type: ignore[arg-type]
        decide(
            scene.devnet,
            SetRegistrar(account_id=account, methods=tuple(AssertionMethod), uses=tuple(AssertionUse)),
        )
        template = PurposeTemplate(
            code=PURPOSE,
            name_zh="调查",
            name_en="Inquiry",
            items=(
                TemplateItem(certificate_type=IDENTITY, fields=("name", "sex", "birth_date"), attachments=()),
            ),
            uses_max=10,
            period_ms_max=100 * DAY_MS,
            data_life_ms_max=10 * DAY_MS,
            modes=tuple(ConsentMode),
            without_consent=True,
        )
        decide(scene.devnet, RegisterPurposes(purposes=(template,)))
        scene._court = made  # type: ignore[attr-defined]  # a city has one
    return made


@attack(
    "enumeration of identity numbers",
    attacker="a bank's officer with a list of numbers",
    expected="no batch without a second approver, no element that is not the ticket's, and an end at the quota of 500 a day",
)
def enumeration(scene: Scene) -> str:
    officer, numbers = scene.officer(scene.city.banks[2]), [one.identity_number for one in make_people(99, 8)]
    codes: dict[str, str] = {}
    batch = officer.open_lookup(numbers)
    codes["batch"] = denied("a batch of one officer", lambda: officer.finish_lookup(batch))
    codes["own approval"] = denied("approved himself", lambda: officer.approve_lookup(batch.ticket_id))
    stranger = scene.city.banks[0].client
    codes["another bank's approval"] = denied(
        "approved elsewhere", lambda: stranger.approve_lookup(batch.ticket_id)
    )
    one, other = officer.open_lookup(numbers[:1]), officer.open_lookup(numbers[1:2])
    swapped = replace_lookup(one, blinded=other.blinded, numbers=other.numbers)
    codes["other element"] = denied("another number under the ticket", lambda: officer.finish_lookup(swapped))
    codes["another's ticket"] = denied("a stranger's ticket", lambda: stranger.finish_lookup(one))
    asked, limit = len(numbers) + 2, LookupLimits().officer_max
    entry = bytes.fromhex(scene.devnet.account(1))
    while asked < limit:
        count = min(BATCH_MAX, limit - asked)
        officer.submit(
            LookupsRequest(entry=entry, count=count, elements_hash=secrets.token_bytes(32), basis="service")
        )
        asked += count
    codes["one more"] = denied(f"{asked + 1} numbers", lambda: officer.open_lookup(numbers[:1]))
    wanted = {
        "batch": "ticket_not_approved",
        "own approval": "own_approval",
        "another bank's approval": "ticket_of_another",
        "one more": "lookup_quota",
    }
    must(wanted.items() <= codes.items(), f"denied as {codes}")
    return f"stopped after {asked}; " + told(codes)


def replace_lookup(lookup: Any, **changes: Any) -> Any:
    """A lookup under the same ticket with other contents."""
    return dataclasses.replace(lookup, **changes)


def told(codes: dict[str, str]) -> str:
    """The codes in one sentence."""
    return ", ".join(f"{what}: {code}" for what, code in codes.items())


@attack(
    "recovery takeover",
    attacker="a clerk who says that his own key is a citizen's, alone, with a colleague, then with another organisation",
    expected="nothing alone or within one organisation, nothing before 72 hours, nothing against a veto",
)
def takeover(scene: Scene) -> str:
    other, police, victim = court(scene), scene.city.police.client, scene.holder()
    number, codes = victim.person.identity_number, {}
    key = KeyFile.generate(SUITE, account=bytes.fromhex(victim.account), role=KeyRole.HOLDER, label="mine")

    def word(clerk: Client) -> Any:
        request, _ = clerk.identity_request(number, key.new_key())
        return clerk.assert_identity(number, request, use=AssertionUse.RECOVER)

    bank = scene.city.banks[0].client
    codes["no registrar"] = denied("a bank opened one", lambda: bank.recover(key.new_key(), word(bank)))
    police.recover(key.new_key(), word(police))
    with Client(scene.devnet.urls, key) as thief:
        codes["alone"] = denied("the key counts", thief.grants)
        clerk = scene.city.registrar
        codes["colleague"] = denied("two of one", lambda: clerk.confirm_recovery(victim.account, word(clerk)))
        codes["borrowed word"] = denied(
            "the word of the first", lambda: other.client.confirm_recovery(victim.account, word(police))
        )
        other.client.confirm_recovery(victim.account, word(other.client))
        view = police.recovery(victim.account)
        left_ms = int(view.completes.timestamp() * 1000) - time.time_ns() // 1_000_000
        must(view.state == "pending" and left_ms > RECOVERY_DELAY_MS - 600_000, f"{view.state}, {left_ms} ms")
        codes["before 72 h"] = denied("the key counts early", thief.grants)
        victim.client.veto_recovery()
        codes["after the veto"] = denied("the key counts", thief.grants)
        codes["confirmed again"] = denied(
            "confirmed a vetoed one",
            lambda: other.client.confirm_recovery(victim.account, word(other.client)),
        )
    must(victim.client.recovery(victim.account).state == "vetoed", "not vetoed")
    must(codes["colleague"] == "same_organization", f"denied as {codes}")
    must(codes["confirmed again"] == "no_recovery", f"denied as {codes}")
    return told(codes)


@attack(
    "authority signs a grant",
    attacker="an authority, an auditor, an operator and a bank, each with real keys",
    expected="nobody but the person approves: denied whoever signs",
    quick=True,
)
def authority_signs(scene: Scene) -> str:
    bank, victim = scene.city.banks[1].client, scene.holder()
    expiry = scene.in_days(1)
    grant = bank.request_grant(
        person=victim.account, purpose="loan", items=victim.asked(), uses_max=1, consent_expiry_ms=expiry
    )
    seen(victim.client, grant)
    approve = GrantsApprove(
        grant_id=bytes.fromhex(grant), items=victim.asked(), uses_max=1, consent_expiry_ms=expiry
    )
    codes: dict[str, str] = {}
    with (
        Client(scene.devnet.urls, scene.city.police.admin) as admin,
        Client(scene.devnet.urls, scene.devnet.admin(1)) as operator,
    ):
        signers = {
            "officer of the issuer": scene.city.police.client,
            "its administrator": admin,
            "registrar": scene.city.registrar,
            "auditor": scene.city.auditor.client,
            "operator": operator,
            "the bank itself": bank,
        }
        for who, client in signers.items():
            codes[who] = denied(f"{who} approved", lambda client=client: client.submit(approve))  # type: ignore[misc]
    must(victim.client.grant(grant).state == "requested", victim.client.grant(grant).state)
    return told(codes)


@attack(
    "representation abused",
    attacker="a department that issued nothing, a citizen, and a representative with a narrow mandate",
    expected="each denied by name: credential_not_suitable, wider_than_parent, depth_exceeded; an unaccepted mandate is nothing",
)
def representation(scene: Scene) -> str:
    other, ward, agent, third = court(scene), scene.holder(), scene.holder(), scene.holder()
    until_ms, codes = scene.in_days(5), {}
    guardian: dict[str, Any] = {
        "principal": ward.account,
        "representative": agent.account,
        "until_ms": until_ms,
        "basis": RepresentationBasis.GUARDIAN,
    }
    codes["not the issuer"] = denied(
        "a guardian by no issuer",
        lambda: other.client.appoint(**guardian, credential=ward.certificates[INSURANCE]),
    )
    police = scene.city.police.client
    codes["type shows none"] = denied(
        "by any certificate", lambda: police.appoint(**guardian, credential=ward.certificates[IDENTITY])
    )
    codes["another's certificate"] = denied(
        "by another's", lambda: police.appoint(**guardian, credential=third.certificates[INSURANCE])
    )
    codes["himself"] = denied(
        "appointed himself",
        lambda: agent.client.appoint(principal=ward.account, representative=agent.account, until_ms=until_ms),
    )
    mandate = ward.client.appoint(
        principal=ward.account,
        representative=agent.account,
        until_ms=until_ms,
        purposes=("loan",),
        depth_max=1,
    )
    grant = scene.city.banks[0].client.request_grant(
        person=ward.account,
        purpose="loan",
        items=ward.asked(),
        uses_max=1,
        consent_expiry_ms=scene.in_days(1),
    )
    seen(ward.client, grant)
    given = GrantsApprove(
        grant_id=bytes.fromhex(grant),
        items=ward.asked(),
        uses_max=1,
        consent_expiry_ms=scene.in_days(1) - DAY_MS // 2,
        mandate=bytes.fromhex(mandate),
    )
    codes["unaccepted"] = denied("acted on an offer", lambda: agent.client.submit(given))
    agent.client.accept_mandate(mandate)
    below: dict[str, Any] = {
        "principal": ward.account,
        "representative": third.account,
        "until_ms": until_ms,
        "parent": mandate,
    }
    codes["all purposes"] = denied("wider purposes", lambda: agent.client.appoint(**below))
    codes["longer"] = denied(
        "longer",
        lambda: agent.client.appoint(**{**below, "until_ms": until_ms + 1}, purposes=("loan",)),
    )
    codes["deeper"] = denied("deeper", lambda: agent.client.appoint(**below, purposes=("loan",), depth_max=1))
    wanted = {
        "not the issuer": "credential_not_suitable",
        "type shows none": "credential_not_suitable",
        "another's certificate": "credential_not_suitable",
        "himself": "appointment_not_allowed",
        "unaccepted": "mandate_not_active",
        "all purposes": "wider_than_parent",
        "longer": "wider_than_parent",
        "deeper": "depth_exceeded",
    }
    must(wanted == codes, f"denied as {codes}")
    return told(codes)


@attack(
    "silent access",
    attacker="an investigator without an approver, and a person who looks for an access that is kept from it",
    expected="not_another_organization for a colleague; nothing of it on any route for the person; the auditor sees it",
)
def silent(scene: Scene) -> str:
    other, police, person = court(scene), scene.city.police.client, scene.holder()
    before = scene.devnet.status(1).height  # type: ignore[union-attr]
    secret = police.request_access(
        person=person.account,
        purpose=PURPOSE,
        items=(NAME,),
        lawful_basis="legal_obligation",
        legal_ref="第五十四条",
        case_commitment=bytes(32),
        uses_max=2,
        data_life_ms=DAY_MS,
        consent_expiry_ms=scene.in_days(1),
        notice_after_ms=scene.in_days(30),
    )
    outputs = [person.output(IDENTITY, OutputFormat.JSON, "name")]
    codes = {
        "colleague": denied(
            "by a colleague", lambda: scene.city.registrar.decide_access(secret, approve=True)
        ),
        "unapproved": denied("unapproved", lambda: police.request_release(secret, outputs)),
    }
    must(codes["colleague"] == "not_another_organization", f"denied as {codes}")
    other.client.decide_access(secret, approve=True)
    release = police.request_release(secret, outputs)
    scene.settled()
    release_id = str(getattr(release, "release_id", release))
    known = {
        "grant": secret,
        "release": release_id,
        "certificate": person.certificates[IDENTITY],
        "account": person.account,
    }
    read = 0
    for token in (token_of(person.client), ""):
        for path in _open_paths(scene, token, known, before):
            with scene.http(1, token) as http:
                answer = http.get(path)
            read += 1
            must(answer.status_code < 500, f"{path}: {answer.status_code}")
            # Who names it himself is told no more than that there is nothing.
            named = secret in path or release_id in path
            must(not named or _nothing(answer), f"{path}: {answer.status_code} {answer.text[:200]}")
            must(named or not (secret in answer.text or release_id in answer.text), f"{path} tells of it")
    must(scene.city.auditor.client.grant(secret).grant_id == secret, "the auditor does not see it")
    return f"{told(codes)}; the person read {read} answers without a trace; the auditor sees it"


def _nothing(answer: httpx.Response) -> bool:
    """Whether an answer says no more than that there is nothing."""
    if answer.status_code != 200:
        return answer.status_code in {401, 403, 404}
    body = answer.json() if "json" in answer.headers["content-type"] else None
    return body == [] or (isinstance(body, dict) and body.get("items") == [])


def _open_paths(scene: Scene, token: str, known: dict[str, str], since: int) -> Iterator[str]:
    """Every GET route that can be filled with what the attacker knows, his events, and all blocks since."""
    with scene.http(1, token) as http:
        paths = http.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        filled = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), path)
        if "get" in methods and "{" not in filled and not path.endswith("/stream"):
            yield filled
    for subject in known.values():
        yield f"/v1/events?subject={subject}"
    for height in range(since, scene.devnet.status(1).height + 1):  # type: ignore[union-attr]
        yield f"/v1/blocks/{height}"


@attack(
    "passkey replay",
    attacker="has assertions that a person's passkey made, and a page of his own",
    expected="refused under another transaction, from another origin, without the user verified, with another's key",
)
def passkey_replay(scene: Scene) -> str:
    person, device, thief = scene.holder(), Device(secret=secrets.randbelow(2**200) + 2), Device(secret=97)
    key = NewKey(
        scheme=SCHEME, public_key=device.public_key, role=KeyRole.HOLDER, label="passkey", valid_until_ms=0
    )
    person.client.add_person_key(key)
    scene.settled()
    origin = f"http://localhost:{scene.devnet.url(1).rsplit(':', 1)[1]}"
    held = {"rp_id": "localhost"}

    def body() -> Transaction:
        chain_id = bytes.fromhex(person.client.network().chain_id)
        made = TransactionBody(
            chain_id=chain_id,
            account=bytes.fromhex(person.account),
            key_id=key_id(SUITE, SCHEME, device.public_key),
            nonce=secrets.token_bytes(16),
            valid_until_ms=time.time_ns() // 1_000_000 + 300_000,
            call=call(PeopleSetReachable(reachable=True)),
        )
        return Transaction(body=made, signature=b"-")

    def send(transaction: Transaction, signature: bytes) -> int:
        signed = Signed(
            transaction_id=bytes(32), data=codec.encode(replace(transaction, signature=signature))
        )
        with scene.http(2) as http:
            return http.post(
                "/v1/transactions",
                content=signed.body(),
                headers={"content-type": "application/json", "prefer": "wait=30"},
            ).status_code

    first, second = body(), body()
    challenge, other = transaction_challenge(SUITE, first), transaction_challenge(SUITE, second)
    browser = client_data(challenge, origin=origin)
    true = device.assertion(authenticator_data(**held), browser)  # type: ignore[arg-type]
    tries = {
        "under another transaction": (second, true),
        "wrong origin": (
            second,
            device.assertion(
                authenticator_data(**held),  # type: ignore[arg-type]
                client_data(other, origin="http://localhost.evil.example"),
            ),
        ),
        "user not verified": (
            second,
            device.assertion(
                authenticator_data(flags=UP, **held),  # type: ignore[arg-type]
                client_data(other, origin=origin),
            ),
        ),
        "another rp": (
            second,
            device.assertion(authenticator_data(rp_id="evil.example"), client_data(other, origin=origin)),
        ),
        "a registration": (
            second,
            device.assertion(
                authenticator_data(**held),  # type: ignore[arg-type]
                client_data(other, origin=origin, type="webauthn.create"),
            ),
        ),
        "another's key": (
            second,
            thief.assertion(authenticator_data(**held), client_data(other, origin=origin)),  # type: ignore[arg-type]
        ),
    }
    got = {what: send(*attempt) for what, attempt in tries.items()}
    must(all(400 <= status < 500 for status in got.values()), f"{got}")
    must(send(first, true) == 200, "the true assertion is refused too, so this shows nothing")
    return "the true one passes; " + ", ".join(f"{what}: {status}" for what, status in got.items())


@attack(
    "binary search by questions",
    attacker="a bank that asks one person one age after another, in grant after grant",
    expected="one bit: another step is question_asked_otherwise, a step that is not declared question_parameter",
)
def binary_search(scene: Scene) -> str:
    court(scene)
    bank, person = scene.city.banks[0].client, scene.holder()
    adult, old = (bank.question(IDENTITY, "older_than", years) for years in ("18", "60"))

    def ask(*questions: Any) -> str:
        grant = bank.ask_questions(
            person=person.account,
            purpose=PURPOSE,
            questions=questions,
            uses_max=5,
            consent_expiry_ms=scene.in_days(1),
        )
        seen(person.client, grant)
        person.client.approve_grant(grant)
        return grant

    def answer(grant: str, question: Any) -> Any:
        return bank.request_release(
            grant,
            [
                Output(
                    certificate=bytes.fromhex(person.certificates[IDENTITY]),
                    format=OutputFormat.ANSWER,
                    fields=(),
                    attachment="",
                    question=question,
                )
            ],
        )

    grant, waiting = ask(adult), ask(old)
    answer(grant, adult)
    codes = {
        "two steps at once": denied("two steps", lambda: ask(adult, old)),
        "an older grant": denied("a second step", lambda: answer(waiting, old)),
        "a new grant": denied("a second step", lambda: ask(old)),
        "any step": denied("37 years", lambda: ask(replace(adult, parameter="37"))),
        "not asked": denied("another's question", lambda: answer(grant, old)),
        "the value itself": denied(
            "the value",
            lambda: bank.request_release(grant, [person.output(IDENTITY, OutputFormat.JSON, "birth_date")]),
        ),
    }
    wanted = {
        "an older grant": "question_asked_otherwise",
        "a new grant": "question_asked_otherwise",
        "any step": "question_parameter",
        "two steps at once": "question_twice",
        "the value itself": "answers_only",
    }
    must(wanted.items() <= codes.items(), f"denied as {codes}")
    return told(codes)


@attack(
    "differencing by counts",
    attacker="two banks that count a few people, then the same ones without one of them",
    expected="count_too_small below the group, count_repeated in a period, counted_already by whoever counts",
)
def differencing(scene: Scene) -> str:
    court(scene)
    bank, other, person = scene.city.banks[0].client, scene.city.banks[1].client, scene.holder()
    certificate = person.certificates[IDENTITY]

    def consent(client: Client) -> str:
        grant = client.ask_questions(
            person=person.account,
            purpose=PURPOSE,
            questions=(client.question(IDENTITY, "by_sex"),),
            uses_max=3,
            consent_expiry_ms=scene.in_days(1),
        )
        seen(person.client, grant)
        person.client.approve_grant(grant)
        return grant

    mine, theirs = consent(bank), consent(other)
    first = bank.open_count(IDENTITY, "by_sex")
    codes = {"a second count": denied("counted again", lambda: bank.open_count(IDENTITY, "by_sex"))}
    bank.contribute(first, [(certificate, mine)])
    codes["one person"] = denied("a count of one", lambda: bank.request_count(first))
    codes["twice"] = denied("one twice", lambda: bank.contribute(first, [(certificate, mine)]))
    second = other.open_count(IDENTITY, "by_sex")
    codes["by another bank"] = denied("twice", lambda: other.contribute(second, [(certificate, theirs)]))
    codes["another's consent"] = denied(
        "by another's", lambda: other.contribute(second, [(certificate, mine)])
    )
    codes["own partition"] = denied("any partition", lambda: other.open_count(IDENTITY, "by_name"))
    for client, count in ((bank, first), (other, second)):
        client.cancel_count(count)
    wanted = {
        "a second count": "count_repeated",
        "one person": "count_too_small",
        "twice": "counted_already",
        "by another bank": "counted_already",
        "another's consent": "not_grantee",
        "own partition": "partition_not_declared",
    }
    must(wanted == codes, f"denied as {codes}")
    return told(codes)


@contextmanager
def listener() -> Iterator[tuple[int, list[object]]]:
    """An inner service of the node's machine; who came to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    guest, place = door.accept()
                except TimeoutError:
                    continue
                came.append(place)
                guest.close()

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield door.getsockname()[1], came
        finally:
            over.set()
            server.join()


@attack(
    "webhook into the inside",
    attacker="a citizen who subscribes inner addresses, and a name that leads there",
    expected="inner addresses and other schemes are refused at once; a name that leads inside is never connected to",
)
def webhook_inside(scene: Scene) -> str:
    person, bank = scene.holder(), scene.city.banks[0].client
    url = scene.devnet.urls[0]
    codes: dict[str, int] = {}
    with Client(url, person.client.core.key) as at_one, listener() as (port, came):
        for place in WEBHOOKS:
            code = denied(place, lambda place=place: at_one.create_webhook(place))  # type: ignore[misc]
            codes[code] = codes.get(code, 0) + 1
        made = at_one.create_webhook(f"https://localhost:{port}/x", kinds=["grants."])
        person.granted(bank)

        def tried() -> bool:
            return any(one.attempts for one in at_one.webhook_deliveries(made.webhook_id, limit=50))

        until(tried, "the node has tried to deliver", 60)
        must(not came, f"the node connected to an inner service {len(came)} times")
        delivered = [
            one for one in at_one.webhook_deliveries(made.webhook_id, limit=50) if one.state == "delivered"
        ]
        must(not delivered, "delivered inside")
        at_one.delete_webhook(made.webhook_id)
    return (
        ", ".join(f"{count} × {code}" for code, count in codes.items())
        + "; a name that leads inside: no connection"
    )
