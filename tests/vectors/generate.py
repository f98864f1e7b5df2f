"""Writes the golden vectors. Run by `make vectors` and nothing else: a changed vector is a changed protocol."""

from __future__ import annotations

import json
from pathlib import Path

from ledger import codec, commitments, merkle, state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.hashing import block_digest, transaction_id, validators_hash
from ledger.quorum import possession_message, vote_message
from ledger.receipts import build_receipt, epochs_to_json, receipt_to_json, trust_to_json
from ledger.snapshot import ChunkInfo, PartInfo, SnapshotManifest, Sorted, make_chunk, make_parts, snapshot_id
from ledger.state_bulk import leaf_of
from ledger.types import VoteKind
from tests.unit.ledger_world import GENESIS_STATE, NETWORK, SUITE, World, fixed
from tests.vectors.edge_cases import bls_cases, ed25519_cases

HERE = Path(__file__).parent
PACKAGED = HERE.parent.parent / "ledger" / "crypto"


def encodings() -> list[dict[str, str]]:
    """Canonical bytes of one struct of each kind, and what is derived from them."""
    world = World()
    finalized, results = world.finalized_with_path(2)
    header, tx = finalized.block.header, finalized.block.transactions[0]
    vote = world.vote(1, VoteKind.NOTARIZE, header.view, block_digest(SUITE, header))
    members = world.validators.validators
    rows: list[tuple[str, bytes]] = [
        ("genesis", codec.encode(world.genesis)),
        ("chain_id", world.chain),
        ("transaction", codec.encode(tx)),
        ("transaction_id", transaction_id(SUITE, tx.body)),
        ("result", codec.encode(results[0])),
        ("header", codec.encode(header)),
        ("block_digest", block_digest(SUITE, header)),
        ("validators_hash", validators_hash(SUITE, world.validators)),
        ("vote", codec.encode(vote)),
        ("vote_message", vote_message(world.chain, vote.kind, vote.epoch, vote.view, vote.digest)),
        ("possession_message", possession_message(NETWORK, members[0].account, members[0].vote_key)),
        ("quorum_certificate", codec.encode(finalized.certificate)),
        ("finalized_block", codec.encode(finalized)),
        ("receipt", codec.encode(build_receipt(SUITE, NETWORK, finalized, results, 0))),
        ("trust", codec.encode(world.trust)),
    ]
    return [{"name": name, "hex": data.hex()} for name, data in rows]


def merkle_trees() -> list[dict[str, object]]:
    """Plain and counted roots over 0 … 9 leaves, with the proof of the middle one."""
    trees: list[dict[str, object]] = []
    for size in range(10):
        leaves = [bytes((i,)) * i for i in range(size)]
        tree: dict[str, object] = {
            "leaves": [leaf.hex() for leaf in leaves],
            "root": merkle.root(SUITE.digest, leaves).hex(),
            "counted_root": merkle.counted_root(SUITE.digest, leaves).hex(),
        }
        if size:
            proof = merkle.prove(SUITE.digest, leaves, size // 2)
            tree["index"] = proof.index
            tree["siblings"] = [sibling.hex() for sibling in proof.siblings]
        trees.append(tree)
    return trees


def state_proofs(suite: CryptoSuite = SUITE) -> dict[str, object]:
    """A state of 40 keys and proofs of presence and absence under its root."""
    state = {b"key/%d" % i: fixed("value", i, size=i) for i in range(1, 40)} | GENESIS_STATE
    tree = state_tree.update(suite, state_tree.NodeMap({}), None, state, 0)
    reader = state_tree.NodeMap(tree.nodes)
    proofs = []
    for key in (b"key/1", b"key/17", b"limits", b"missing", b"key/40", b"other"):
        value = state.get(key)
        proof = state_tree.prove(suite, reader, 0, key)
        proofs.append(
            {
                "key": key.hex(),
                "value": None if value is None else value.hex(),
                "proof": codec.encode(proof).hex(),
            }
        )
    entries = {key.hex(): value.hex() for key, value in sorted(state.items())}
    return {"state": entries, "root": tree.root.hex(), "proofs": proofs}


def commitment() -> dict[str, object]:
    """A commitment to three fields and an attachment, and the proof that discloses one field."""
    values: dict[str, commitments.FieldValue] = {
        "name": "张三",
        "year": 1990,
        "vehicles": [{"plate": "京A12345", "seats": 5}, {"plate": "京B00000", "seats": 7}],
    }
    salts = {name: fixed("salt", name, size=16) for name in (*values, "scan")}
    encoded = {name: commitments.encode_value(value) for name, value in values.items()}
    fields = {name: commitments.leaf(SUITE, salts[name], name, data) for name, data in encoded.items()}
    content = SUITE.digest(b"a scan")
    scan = commitments.attachment_leaf(SUITE, salts["scan"], "scan", "application/pdf", content)
    leaves = commitments.ordered_leaves(fields, {"scan": scan})
    index = leaves.index(fields["vehicles"])
    proof = commitments.prove_field(SUITE, leaves, index, salts["vehicles"])
    return {
        "values": values,
        "encoded": {name: data.hex() for name, data in encoded.items()},
        "salts": {name: salt.hex() for name, salt in salts.items()},
        "attachment": {"name": "scan", "media_type": "application/pdf", "content_hash": content.hex()},
        "leaves": [leaf.hex() for leaf in leaves],
        "root": commitments.commitment_root(SUITE, leaves).hex(),
        "disclosed": {"name": "vehicles", "proof": codec.encode(proof).hex()},
    }


def files() -> dict[Path, str]:
    """Every vector file with its text."""
    world = World()
    finalized, results = world.finalized_with_path(2)
    receipt = build_receipt(SUITE, NETWORK, finalized, results, 1)
    ed25519_text, bls_text = _json(ed25519_cases()), _json(bls_cases())
    return {
        HERE / "ed25519_edge.json": ed25519_text,
        PACKAGED / "ed25519_edge.json": ed25519_text,
        HERE / "bls_edge.json": bls_text,
        PACKAGED / "bls_edge.json": bls_text,
        HERE / "encodings.json": _json(encodings()),
        HERE / "merkle.json": _json(merkle_trees()),
        HERE / "state_proofs.json": _json(state_proofs()),
        HERE / "commitments.json": _json(commitment()),
        HERE / "receipt.json": receipt_to_json(receipt),
        HERE / "trust.json": trust_to_json(world.trust),
        **later_epoch(),
        HERE / "snapshot.json": _json(snapshot()),
    }


def later_epoch() -> dict[Path, str]:
    """A receipt of epoch 2, and what leads there from `trust.json`: the seal is final by way of a filler."""
    world = World()
    change = world.committed({b"k": b"v"}, next_validators=world.rotated(), fillers=1).epoch_change
    block = world.committed({b"k": b"w"})
    receipt = build_receipt(SUITE, NETWORK, block.finalized, block.results, 0)
    return {
        HERE / "epochs.json": epochs_to_json((change,) if change else ()),
        HERE / "receipt_epoch_2.json": receipt_to_json(receipt),
    }


def snapshot() -> dict[str, object]:
    """Two halves of a state as chunks, the block's one part, and the id of all of it."""
    world = World()
    block, results, _ = world.next_block({b"key/%d" % i: b"%d" % i for i in range(5)})
    state = {**GENESIS_STATE, **{b"key/%d" % i: b"%d" % i for i in range(5)}}
    entries = sorted(Sorted(leaf_of(SUITE, key, value), key, value) for key, value in state.items())
    halves = [[e for e in entries if (e.leaf.key_hash[0] >= 128) == right] for right in (False, True)]
    made: list[tuple[ChunkInfo, bytes]] = [make_chunk(SUITE, 1, half) for half in halves]
    parts: tuple[PartInfo, ...]
    parts, slices = make_parts(SUITE, block, results)
    manifest = SnapshotManifest(
        version=1,
        header=block.header,
        path=(),
        certificate=world.certify(block.header),
        chunks=tuple(chunk for chunk, _ in made),
        parts=parts,
    )
    return {
        "manifest": codec.encode(manifest).hex(),
        "id": snapshot_id(SUITE, manifest).hex(),
        "pieces": [data.hex() for data in (*(data for _, data in made), *slices)],
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
