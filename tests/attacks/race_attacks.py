"""Attacks by doing several things at once, or one thing twice: races, crashes, second copies, a stolen key."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from contracts.calls import ReleasesAcknowledge, ReleasesPrepare, ReleasesRequest
from contracts.grant_records import Frequency, FrequencyUnit
from contracts.records import PreparedFile
from tests.attacks.scene import Scene, name_of, node_client, token_of
from tests.attacks.table import attack, must
from tests.e2e.cities import READY_S, Holder, Organization, seen
from zhenglian import ApiError, Client, Denied, KeyFile, Retrieved

TRIES: Final = 6
KILLS: Final = 3
# Longer than a release takes from request to bytes here, so that every step of it is hit now and then.
MOMENTS_S: Final = 0.8
HELD_BACK_S: Final = 0.25


def at_four_nodes(scene: Scene, bank: Organization, grant: str, holder: Holder) -> list[str]:
    """A release asked for at every node at once; "ok", or why not, of each."""

    def ask(n: int) -> str:
        with Client(scene.devnet.url(n), bank.officer) as client:
            try:
                client.request_release(grant, [name_of(holder)], node=scene.devnet.account(n))
            except (Denied, ApiError) as error:
                return error.code
        return "ok"

    with ThreadPoolExecutor(len(scene.devnet.numbers)) as pool:
        return list(pool.map(ask, scene.devnet.numbers))


def counted(codes: list[str]) -> str:
    """How often each."""
    return ", ".join(f"{codes.count(code)} × {code}" for code in sorted(set(codes)))


@attack(
    "use-count race on four nodes",
    attacker="a bank with one use, which asks at four nodes at once",
    expected="exactly one release; the others are denied",
)
def use_count_race(scene: Scene) -> str:
    bank, holder = scene.city.banks[0], scene.holder()
    codes: list[str] = []
    for _ in range(3):
        grant = holder.granted(bank.client, uses_max=1)
        scene.settled()
        now = at_four_nodes(scene, bank, grant, holder)
        must(now.count("ok") == 1, f"{now.count('ok')} releases with one use: {now}")
        made = [v for v in bank.client.releases(grant=grant) if v.state in {"prepared", "delivered"}]
        must(len(made) == 1, f"{len(made)} releases were made")
        must(holder.client.grant(grant).uses_left == 0, "a use is left")
        codes += now
    return f"in 3 races: {counted(codes)}"


@attack(
    "frequency race",
    attacker="a bank that may twice a day, and asks at four nodes at once",
    expected="exactly two releases; the others are denied as too frequent",
)
def frequency_race(scene: Scene) -> str:
    bank, holder = scene.city.banks[0], scene.holder()
    grant = bank.client.request_grant(
        person=holder.account,
        purpose="loan",
        items=holder.asked(),
        uses_max=8,
        frequency=Frequency(unit=FrequencyUnit.DAY, value=2),
        consent_expiry_ms=scene.in_days(1),
    )
    seen(holder.client, grant)
    holder.client.approve_grant(grant)
    scene.settled()
    codes = at_four_nodes(scene, bank, grant, holder)
    must(codes.count("ok") == 2, f"{codes.count('ok')} releases: {codes}")
    assert codes.count("frequency_exceeded") == 2, codes
    return counted(codes)


def _race(scene: Scene, end: Callable[[Client, str], object], stopped: str) -> str:
    """A release against a pause or a revocation, begun within a moment of each other; what came of all tries."""
    bank, holder = scene.city.banks[0], scene.holder()
    outcomes: list[str] = []
    later: set[str] = set()
    for number in range(TRIES):
        grant = holder.granted(bank.client, uses_max=2)
        scene.settled()
        n = scene.devnet.numbers[number % len(scene.devnet.numbers)]
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(_asked, scene, bank, grant, holder, n)
            time.sleep(random.uniform(0, HELD_BACK_S))
            pool.submit(end, holder.client, grant).result()
            # From here on it is final.
            code = asked.result()
        scene.settled()
        must(holder.client.grant(grant).state == stopped, f"the grant is not {stopped}")
        outcomes.append(_judged(scene, bank, grant, stopped, code))
        again = _asked(scene, bank, grant, holder, n)
        must(again not in {"prepared", "requested", "delivered"}, f"a new release afterwards is {again}")
        later.add(again)
    return f"{counted(outcomes)}; new ones afterwards: {', '.join(sorted(later))}"


def _asked(scene: Scene, bank: Organization, grant: str, holder: Holder, n: int) -> str:
    with Client(scene.devnet.url(n), bank.officer) as client:
        try:
            view = client.request_release(grant, [name_of(holder)], node=scene.devnet.account(n))
        except (Denied, ApiError) as error:
            return error.code
        return view.state


def _judged(scene: Scene, bank: Organization, grant: str, stopped: str, code: str) -> str:
    """What the race came to. Bytes leave only where PREPARED is earlier on the ledger than the end."""
    views = bank.client.releases(grant=grant)
    if not views:
        must(code not in {"prepared", "delivered"}, "a release that the ledger does not know")
        return "denied"
    (view,) = views
    n = next(n for n in scene.devnet.numbers if scene.devnet.account(n) == view.released_by)
    with scene.http(n, token_of_at(scene, bank, n)) as http:
        status = http.get(f"/v1/releases/{view.release_id}/files/0").status_code
    must(
        (status == 200) is (view.state == "prepared"), f"{view.state}, and its file is answered with {status}"
    )
    if view.state != "prepared":
        must(view.state == "failed", f"the release is left {view.state}")
        return "failed"
    kinds = [e.kind for e in sorted(_events(scene, grant, view.release_id), key=lambda e: e.cursor)]
    must(kinds.index("releases.prepared") < kinds.index(f"grants.{stopped}"), f"prepared too late: {kinds}")
    return "prepared before"


def _events(scene: Scene, *subjects: str) -> list:  # type: ignore[type-arg]
    auditor = scene.city.auditor.client
    return list({e.cursor: e for one in subjects for e in auditor.events(subject=one).items}.values())


def token_of_at(scene: Scene, bank: Organization, n: int) -> str:
    """A session of the bank's officer at node `n`."""
    with Client(scene.devnet.url(n), bank.officer) as client:
        return token_of(client)


@attack(
    "revoked while releasing",
    attacker="a bank that asks in the moment in which the person revokes",
    expected="bytes only of what was PREPARED before the revocation; everything else fails, and nothing begins after it",
)
def revoked_while_releasing(scene: Scene) -> str:
    return _race(scene, lambda client, grant: client.revoke_grant(grant), "revoked")


@attack(
    "pause race",
    attacker="a bank that asks in the moment in which the person pauses",
    expected="bytes only of what was PREPARED before the pause; everything else fails, and nothing begins after it",
)
def pause_race(scene: Scene) -> str:
    return _race(scene, lambda client, grant: client.pause_grant(grant), "paused")


@attack(
    "crash between request and delivery",
    attacker="whoever can cut the performing node's power at any moment",
    expected="one use for each release, and the bytes that the ledger names, however often it is fetched",
)
def crash(scene: Scene) -> str:
    bank, holder, n = scene.city.banks[0], scene.holder(), 2
    performer = scene.devnet.account(n)
    grant = holder.granted(bank.client, uses_max=KILLS + 2)
    moments = []
    with Client(scene.devnet.urls, bank.officer) as client:
        client.account(bank.officer.account)
        for number in range(KILLS):
            with ThreadPoolExecutor(1) as pool:
                folder = scene.folder / f"crash-{number}"
                asked = pool.submit(client.retrieve, grant, [name_of(holder)], folder, node=performer)
                moments.append(random.uniform(0, MOMENTS_S))
                time.sleep(moments[-1])
                scene.devnet.kill(n)
                scene.devnet.start(n)
                got: Retrieved = asked.result()
            first = got.files[0].read_bytes()
            again = client.download(got.release.release_id, scene.folder / f"again-{number}")
            must(again.files[0].read_bytes() == first, "other bytes for the same release")
            left = client.grant(grant).uses_left
            must(left == KILLS + 2 - number - 1, f"{KILLS + 2 - left} uses for {number + 1} releases")
    scene.devnet.wait_ready(READY_S)
    count = len(bank.client.releases(grant=grant))
    must(count == KILLS, f"{count} releases")
    at = ", ".join(f"{moment:.2f}" for moment in moments)
    return f"killed {at} s after the request: {count} releases, {count} uses, the same bytes twice each"


@attack(
    "second bytes for one release",
    attacker="the performing operator with its node's key, or the recipient",
    expected="the same bytes however often, at the one node; another set of files is denied",
)
def second_bytes(scene: Scene) -> str:
    bank, holder = scene.city.banks[0], scene.holder()
    grant = holder.granted(bank.client)
    view = bank.client.request_release(grant, [name_of(holder)], node=scene.devnet.account(1))
    assert view.state == "prepared"
    identity, path = bytes.fromhex(view.release_id), f"/v1/releases/{view.release_id}/files/0"
    other = PreparedFile(
        media_type="application/json", size_bytes=2, file_hash=bytes(32), mark_commitment=b"\x07" * 32
    )
    denied = []
    for client, args in (
        (node_client(scene, 1, at=2), ReleasesPrepare(release_id=identity, files=(other,))),
        (node_client(scene, 3, at=2), ReleasesPrepare(release_id=identity, files=(other,))),
        (bank.client, ReleasesAcknowledge(release_id=identity, file_hashes=(bytes(32),))),
    ):
        try:
            client.submit(args)
            must(False, f"{type(args).__name__} with other files was accepted")
        except Denied as refusal:
            denied.append(refusal.code)
    hashes, elsewhere = set(), set()
    with scene.http(1, token_of_at(scene, bank, 1)) as http:
        hashes |= {hashlib.sha256(http.get(path).content).hexdigest() for _ in range(3)}
        bank.client.retrieve_again(view.release_id, scene.folder / "second")
        late = http.get(path)
        if late.status_code == 200:
            hashes.add(hashlib.sha256(late.content).hexdigest())
    for n in (2, 3, 4):
        with scene.http(n, token_of_at(scene, bank, n)) as http:
            elsewhere.add(http.get(path).status_code)
    must(len(hashes) == 1, f"{len(hashes)} different files")
    must(200 not in elsewhere, "another node gives the file too")
    must(holder.client.grant(grant).uses_left == 2, "fetching again costs a use")
    return f"1 file in 3 fetches, after delivery {late.status_code}, elsewhere {elsewhere}; denied: {', '.join(denied)}"


@attack(
    "stolen officer key",
    attacker="has the key file of a bank's officer, until the bank revokes it",
    expected="no more than the grants allow, all on record with its key id; nothing once it is revoked",
)
def stolen_officer_key(scene: Scene) -> str:
    bank, holder, other = scene.city.banks[1], scene.holder(), scene.holder()
    grant = holder.granted(bank.client, uses_max=2)
    foreign = other.granted(scene.city.banks[2].client)
    with scene.officer(bank) as thief:
        key = thief.core.key
        assert isinstance(key, KeyFile)
        for number in range(2):
            thief.retrieve(grant, [name_of(holder)], scene.folder / f"stolen-key-{number}")
        before = [_code(thief, grant, holder), _code(thief, foreign, other)]
        must("ok" not in before, f"the thief got more than the grants allow: {before}")
        more = holder.granted(bank.client)
        scene.revoke(bank, thief)
        scene.settled()
        after = [_code(thief, more, holder)]
        try:
            thief.submit(
                ReleasesRequest(
                    grant_id=bytes.fromhex(more),
                    outputs=(name_of(holder),),
                    released_by=bytes.fromhex(scene.devnet.account(1)),
                )
            )
            after.append("ok")
        except (Denied, ApiError) as refusal:
            after.append(refusal.code)
        must("ok" not in after, f"a revoked key still opens data: {after}")
    auditor = scene.city.auditor.client
    recorded = [e for e in auditor.events(subject=grant).items if e.key_id == key.key_id]
    requested = sum(e.kind == "releases.requested" and e.code == "ok" for e in recorded)
    must(requested == 2, f"{requested} of 2 requests are on record with the key's id")
    return f"2 releases, then {', '.join(before)}; revoked: {', '.join(after)}; {len(recorded)} events name the key"


def _code(client: Client, grant: str, holder: Holder) -> str:
    try:
        client.request_release(grant, [name_of(holder)])
    except (Denied, ApiError) as refusal:
        return refusal.code
    return "ok"
