"""Courses of calls about people: enrolment, tags, tickets, recoveries, windows, with words that registrars signed about anything.

Rule: every call succeeds or is denied, the same on every node; and whatever the course was, an account is found by one tag of a
version at most, and a recovery that is completed has two organisations, two officers and three days behind it, and a week after it.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from nacl.signing import SigningKey

from contracts import face_assertions
from contracts.args import Args
from contracts.calls import DeadlinesTick, GrantsApprove, NewKey
from contracts.face_assertions import bound_hash
from contracts.grant_calls import GrantsOpenOwn
from contracts.keys import usable
from contracts.people_actions import SetRegistrar
from contracts.people_calls import (
    LookupsApprove,
    LookupsRequest,
    MovedTag,
    PeopleAddKey,
    PeopleEnroll,
    PeopleMoveTags,
    PeopleRetag,
    PeopleRevokeKey,
    PeopleSetReachable,
    RecoveriesConfirm,
    RecoveriesOpen,
    RecoveriesVeto,
)
from contracts.people_records import (
    RECOVERY_DELAY_MS,
    RESTRICTION_MS,
    AssertionMethod,
    AssertionUse,
    IdentityAssertion,
    PersonTag,
    RecoveryState,
    SignedAssertion,
)
from contracts.portal_actions import SetIdentityServices
from contracts.records import KeyRole
from contracts.state import ACCOUNTS, PERSON_TAGS, RECOVERIES
from contracts.window_calls import GrantsApproveAtWindow
from ledger import codec, domains
from ledger.crypto import sm2
from ledger.crypto.suite import Signer
from tests.fuzz.target import Script, Target, require
from tests.fuzz.targets.contracts import judge
from tests.unit import contracts_world as here
from tests.unit.contracts_world import Actor, World
from tests.unit.grants_world import HOURLY, grants_world

STEPS_MAX: Final = 24
MINUTE_MS: Final = 60_000
# What passes between two calls; mostly a second.
WAITS_MS: Final = (
    0,
    1,
    1000,
    MINUTE_MS,
    60 * MINUTE_MS,
    RECOVERY_DELAY_MS,
    RECOVERY_DELAY_MS - 1,
    RESTRICTION_MS,
)
OFFICERS: Final = (
    here.DEPARTMENT,
    here.CLERK,
    here.BANK,
    here.SHOP,
    here.actor("bank", "department officer"),
)
PEOPLE: Final = (here.LI, here.WANG, here.person("zhao"))
KEYS: Final = (*PEOPLE, *(here.person("li", name) for name in ("new phone", "tablet", "watch")))
CALLERS: Final = (
    *OFFICERS,
    *PEOPLE,
    *(Actor(owner.account, key.signer) for owner in PEOPLE[:2] for key in KEYS[3:]),
    here.NODES[0],
)
ORGANIZATION: Final = CALLERS[: len(OFFICERS)]
PERSON: Final = CALLERS[len(OFFICERS) : -1]


@lru_cache(maxsize=1)
def city() -> tuple[World, bytes]:
    """Two versions of the directory key, two registrars, a face service, and a request to Li that waits."""
    made = grants_world()
    made.entries.update(here.directory_entries(2, in_use=False))
    made.vote(
        SetRegistrar(account_id=here.BANK.account, methods=tuple(AssertionMethod), uses=tuple(AssertionUse))
    )
    made.vote(SetIdentityServices(services=(here.SHOP.account,)))
    made.issue("degree of li")
    expiry_ms = made.time_ms + 20 * here.DAY_MS
    asked = made.asking(purpose="inquiry", frequency=HOURLY, consent_expiry_ms=expiry_ms)
    return made, made.done(here.BANK, asked)


def tag(script: Script) -> PersonTag:
    return here.tag_of(PEOPLE[script.below(len(PEOPLE))], script.below(4))


def tags(script: Script) -> tuple[PersonTag, ...]:
    who = PEOPLE[script.below(len(PEOPLE))]
    match script.below(16):
        case 0:
            return tuple(tag(script) for _ in range(1 + script.below(3)))
        case 1:
            return (here.tag_of(who, 1),)
        case _:
            return (here.tag_of(who, 1), here.tag_of(who, 2))


def key(script: Script, world: World) -> tuple[NewKey, bytes]:
    """A key to be bound, and its id."""
    odd, who = script.below(24), KEYS[script.below(len(KEYS))]
    until_ms = {1: world.time_ms + 1, 2: world.time_ms + 10 * here.DAY_MS, 3: 1}.get(odd, 0)
    return here.new_key(who, KeyRole.ADMIN if odd == 4 else KeyRole.HOLDER, until_ms), who.key_id


def word(script: Script, world: World, use: AssertionUse, key_id: bytes) -> SignedAssertion:
    """Signed as it should be, but for an odd one; about anything."""
    by, odd = OFFICERS[script.below(len(OFFICERS))], script.below(32)
    issued_ms = max(0, world.time_ms - (0, 1, 10 * MINUTE_MS)[script.below(3)] + (1 if odd == 1 else 0))
    said = IdentityAssertion(
        chain_id=bytes(32) if odd == 2 else world.chain_id,
        issuer=PEOPLE[0].account if odd == 3 else by.account,
        use=tuple(AssertionUse)[script.below(3)] if odd == 4 else use,
        method=tuple(AssertionMethod)[script.below(3)],
        key_id=here.identity("another") if odd == 5 else key_id,
        tags=tags(script),
        own_element=bytes(48) if odd == 6 else here.own_element(PEOPLE[script.below(3)]),
        reachable=bool(script.below(2)),
        evidence=bytes(32),
        issued_ms=issued_ms,
        expires_ms=issued_ms + (60 if script.below(8) else 120) * MINUTE_MS,
    )
    signature = by.signer.sign(domains.IDENTITY_ASSERTION, b"" if odd == 7 else codec.encode(said))
    return SignedAssertion(assertion=said, key_id=by.key_id, signature=signature)


def enrolled(script: Script, world: World) -> Args:
    made, key_id = key(script, world)
    return PeopleEnroll(assertion=word(script, world, AssertionUse.ENROLL, key_id), key=made)


def opened(script: Script, world: World) -> Args:
    made, key_id = key(script, world)
    return RecoveriesOpen(assertion=word(script, world, AssertionUse.RECOVER, key_id), key=made)


def confirmed(script: Script, world: World) -> Args:
    account = PEOPLE[script.below(len(PEOPLE))].account
    held = RECOVERIES.get(world, account)
    key_id = KEYS[3].key_id if held is None else held.key_id
    return RecoveriesConfirm(account=account, assertion=word(script, world, AssertionUse.RECOVER, key_id))


def retagged(script: Script, world: World) -> Args:
    key_id = KEYS[script.below(len(KEYS))].key_id
    return PeopleRetag(assertion=word(script, world, AssertionUse.RETAG, key_id))


def ticket(script: Script, world: World) -> bytes:
    """Mostly one that there is."""
    names = (name.removeprefix(b"tickets/") for name in world.entries if name.startswith(b"tickets/"))
    known = sorted(names) or [bytes(16)]
    return bytes(16) if script.below(16) == 15 else known[-1 - script.below(len(known))]


def looked_up(script: Script, _world: World) -> Args:
    entry = (here.NODES[0].account, here.BANK.account)[script.below(8) // 7]
    count = 1 + script.below(64)
    return LookupsRequest(entry=entry, count=count, elements_hash=script.some(32), basis="service")


def moved(script: Script, world: World) -> Args:
    moves = tuple(MovedTag(known=tag(script), new=tag(script)) for _ in range(1 + script.below(3)))
    return PeopleMoveTags(ticket_id=ticket(script, world), moves=moves)


def consented(script: Script, world: World) -> GrantsApprove:
    return world.approval(city()[1], uses_max=1 + script.below(3))


def at_window(script: Script, world: World) -> Args:
    consent = consented(script, world)
    odd, now_s = script.below(10), world.time_ms // 1000
    claims: dict[str, object] = {
        "iss": here.SHOP.account.hex(),
        "sub": PEOPLE[script.below(2)].account.hex(),
        "aud": world.chain_id.hex(),
        "jti": script.some(16).hex(),
        "iat": now_s - odd,
        "exp": 10**11 if odd == 1 else now_s + 120 - 2 * odd,
        "purpose": "inquiry",
        "txh": bound_hash(here.SUITE, consent).hex(),
    }
    face = jws(here.SHOP.signer, here.SHOP.key_id, claims)
    return GrantsApproveAtWindow(consent=consent, place="window", face=face)


def jws(signer: Signer, key_id: bytes, claims: dict[str, object]) -> bytes:
    """A face assertion by that key, over these claims."""
    algorithm = face_assertions.ALGORITHMS[signer.scheme][0]
    header = {"alg": algorithm, "kid": key_id.hex(), "typ": face_assertions.TYPE}
    signed = _part(json.dumps(header).encode()) + b"." + _part(json.dumps(claims).encode())
    return signed + b"." + _part(_raw_signature(signer, signed))


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _raw_signature(signer: Signer, message: bytes) -> bytes:
    """As JWS has it, under no domain of the ledger's."""
    if signer.scheme == sm2.SCHEME:
        secret: sm2.SecretKey = signer._key  # type: ignore[attr-defined]
        return secret.sign(message)
    return bytes(SigningKey(signer._secret_key[:32]).sign(message).signature)  # type: ignore[attr-defined]


CALLS: Final[tuple[tuple[tuple[Actor, ...], Callable[[Script, World], Args]], ...]] = (
    (ORGANIZATION, enrolled),
    (ORGANIZATION, opened),
    (ORGANIZATION, confirmed),
    (PERSON, retagged),
    (CALLERS, looked_up),
    (ORGANIZATION, moved),
    (ORGANIZATION, at_window),
    (PERSON, consented),
    (PERSON, lambda script, world: PeopleAddKey(key=key(script, world)[0])),
    (PERSON, lambda script, _world: PeopleRevokeKey(key_id=KEYS[script.below(len(KEYS))].key_id)),
    (PERSON, lambda script, _world: PeopleSetReachable(reachable=bool(script.below(2)))),
    (PERSON, lambda _script, _world: RecoveriesVeto()),
    (ORGANIZATION, lambda script, world: LookupsApprove(ticket_id=ticket(script, world))),
    (CALLERS[-1:], lambda _script, _world: DeadlinesTick()),
    (PERSON, lambda _script, _world: GrantsOpenOwn(certificates=(here.identity("degree of li"),))),
)


def run_course(data: bytes) -> None:
    script, base = Script(data), city()[0]
    world = World.__new__(World)
    world.__dict__.update(base.__dict__)
    world.entries = dict(base.entries)
    for _ in range(STEPS_MAX):
        if script.ended:
            break
        wait = script.below(32)
        world.time_ms += WAITS_MS[wait] if wait < len(WAITS_MS) else 1000
        callers, call = CALLS[script.below(len(CALLS))]
        caller = (callers if script.below(8) else CALLERS)[script.below(len(CALLERS)) % len(callers)]
        judge(world, world.sign(caller, call(script, world)))
        check_people(world, base.time_ms)


def check_people(world: World, begun_ms: int) -> None:
    """What holds whatever was called."""
    stands = Counter(
        (name[12:20], value) for name, value in world.entries.items() if name.startswith(b"person_tags/")
    )
    require(max(stands.values()) == 1, "an account under two numbers")
    require(PERSON_TAGS.get(world, (1, here.tag_of(here.LI).tag)) == here.LI.account, "a tag changed hands")
    for who in PEOPLE:
        account, found = ACCOUNTS.get(world, who.account), RECOVERIES.get(world, who.account)
        if account is None:
            continue
        require(
            any(usable(held, world.time_ms) or held.valid_until_ms for held in account.keys), "locked out"
        )
        if found is not None and found.confirmed_by:
            require(found.opened_by != found.confirmed_by, "one organisation recovers alone")
            require(found.opened_key != found.confirmed_key, "one officer recovers alone")
        if found is not None and found.state is RecoveryState.COMPLETED:
            require(found.state_since_ms >= begun_ms + RECOVERY_DELAY_MS, "a recovery without its delay")
            require(account.restricted_until_ms >= found.state_since_ms + RESTRICTION_MS, "no week after it")


def seeds() -> list[bytes]:
    """Each call alone; a recovery that is completed, with what its restriction stops; a tag that is moved."""
    alone = [bytes((2, number, 1, caller, *range(24))) for number in range(len(CALLS)) for caller in (0, 3)]
    # By, odd, time, method; whose tags, which; element, reachable, life.
    said = (1, 0, 0, 0, 0, 2, 0, 1, 1)
    opening = bytes((9, 1, 1, 0, 0, 3, *said))
    confirming = bytes((9, 2, 1, 2, 0, 2, *said[1:]))
    ticking = bytes((5, 13, 1, 0)) + bytes((3, 13, 1, 0))
    stopped = bytes((2, 14, 1, 3)) + bytes((2, 7, 1, 3, 0))
    rotating = bytes((9, 4, 1, 0, 0, 0, *range(32))) + bytes((9, 12, 1, 1, 0, 0))
    moving = bytes((9, 5, 1, 0, 0, 0, 1, 0, 2, 0, 0))
    return [*alone, opening + confirming + ticking + stopped, rotating + moving + moving]


TARGETS: Final = (Target(name="people.calls", run=run_course, seeds=seeds, errors=(), size_bytes_max=1024),)
