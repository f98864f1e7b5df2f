"""Attacks on the vault: stolen disks, shares that lie, and ciphertexts, keys and bytes that belong to somebody else."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from msgspec.structs import replace

from contracts.calls import CertificatesIssue, ReleasesPrepare, ReleasesRequest
from contracts.records import Output, PreparedFile
from ledger import codec
from node.vault.keys import PartKind
from tests.attacks.rogue import HONEST, TURNED, top, turned
from tests.attacks.scene import Scene, name_of, node_client
from tests.attacks.table import attack, must
from tests.e2e.cities import IDENTITY, SUITE, Holder, height, until
from tests.e2e.city.test_vault import THRESHOLD, StolenHome, manifest_of
from tests.unit.vault_opening import Loot
from zhenglian import Client, Denied
from zhenglian.plans.transactions import output as output_of


@attack(
    "stolen node",
    attacker="the disks of t−1 operators with their passphrases, and what one release of one field gave",
    expected="no field, no attachment, no plain text; from the released field's shares no second one",
)
def stolen_node(scene: Scene) -> str:
    holder, bank = scene.holder(), scene.city.banks[0].client
    bank.retrieve(
        holder.granted(bank), [name_of(holder)], scene.folder / "stolen-got", node=scene.devnet.account(1)
    )
    scene.settled()
    chain_id = bytes.fromhex(holder.client.status().chain_id)
    folder = scene.folder / "stolen"
    homes = [StolenHome(scene.devnet, n, folder, chain_id) for n in (1, 2)]
    plain = holder.person.identity_number.encode()
    files = 0
    for n in (1, 2):
        whole = folder / f"whole-{n}"
        shutil.copytree(scene.devnet.home(n), whole)
        for path in filter(Path.is_file, whole.rglob("*")):
            files += 1
            must(plain not in path.read_bytes(), f"the identity number stands in {path.relative_to(whole)}")
        shutil.rmtree(whole)
    blobs = {name: home.blobs.get(name) or b"" for home in homes for name in home.blobs.names()}
    loot = Loot(SUITE, chain_id, manifest_of(bytes.fromhex(holder.certificates[IDENTITY]), blobs), blobs)
    own = {home.holder: home.share for home in homes}
    assert len(own) == THRESHOLD - 1
    secrets = [secret for home in homes for secret in home.secrets]
    third = StolenHome(scene.devnet, 3, folder, chain_id)
    # What the third node gave for the field that was released, and for nothing else.
    released = [p for p in loot.manifest.parts if p.kind is PartKind.MARK or p.name == "name"]
    given = {p: loot.base(p).times(third.share) for p in released}
    keys = []
    for part in released:
        elements = {n: loot.base(part).times(share) for n, share in own.items()}
        keys.append(loot.key_from(part, {**elements, third.holder: given[part]}))
        assert loot.opens_with_key(part, keys[-1]), "the release itself would not have worked"
    others = [part for part in loot.manifest.parts if part not in released]
    for part in others:
        must(not loot.opens(part, own), f"{part.name} opens with t−1 shares")
        must(not any(loot.opens_with_key(part, key) for key in (*keys, *secrets)), f"{part.name} opens")
        elements = {n: loot.base(part).times(share) for n, share in own.items()}
        for other in given.values():
            got = loot.key_from(part, {**elements, third.holder: other})
            must(not loot.opens_with_key(part, got), f"{part.name} opens with another part's share")
    return f"{files} files, no plain text; {len(others)} parts, none opened; of the released ones {len(released)}"


@attack(
    "forged share",
    attacker="an operator whose node answers asks for shares with wrong elements, wrong proofs and noise",
    expected="every release succeeds with the right bytes, and the node is named",
)
def forged_share(scene: Scene) -> str:
    holder, bank = scene.holder(), scene.city.banks[0].client
    grant = holder.granted(bank, uses_max=10)
    named = done = 0
    with turned(scene) as rogue, Client(scene.devnet.url(1)) as asking:
        for _ in range(9):
            got = bank.retrieve(
                grant, [name_of(holder)], scene.folder / "forged", node=scene.devnet.account(1)
            )
            must(holder.person.name.encode() in got.files[0].read_bytes(), "the bytes are wrong")
            done += 1
            named = next(p.bad_shares for p in asking.status().peers if p.account == rogue.account.hex())
            if named >= 3:
                break
        lies = rogue.lies
    must(named > 0, f"{lies} lies, and the node is not named")
    return f"{done} releases with the right bytes, {lies} lies, {named} laid to the node by its name"


@attack(
    "swapped ciphertext",
    attacker="an issuer, a citizen, a bank and an operator together, for another citizen's ciphertext",
    expected="no holder gives a share for a header under a record that it was not made for",
)
def swapped_ciphertext(scene: Scene) -> str:
    victim, accomplice = scene.holder(), scene.holder()
    bank, police = scene.city.banks[0].client, scene.city.police.client
    with turned(scene) as rogue:
        theirs = rogue.manifest(victim.certificates[IDENTITY])
        lifted = replace(theirs, certificate_id=random.randbytes(16))
        police.submit(
            _issue(scene, accomplice, lifted.certificate_id, rogue.stores[0].put(codec.encode(lifted)))
        )
        swapped = replace(name_of(accomplice), certificate=lifted.certificate_id)
        grant = accomplice.granted(bank)
        release = _requested(bank, grant, swapped, rogue.account)
        at = top(scene)
        said = rogue.ask(release, lifted, "name", height=at)
        must("given" not in said, "a share was given for another record's header")
        honest = _requested(bank, accomplice.granted(bank), name_of(accomplice), rogue.account)
        own = rogue.manifest(accomplice.certificates[IDENTITY])
        at = top(scene)
        also = [
            *rogue.ask(honest, theirs, "name", height=at),
            *rogue.ask(honest, replace(own, parts=theirs.parts), "name", height=at),
            *rogue.ask(honest, own, "name", "sex", height=at),
        ]
        must("given" not in also, f"shares were given: {also}")
        control = rogue.ask(honest, own, "name", height=at)
        assert "given" in control, f"the attacker's own release gets no shares either: {control}"
    return f"{', '.join(sorted({*said, *also}))}; its own record's shares: {control.count('given')} of 3"


def _issue(scene: Scene, holder: Holder, certificate: bytes, payload_hash: bytes) -> CertificatesIssue:
    spec = scene.city.specs[IDENTITY]
    return CertificatesIssue(
        certificate_id=certificate,
        certificate_type=IDENTITY,
        type_version=1,
        holder=bytes.fromhex(holder.account),
        commitment_root=random.randbytes(32),
        payload_hash=payload_hash,
        fields=tuple(field.name for field in spec.fields),
        attachments=(),
        valid_from_ms=time.time_ns() // 1_000_000 // 1000 * 1000,
        valid_until_ms=0,
        supersedes=b"",
    )


def _requested(bank: Client, grant: str, output: Output, performer: bytes) -> str:
    """A release requested at a node that is not the one to perform it; its id."""
    args = ReleasesRequest(grant_id=bytes.fromhex(grant), outputs=(output,), released_by=performer)
    return output_of(bank.submit(args)).hex()


@attack(
    "share after a revocation",
    attacker="the performing operator, whose node asks again after the person has revoked",
    expected="shares before; once the revocation is final, none from any holder",
)
def share_after_revocation(scene: Scene) -> str:
    holder, bank = scene.holder(), scene.city.banks[0].client
    grant = holder.granted(bank)
    with turned(scene) as rogue:
        manifest = rogue.manifest(holder.certificates[IDENTITY])
        release = _requested(bank, grant, name_of(holder), rogue.account)
        before = rogue.ask(release, manifest, "name", height=top(scene))
        assert before.count("given") >= THRESHOLD - 1, before
        holder.client.pause_grant(grant)
        paused = rogue.ask(release, manifest, "name", height=_settled(scene))
        must("given" not in paused, f"shares after the pause: {paused}")
        holder.client.revoke_grant(grant)
        after = rogue.ask(release, manifest, "name", height=_settled(scene))
        must("given" not in after, f"shares after the revocation: {after}")
        refused = _prepared_by(scene, release)
        must(refused, "a release was prepared after the revocation")
    return f"before {before.count('given')} given; paused: {set(paused)}; revoked: {set(after)}; prepare: {refused}"


def _settled(scene: Scene) -> int:
    until(lambda: len({height(scene.devnet, n) for n in HONEST}) == 1, "the honest nodes are at one height")
    return top(scene)


def _prepared_by(scene: Scene, release: str) -> str:
    """The code of the refusal when the turned operator prepares a release with its node's key; empty if it could."""
    file = PreparedFile(
        media_type="application/json", size_bytes=2, file_hash=bytes(32), mark_commitment=b"\x07" * 32
    )
    with node_client(scene, TURNED, at=1) as node:
        try:
            node.submit(ReleasesPrepare(release_id=bytes.fromhex(release), files=(file,)))
        except Denied as denied:
            return denied.code
    return ""
