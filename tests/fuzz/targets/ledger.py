"""What the ledger decodes and believes: wire structs, files for people, proofs, receipts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from ledger import codec, readable, receipts, state_tree, types
from ledger.commitments import FieldProof, decode_value, encode_value
from ledger.errors import DecodeError, LimitExceeded
from ledger.merkle import counted_root, prove, verify_counted
from ledger.state_tree import StateProof
from ledger.verdicts import ProofRejected
from tests.fuzz.shapes import encodings, values
from tests.fuzz.target import Grammar, Script, Target, require
from tests.unit import ledger_world

MALFORMED = (DecodeError, LimitExceeded)
FILE = (ProofRejected, LimitExceeded)
# Everything that is decoded by itself somewhere; the first byte of an input chooses.
KINDS: tuple[type[types.Wire], ...] = (
    types.Transaction,
    types.Block,
    types.FinalizedBlock,
    types.Result,
    types.Header,
    types.Vote,
    types.QuorumCertificate,
    types.ValidatorSet,
    types.EpochChange,
    types.Genesis,
    types.Receipt,
    types.Trust,
    FieldProof,
    StateProof,
    receipts.StateReceipt,
)
WIRE_SIZE_BYTES_MAX = 16 * 1024


@lru_cache(maxsize=1)
def world() -> ledger_world.World:
    return ledger_world.World()


@lru_cache(maxsize=1)
def receipt() -> types.Receipt:
    """A good one, with a path of two headers."""
    made = ledger_world.World()
    finalized, results = made.finalized_with_path(2)
    return receipts.build_receipt(ledger_world.SUITE, ledger_world.NETWORK, finalized, results, 3)


def run_wire(data: bytes) -> None:
    kind = KINDS[(data[0] if data else 0) % len(KINDS)]
    value = codec.decode(data[1:], kind, size_bytes_max=WIRE_SIZE_BYTES_MAX)
    require(codec.encode(value) == data[1:], "a struct re-encodes to other bytes")
    tree = readable.parse(
        readable.render(readable.to_tree(value, kind)), "file", size_bytes_max=64 * WIRE_SIZE_BYTES_MAX
    )
    again = readable.from_tree(tree, kind, "file", size_bytes_max=WIRE_SIZE_BYTES_MAX)
    require(again == value, "a struct written for people reads back as another")


def wire_seeds() -> list[bytes]:
    made = receipt()
    some: list[types.Wire] = [
        made,
        made.header,
        made.transaction,
        made.result,
        made.certificate,
        world().trust,
        world().genesis,
        world().validators,
        types.EpochChange(
            header=made.header, path=made.path, certificate=made.certificate, validators=world().validators
        ),
    ]
    return [bytes([KINDS.index(type(one))]) + codec.encode(one) for one in some]


def drawn_wires() -> st.SearchStrategy[bytes]:
    return st.one_of(*(encodings(kind).map(bytes([index]).__add__) for index, kind in enumerate(KINDS)))


def run_receipt_file(data: bytes) -> None:
    """A receipt that verifies says what was certified, whatever else was changed in the file."""
    read = receipts.receipt_from_json(data)
    require(receipts.receipt_to_json(read).encode() == data, "a receipt's file has a second form")
    proven = receipts.verify_receipt(world().trust, read)
    good = receipt()
    require(read.header == good.header and proven.height == good.header.height, "a header nobody certified")
    require(read.transaction == good.transaction and read.result == good.result, "a result nobody certified")


def run_receipt(data: bytes) -> None:
    run_receipt_file(receipts.receipt_to_json(decoded_receipt(data)).encode())


def decoded_receipt(data: bytes) -> types.Receipt:
    return codec.decode(data, types.Receipt, size_bytes_max=receipts.RECEIPT_SIZE_BYTES_MAX)


@lru_cache(maxsize=1)
def state_receipts() -> tuple[receipts.StateReceipt, ...]:
    """Good ones of one block: a value, another, and nothing."""
    made = ledger_world.World()
    block = made.committed({bytes([index]): b"v%d" % index for index in range(20)})
    return tuple(
        receipts.build_state_receipt(
            ledger_world.NETWORK,
            block.finalized,
            key,
            value,
            state_tree.prove(ledger_world.SUITE, made.reader, 1, key),
        )
        for key, value in ((b"\x03", b"v3"), (b"\x04", b"v4"), (b"none", None))
    )


def run_state_receipt_file(data: bytes) -> None:
    """A state receipt that verifies says what was certified, whatever else was changed in the file."""
    read = receipts.state_receipt_from_json(data)
    require(receipts.state_receipt_to_json(read).encode() == data, "a state receipt's file has a second form")
    proven = receipts.verify_state_receipt(world().trust, read)
    require(read.header == state_receipts()[0].header, "a header nobody certified")
    held = b"v%d" % read.key[0] if len(read.key) == 1 and read.key[0] < 20 else None
    held = ledger_world.GENESIS_STATE.get(read.key, held)
    require(proven.value == held, "a state that was never so")


def run_state_receipt(data: bytes) -> None:
    read = codec.decode(data, receipts.StateReceipt, size_bytes_max=receipts.RECEIPT_SIZE_BYTES_MAX)
    run_state_receipt_file(receipts.state_receipt_to_json(read).encode())


def run_trust_file(data: bytes) -> None:
    trust = receipts.trust_from_json(data)
    require(
        receipts.trust_from_json(receipts.trust_to_json(trust)) == trust, "a trust point changes when written"
    )


def run_value(data: bytes) -> None:
    value = decode_value(data)
    require(encode_value(value) == data, "a field value re-encodes to other bytes")


LEAVES = tuple(bytes([index]) * 3 for index in range(11))
ROOT = counted_root(ledger_world.SUITE.digest, LEAVES)


def run_merkle(data: bytes) -> None:
    """Nothing is proven under a root but its leaves, each at its place."""
    script = Script(data)
    leaf = script.some(3)
    proof = codec.decode(script.rest(), types.MerkleProof, size_bytes_max=4096)
    if verify_counted(ledger_world.SUITE.digest, ROOT, leaf, proof):
        require(proof.size == len(LEAVES) and LEAVES[proof.index] == leaf, "a leaf that is not there")


def merkle_seeds() -> list[bytes]:
    digest = ledger_world.SUITE.digest
    return [LEAVES[index] + codec.encode(prove(digest, LEAVES, index)) for index in (0, 5, 10)]


ENTRIES = {bytes([index]): bytes([index, index]) for index in range(40)}


@lru_cache(maxsize=1)
def tree() -> state_tree.TreeUpdate:
    return state_tree.update(ledger_world.SUITE, state_tree.NodeMap({}), None, dict(ENTRIES), 0)


def run_state(data: bytes) -> None:
    """Nothing is proven of a state but what it holds, and nothing absent but what is."""
    script = Script(data)
    key, value = script.some(1), script.some(2)
    proof = codec.decode(script.rest(), StateProof, size_bytes_max=16 * 1024)
    root, suite = tree().root, ledger_world.SUITE
    if state_tree.verify_state(suite, root, key, value, proof):
        require(ENTRIES.get(key) == value, "a value that is not in the state")
    if state_tree.verify_state(suite, root, key, None, proof):
        require(key not in ENTRIES, "a value is in the state and its absence is proven")


def state_seeds() -> list[bytes]:
    reader, suite = state_tree.NodeMap(tree().nodes), ledger_world.SUITE
    return [
        bytes([key, key, key]) + codec.encode(state_tree.prove(suite, reader, 0, bytes([key])))
        for key in (0, 7, 39, 40, 255)
    ]


_VALUE: Any = str | int | list[dict[str, str | int]]

TARGETS = (
    Target(
        name="ledger.wire",
        run=run_wire,
        seeds=wire_seeds,
        examples=drawn_wires,
        errors=MALFORMED,
        size_bytes_max=WIRE_SIZE_BYTES_MAX + 1,
    ),
    Target(
        name="ledger.receipt",
        run=run_receipt,
        seeds=lambda: [codec.encode(receipt())],
        examples=lambda: encodings(types.Receipt),
        errors=(*MALFORMED, ProofRejected),
        grammar=Grammar.MSGPACK,
        size_bytes_max=16 * 1024,
    ),
    Target(
        name="ledger.receipt_file",
        run=run_receipt_file,
        seeds=lambda: [receipts.receipt_to_json(receipt()).encode()],
        examples=lambda: values(types.Receipt).map(lambda one: receipts.receipt_to_json(one).encode()),
        errors=FILE,
        grammar=Grammar.JSON,
        size_bytes_max=32 * 1024,
    ),
    Target(
        name="ledger.state_receipt",
        run=run_state_receipt,
        seeds=lambda: [codec.encode(one) for one in state_receipts()],
        examples=lambda: encodings(receipts.StateReceipt),
        errors=(*MALFORMED, ProofRejected),
        grammar=Grammar.MSGPACK,
        size_bytes_max=16 * 1024,
    ),
    Target(
        name="ledger.state_receipt_file",
        run=run_state_receipt_file,
        seeds=lambda: [receipts.state_receipt_to_json(one).encode() for one in state_receipts()],
        examples=lambda: values(receipts.StateReceipt).map(
            lambda one: receipts.state_receipt_to_json(one).encode()
        ),
        errors=FILE,
        grammar=Grammar.JSON,
        size_bytes_max=32 * 1024,
    ),
    Target(
        name="ledger.trust_file",
        run=run_trust_file,
        seeds=lambda: [receipts.trust_to_json(world().trust).encode()],
        examples=lambda: values(types.Trust).map(lambda one: receipts.trust_to_json(one).encode()),
        errors=FILE,
        grammar=Grammar.JSON,
        size_bytes_max=16 * 1024,
    ),
    Target(
        name="ledger.field_value",
        run=run_value,
        seeds=lambda: [codec.encode(one) for one in ("text", -5, [{"a": 1, "b": "c"}, {}])],
        examples=lambda: encodings(_VALUE),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
    ),
    Target(
        name="ledger.merkle_proof", run=run_merkle, seeds=merkle_seeds, errors=MALFORMED, size_bytes_max=1024
    ),
    Target(
        name="ledger.state_proof", run=run_state, seeds=state_seeds, errors=MALFORMED, size_bytes_max=4096
    ),
)
