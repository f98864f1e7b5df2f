"""What a verifier must say of files that were tampered with, and of good ones: the hostile set.

Rule: a case names the files it starts from, at most one splice in each, and the verdict: `valid`, the code of the
check that fails, or the code of the error. Every verifier must give that very verdict.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ledger.hashing import block_digest, prove_item, sign_transaction
from ledger.receipts import (
    verify_receipt,
)
from ledger.state_tree import StateLeaf
from ledger.types import EpochChange, ValidatorSet, VoteKind
from tests.unit.ledger_world import SUITE, World, fixed
from tests.vectors.proof_builder import VALID, Builder
from tests.vectors.proof_cases_text import formats, sizes, summaries
from tests.vectors.proof_files import KEY, REVOKED_KEY, Proofs


def good(b: Builder) -> None:
    for name in ("receipt", "receipt_by_all", "state_present", "state_absent", "state_historic"):
        b.add(f"good: {name}", VALID, name)
        b.add(f"good: {name}, with changes that it does not need", VALID, name, epochs="epochs")
    for epoch in (2, 3):
        for name in (f"receipt_epoch_{epoch}", f"state_epoch_{epoch}"):
            b.add(f"good: {name} by way of the changes", VALID, name, epochs="epochs")
            b.add(f"good: {name} from its own epoch's trust", VALID, name, trust=f"trust_epoch_{epoch}")
    b.add("good: from epoch 2 on", VALID, "state_epoch_3", trust="trust_epoch_2", epochs="epochs")
    for name in ("small_receipt", "small_state"):
        b.add(f"good: {name}", VALID, name, trust="small_trust")
    loose = b.files["trust.json"].replace("\n", "\r\n \t")
    b.add("good: white space in the trust file", VALID, trust=loose)
    packed = b.files["epochs.json"].replace("\n", "").replace("  ", "")
    b.add("good: no white space in the changes", VALID, "receipt_epoch_3", epochs=packed)


def trusted_set(b: Builder) -> None:
    trust = b.proofs.trusts["trust"]
    members = trust.validators.validators
    stale = replace(trust, validators=ValidatorSet(epoch=2, validators=members))
    swapped = replace(
        trust, validators=ValidatorSet(epoch=1, validators=(members[1], members[0], *members[2:]))
    )
    b.add("another network's name", "network", trust=replace(trust, network="elsewhere"))
    b.add(
        "another network's name in the receipt", "network", receipt=b.text("receipt", "测试网", "试测网", 2)
    )
    b.add(
        "another network's name, state", "network", "state_present", trust=replace(trust, network="elsewhere")
    )
    b.add("wrong chain", "chain", trust=replace(trust, chain_id=fixed("chain")))
    b.add("wrong chain, state", "chain", "state_present", trust=replace(trust, chain_id=fixed("chain")))
    b.add("stale validator set", "validators", "receipt_epoch_2", trust=stale)
    b.add("validators in another order", "validators", trust=swapped)
    b.add("validators of another network", "chain", trust="small_trust")
    b.add("unknown suite", "unknown_suite", trust=replace(trust, suite="rot13"))
    b.add("the trust of a later epoch", "epoch", trust="trust_epoch_2")
    b.add("the trust of a later epoch, with the changes", "epoch", trust="trust_epoch_2", epochs="epochs")


def epochs(b: Builder) -> None:
    first, second = b.proofs.changes
    base = "state_epoch_3"
    b.add("no changes", "epoch", base)
    b.add("an empty list of changes", "epoch", base, epochs="epochs_none")
    b.add("too few changes", "epoch", base, epochs="epochs_first")
    b.add("a skipped epoch", "epoch", base, epochs=[second])
    b.add("a replayed epoch", "epoch_order", base, epochs=[first, first, second])
    b.add("the last epoch twice", "epoch_order", base, epochs=[first, second, second])
    b.add("epochs in the wrong order", "epoch_order", base, epochs=[second, first])
    b.add(
        "a replayed epoch before the trusted one",
        "epoch_order",
        base,
        trust="trust_epoch_2",
        epochs=[first, first],
    )
    b.add(
        "the set of the epoch after next",
        "next_validators",
        base,
        epochs=[replace(first, validators=second.validators), second],
    )
    b.add(
        "the old set again",
        "next_validators",
        base,
        epochs=[replace(first, validators=b.proofs.trusts["trust"].validators), second],
    )
    b.add(
        "a change without its filler", "certificate_subject", base, epochs=[replace(first, path=()), second]
    )
    b.add(
        "a filler at another height",
        "path_order",
        base,
        epochs=[replace(first, path=(replace(first.path[0], height=first.path[0].height + 1),)), second],
    )
    b.add(
        "a filler that carries something",
        "path_filler",
        base,
        epochs=[replace(first, path=(replace(first.path[0], transactions_root=fixed("t")),)), second],
    )
    b.add(
        "a filler that changes the state",
        "path_filler",
        base,
        epochs=[replace(first, path=(replace(first.path[0], state_root=fixed("t")),)), second],
    )
    b.add(
        "a change with the certificate of another",
        "certificate_subject",
        base,
        epochs=[replace(first, certificate=replace(second.certificate, epoch=1)), second],
    )
    b.add("no end of an epoch", "seal", base, epochs=[_no_seal(b), second])
    b.add(
        "a set of the same epoch",
        "next_epoch",
        "receipt_epoch_2",
        **_sealed(lambda s, _: replace(s, epoch=3)),
    )
    b.add("a key whose holder proved nothing", "next_keys", "receipt_epoch_2", **_sealed(_unproven))
    b.add("a key that occurs twice", "next_keys", "receipt_epoch_2", **_sealed(_twice))
    text = b.files["epochs.json"]
    b.add("the changes are no changes", "format", base, epochs="trust")
    b.add("the changes are cut", "format", base, epochs=text[:-40])
    b.add(
        "the changes are written otherwise",
        "not_canonical",
        base,
        epochs=text.replace("finalize", "\\u0066inalize", 1),
    )


def _no_seal(b: Builder) -> EpochChange:
    receipt = b.proofs.receipts["receipt"]
    return EpochChange(
        header=receipt.header,
        path=receipt.path,
        certificate=receipt.certificate,
        validators=b.proofs.changes[0].validators,
    )


def _sealed(change: Callable[[ValidatorSet, World], ValidatorSet]) -> dict[str, object]:
    """An epoch change whose set the old validators should never have decided."""
    world = World()
    following = change(world.rotated(), world)
    sealed = world.committed({}, next_validators=following).epoch_change
    assert sealed is not None
    return {"epochs": [sealed]}


def _unproven(following: ValidatorSet, _: World) -> ValidatorSet:
    members = list(following.validators)
    members[0] = replace(members[0], possession=members[1].possession)
    return replace(following, validators=tuple(members))


def _twice(following: ValidatorSet, _: World) -> ValidatorSet:
    members = list(following.validators)
    members[1] = replace(members[1], vote_key=members[0].vote_key, possession=members[0].possession)
    return replace(following, validators=tuple(members))


def certificates(b: Builder) -> None:
    world, receipt = b.proofs.world, b.proofs.receipts["receipt"]
    certified, good = receipt.path[-1], receipt.certificate

    def case(name: str, verdict: str, **changes: object) -> None:
        b.add(f"certificate: {name}", verdict, receipt=replace(receipt, certificate=replace(good, **changes)))

    notarized = world.certify(certified, VoteKind.NOTARIZE)
    b.add("certificate: a Notarization", "certificate_kind", receipt=replace(receipt, certificate=notarized))
    case(
        "a Notarization that calls itself Finalization",
        "certificate_signature",
        signature=notarized.signature,
    )
    case("a Nullification", "certificate_kind", kind=VoteKind.NULLIFY)
    few = world.certify(certified, signers=(0, 1))
    b.add("certificate: too few signers", "certificate_signers", receipt=replace(receipt, certificate=few))
    case("two signers that call themselves three", "certificate_signature", signature=few.signature)
    other = world.certify(certified, signers=(0, 1, 3))
    case("the signatures of others", "certificate_signature", signature=other.signature)
    case("the names of others", "certificate_signature", signers=other.signers)
    case("a fourth name", "certificate_signature", signers=b"\x0f")
    case("nobody", "certificate_signers", signers=b"\x00")
    case("a bitmap too short", "certificate_signers", signers=b"")
    case("a bitmap too long", "certificate_signers", signers=b"\x07\x00")
    case("a validator that is not there", "certificate_signers", signers=b"\x17")
    case("another view", "certificate_subject", view=good.view + 1)
    case("another epoch", "certificate_subject", epoch=2)
    case("another block", "certificate_subject", digest=block_digest(SUITE, receipt.header))
    case("no block", "certificate_subject", digest=bytes(32))
    last = bytearray(good.signature)
    last[-1] ^= 1
    case("a flipped bit in the signature", "certificate_signature", signature=bytes(last))
    case("no signature to speak of", "certificate_signature", signature=b"\x00")
    case("a signature too short", "certificate_signature", signature=good.signature[:-1])
    case("a signature too long", "certificate_signature", signature=good.signature + b"\x00")
    case("the signature twice", "certificate_signature", signature=good.signature * 2)
    if SUITE.name == "intl":
        case("the identity", "certificate_signature", signature=b"\xc0" + bytes(95))
        case("the identity, written otherwise", "certificate_signature", signature=b"\xe0" + bytes(95))
        case(
            "no compressed point",
            "certificate_signature",
            signature=bytes((good.signature[0] & 0x7F,)) + good.signature[1:],
        )
        case(
            "the negated point",
            "certificate_signature",
            signature=bytes((good.signature[0] ^ 0x20,)) + good.signature[1:],
        )
    else:
        parts = [good.signature[at : at + 64] for at in range(0, len(good.signature), 64)]
        case("signatures in another order", "certificate_signature", signature=b"".join(reversed(parts)))
        case("one signature for all", "certificate_signature", signature=parts[0] * len(parts))
        case("one signature of zeros", "certificate_signature", signature=bytes(64) + b"".join(parts[1:]))
        case("one signature of ones", "certificate_signature", signature=b"\xff" * 64 + b"".join(parts[1:]))


def paths(b: Builder) -> None:
    receipt = b.proofs.receipts["receipt"]
    first, second = receipt.path

    def case(name: str, verdict: str, **changes: object) -> None:
        b.add(f"path: {name}", verdict, receipt=replace(receipt, **changes))

    case("cut at the end", "certificate_subject", path=(first,))
    case("cut at the start", "path_not_linked", path=(second,))
    case("none", "certificate_subject", path=())
    case("in another order", "path_not_linked", path=(second, first))
    case("a header twice", "path_not_linked", path=(first, first, second))
    case("a leap in height", "path_order", path=(replace(first, height=first.height + 1), second))
    case("no later view", "path_order", path=(replace(first, view=receipt.header.view), second))
    case("no later time", "path_order", path=(replace(first, time_ms=receipt.header.time_ms), second))
    case("a header of another chain", "chain", path=(first, replace(second, chain_id=fixed("chain"))))
    case("a header of another epoch", "epoch", path=(first, replace(second, epoch=2)))
    case(
        "a header of other validators",
        "validators",
        path=(first, replace(second, validators_hash=fixed("v"))),
    )
    case("a header of another version", "version", path=(first, replace(second, version=2)))
    case("a changed state root", "path_not_linked", header=replace(receipt.header, state_root=fixed("s")))
    case("version 0", "version", header=replace(receipt.header, version=0))


def transactions(b: Builder) -> None:
    world, receipt = b.proofs.world, b.proofs.receipts["receipt"]
    other = b.proofs.receipts["receipt_epoch_2"]

    def case(name: str, verdict: str, **changes: object) -> None:
        b.add(f"transaction: {name}", verdict, receipt=replace(receipt, **changes))

    body = replace(receipt.transaction.body, chain_id=fixed("chain"))
    case("of another chain", "transaction_chain", transaction=sign_transaction(SUITE, world.signer, body))
    case("of another block", "transaction_proof", transaction=other.transaction)
    case("signed anew", "transaction_proof", transaction=replace(receipt.transaction, signature=b"\x00" * 64))
    case("another block's proof", "transaction_proof", transaction_proof=other.transaction_proof)
    proof = receipt.transaction_proof
    case("at another place", "transaction_proof", transaction_proof=replace(proof, index=2))
    case("of more", "transaction_proof", transaction_proof=replace(proof, size=6))
    case("past the end", "transaction_proof", transaction_proof=replace(proof, index=5))
    case("of none", "transaction_proof", transaction_proof=replace(proof, size=0))
    case("of very many", "transaction_proof", transaction_proof=replace(proof, size=2**53 - 1))
    case(
        "a sibling less", "transaction_proof", transaction_proof=replace(proof, siblings=proof.siblings[:-1])
    )
    case(
        "a sibling more",
        "transaction_proof",
        transaction_proof=replace(proof, siblings=(*proof.siblings, fixed("s"))),
    )
    case(
        "siblings swapped",
        "transaction_proof",
        transaction_proof=replace(proof, siblings=proof.siblings[::-1]),
    )
    case("the result of another", "result_transaction", result=other.result)
    case("a better result", "result_proof", result=replace(receipt.result, code="fine"))
    case("another output", "result_proof", result=replace(receipt.result, output=b"\x02"))
    case(
        "the proofs exchanged",
        "transaction_proof",
        transaction_proof=receipt.result_proof,
        result_proof=proof,
    )
    moved = replace(receipt.result_proof, index=2)
    case("a result at another place", "result_position", result_proof=moved)
    items = [receipt.transaction, receipt.transaction]
    case("a proof of the wrong tree", "transaction_proof", transaction_proof=prove_item(SUITE, items, 1))
    case("version 2", "version", version=2)


def states(b: Builder) -> None:
    present, absent = b.proofs.states["state_present"], b.proofs.states["state_absent"]
    historic = b.proofs.states["state_historic"]

    def case(name: str, base: str, **changes: object) -> None:
        b.add(f"state: {name}", "state_proof", base, receipt=replace(b.proofs.states[base], **changes))

    case("another value", "state_present", value=b"revoked")
    case("an empty value", "state_present", value=b"")
    case("a later value", "state_present", value=b"mortgaged")
    case("presence told as absence", "state_present", value=None)
    case("absence told as presence", "state_absent", value=b"")
    case("another key", "state_present", key=REVOKED_KEY)
    case("a present key's absence by another's proof", "state_absent", key=KEY)
    case("the proof of another key", "state_historic", proof=b.proofs.other.proof)
    case("the proof of another height", "state_historic", proof=present.proof)
    case(
        "the block of another height",
        "state_present",
        header=historic.header,
        path=historic.path,
        certificate=historic.certificate,
    )
    proof = historic.proof
    case("a sibling less", "state_historic", proof=replace(proof, siblings=proof.siblings[:-1]))
    case("a sibling more", "state_historic", proof=replace(proof, siblings=(*proof.siblings, bytes(32))))
    case("siblings in another order", "state_historic", proof=replace(proof, siblings=proof.siblings[::-1]))
    case("no leaf", "state_historic", proof=replace(proof, leaf=None))
    case("an empty tree", "state_absent", proof=replace(proof, leaf=None, siblings=()))
    case("256 siblings", "state_historic", proof=replace(proof, siblings=(fixed("s"),) * 256))
    leaf = StateLeaf(key_hash=fixed("l"), value_hash=fixed("v"))
    case("a made-up neighbour", "state_absent", proof=replace(absent.proof, leaf=leaf))
    b.add("state: version 2", "version", "state_present", receipt=replace(present, version=2))
    b.add("state: version 0", "version", "state_present", receipt=replace(present, version=0))


def build() -> Builder:
    """All cases, each checked against the Python verifier: what is written down is meant and is so."""
    b = Builder(Proofs())
    for part in (
        good,
        trusted_set,
        epochs,
        certificates,
        paths,
        transactions,
        states,
        summaries,
        formats,
        sizes,
    ):
        part(b)
    names = [case.name for case in b.cases]
    assert len(set(names)) == len(names), "a name occurs twice"
    assert verify_receipt(b.proofs.trusts["trust"], b.proofs.receipts["receipt"]).height == 1
    return b
