"""What everyone agrees on, as typed structs without behaviour.

Rule: every struct here is frozen, encoded as a MessagePack array by `ledger.codec`, and holds only integers,
bytes, text, booleans, tuples and other such structs. Times are integer milliseconds since the Unix epoch. Ids
are raw bytes. A changed field is a changed protocol: golden vectors under `tests/vectors/` pin each encoding.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, dataclass_transform

from msgspec import Meta, Struct, field

HASH_SIZE_BYTES: Final = 32
ACCOUNT_ID_SIZE_BYTES: Final = 16
KEY_ID_SIZE_BYTES: Final = 16
NONCE_SIZE_BYTES: Final = 16
RELEASE_ID_SIZE_BYTES: Final = 8

VALIDATORS_MAX: Final = 128
CERTIFICATE_DER_BYTES_MAX: Final = 2048
PATH_HEADERS_MAX: Final = 4096
TRANSACTION_SIZE_BYTES_MAX: Final = 64 * 1024
CALL_ARGS_SIZE_BYTES_MAX: Final = 60 * 1024
BLOCK_TRANSACTIONS_MAX: Final = 4096
BLOCK_SIZE_BYTES_MAX: Final = 4 * 1024 * 1024
ORIGINS_MAX: Final = 64
RESULT_EVENTS_MAX: Final = 64
EVENT_SUBJECTS_MAX: Final = 512
EVENT_DATA_MAX: Final = 32

Hash = Annotated[bytes, Meta(min_length=HASH_SIZE_BYTES, max_length=HASH_SIZE_BYTES)]
AccountId = Annotated[bytes, Meta(min_length=ACCOUNT_ID_SIZE_BYTES, max_length=ACCOUNT_ID_SIZE_BYTES)]
KeyId = Annotated[bytes, Meta(min_length=KEY_ID_SIZE_BYTES, max_length=KEY_ID_SIZE_BYTES)]
Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
ReleaseId = Annotated[bytes, Meta(min_length=RELEASE_ID_SIZE_BYTES, max_length=RELEASE_ID_SIZE_BYTES)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_SIZE_BYTES, max_length=NONCE_SIZE_BYTES)]
Signature = Annotated[bytes, Meta(min_length=1, max_length=4096)]
PublicKey = Annotated[bytes, Meta(min_length=1, max_length=128)]
DayMs = Annotated[
    int,
    Meta(
        ge=-(2**53) + 1, le=2**53 - 1, description="a date printed on a document; before 1970 it is negative"
    ),
]
TimeMs = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=256)]
Host = Annotated[str, Meta(min_length=1, max_length=253)]
Port = Annotated[int, Meta(ge=1, le=65535)]
CertificateDer = Annotated[bytes, Meta(min_length=1, max_length=CERTIFICATE_DER_BYTES_MAX)]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Base of every struct that is hashed, signed, stored or sent."""


# --- transactions -------------------------------------------------------------------------------------------


class Call(Wire):
    """What a transaction asks for.

    Attributes:
        contract: name of the contract, e.g. "grants".
        method: name of its method, e.g. "approve".
        args: canonical encoding of that method's argument struct (`contracts/calls.py`).
    """

    contract: Name
    method: Name
    args: Annotated[bytes, Meta(max_length=CALL_ARGS_SIZE_BYTES_MAX)]


class TransactionBody(Wire):
    """The signed part of a transaction.

    Attributes:
        chain_id: hash of the genesis document; a transaction of one network is void in every other.
        account: who acts.
        key_id: which of the account's keys signed, so that a record names the officer who acted.
        nonce: 16 random bytes; makes equal calls different transactions.
        valid_until_ms: after this block time the transaction can no longer be included.
        call: what is asked for.
    """

    chain_id: Hash
    account: AccountId
    key_id: KeyId
    nonce: Nonce
    valid_until_ms: TimeMs
    call: Call


class Transaction(Wire):
    """A body and the signature over `hash(TRANSACTION_SIGN, encode(body))`.

    Its id is `hash(TRANSACTION_ID, encode(body))`.
    """

    body: TransactionBody
    signature: Signature


class Event(Wire):
    """Something that happened, for indexes, streams and timelines.

    Attributes:
        kind: "<contract>.<past participle>", e.g. "grants.approved".
        object_id: the id of what it happened to.
        subjects: every id it concerns (accounts, certificates, grants, releases); each of them finds the
            event.
        data: small public facts: codes, counts, and ids in lowercase hex (the decoder cannot tell bytes from
            text in one place); never personal data. Sorted by key.
    """

    kind: Name
    object_id: Annotated[bytes, Meta(max_length=32)]
    subjects: Annotated[
        tuple[Annotated[bytes, Meta(max_length=32)], ...], Meta(max_length=EVENT_SUBJECTS_MAX)
    ]
    data: Annotated[tuple[tuple[Name, str | int], ...], Meta(max_length=EVENT_DATA_MAX)] = ()


class Result(Wire):
    """What executing a transaction gave. Certified by the block's `results_root`.

    Attributes:
        transaction_id: which transaction.
        code: "ok", or the stable code of the denial.
        fields: what the denial's message names, sorted by key.
        output: canonical encoding of what the method returns (an id, mostly); empty when denied.
        events: what happened; a denied attempt has one too, so that refused attempts are on record.
    """

    transaction_id: Hash
    code: Name
    fields: tuple[tuple[Name, str | int], ...] = ()
    output: bytes = b""
    events: Annotated[tuple[Event, ...], Meta(max_length=RESULT_EVENTS_MAX)] = ()


RESULT_OK: Final = "ok"


# --- blocks -------------------------------------------------------------------------------------------------


class Header(Wire):
    """What a quorum certifies. The block's digest is `hash(BLOCK, encode(header))`.

    Attributes:
        version: protocol version, 1.
        chain_id: hash of the genesis document.
        epoch: validator-set period, from 1.
        view: consensus view in which it was proposed, from 1 in each epoch.
        height: number of its ancestors; genesis is height 0.
        parent: digest of the parent block.
        time_ms: block time, strictly greater than the parent's.
        proposer: account id of the validator that proposed it.
        transactions_root: counted Merkle root (`ledger/merkle.py`) over the encoded transactions.
        results_root: counted Merkle root over the encoded results.
        state_root: root of the state tree after this block.
        validators_hash: hash of the validator set that votes on this block.
        next_validators_hash: hash of the set that votes on its successor.
    """

    version: Count
    chain_id: Hash
    epoch: Count
    view: Count
    height: Count
    parent: Hash
    time_ms: TimeMs
    proposer: AccountId
    transactions_root: Hash
    results_root: Hash
    state_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash


class Block(Wire):
    """A header and the transactions it commits to."""

    header: Header
    transactions: Annotated[tuple[Transaction, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]


class Validator(Wire):
    """A voting node.

    Attributes:
        account: its operator's account id; also the node's id in the peer network.
        name: what people call it.
        vote_key: public key of its consensus votes (48 bytes of BLS12-381 G1 in `intl`, 33 of SM2 in `sm`).
        possession: proof of possession of that key, bound to network name and account.
    """

    account: AccountId
    name: Name
    vote_key: PublicKey
    possession: Signature


class ValidatorSet(Wire):
    """The validators of one epoch, in the order that fixes their index and their turn to lead."""

    epoch: Count
    validators: Annotated[tuple[Validator, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]


class VoteKind(IntEnum):
    """The three votes of Simplex and, by the same number, the certificate that a quorum of them makes."""

    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3


class Vote(Wire):
    """One validator's signed vote. `digest` is the block's digest, and 32 zero bytes for a Nullify."""

    kind: VoteKind
    epoch: Count
    view: Count
    digest: Hash
    validator: Annotated[int, Meta(ge=0, lt=VALIDATORS_MAX)]
    signature: Signature


class QuorumCertificate(Wire):
    """A quorum's votes in one: Notarization, Nullification or Finalization.

    Attributes:
        kind, epoch, view, digest: what was voted.
        signers: bitmap, bit i of byte i // 8 (least significant first) is validator i; exactly ceil(n / 8)
            bytes, unused bits zero.
        signature: aggregate signature (`intl`), or the signers' signatures joined in order of index (`sm`).
    """

    kind: VoteKind
    epoch: Count
    view: Count
    digest: Hash
    signers: Annotated[bytes, Meta(max_length=VALIDATORS_MAX // 8)]
    signature: Annotated[bytes, Meta(min_length=1, max_length=VALIDATORS_MAX * 96)]


class FinalizedBlock(Wire):
    """A block with the proof that it is final.

    `certificate` is a Finalization of the block itself or of a descendant; in the second case `path` holds
    the headers from the child of this block up to the certified one, each the child of the one before.
    """

    block: Block
    path: tuple[Header, ...]
    certificate: QuorumCertificate


class EpochChange(Wire):
    """Proof that one validator set handed over to the next: the epoch's seal, final, and the set that it names.

    Attributes:
        header: of the seal, the last block of its epoch; its `next_validators_hash` differs from its `validators_hash`.
        path: headers from the seal's child up to the certified one, fillers all; empty when the seal is certified itself.
        certificate: a Finalization by the old set.
        validators: the new set; its hash is the seal's `next_validators_hash`, and its epoch one more than the seal's.
    """

    header: Header
    path: Annotated[tuple[Header, ...], Meta(max_length=PATH_HEADERS_MAX)]
    certificate: QuorumCertificate
    validators: ValidatorSet


# --- genesis ------------------------------------------------------------------------------------------------


class GenesisKey(Wire):
    """A key that an account has from the start."""

    key_id: KeyId
    scheme: Name
    public_key: PublicKey
    role: Name
    label: Name


class GenesisOperator(Wire):
    """An operator of the network: it runs a validator and votes in governance.

    Attributes:
        account: id; equal to the account of its validator.
        name: public name of the operating organisation.
        keys: role "admin" for governance votes, role "node" for what the node itself signs.
        wrap_key: public key (X25519 in `intl`, SM2 in `sm`) to which secrets for this operator are sealed.
        host, port: where its node is reached by its peers.
        certificate: the node's X.509 certificate, DER; peers accept no other key than the one in it.
    """

    account: AccountId
    name: Name
    keys: tuple[GenesisKey, ...]
    wrap_key: PublicKey
    host: Host
    port: Port
    certificate: CertificateDer


class Limits(Wire):
    """What bounds a block and a transaction; fixed in genesis because every node must decide alike."""

    block_bytes_max: Count = 1024 * 1024
    block_transactions_max: Count = 512
    block_cost_max: Count = 100_000
    account_transactions_per_block_max: Count = 256
    transaction_lifetime_ms_max: Count = 600_000
    clock_drift_ms_max: Count = 10_000


class WebAuthn(Wire):
    """Where passkeys of this network are made and used (W3C Web Authentication); without both there are none.

    Attributes:
        rp_id: relying-party id, a domain name that all portals share, "localhost" on a devnet; it never changes, because every
            passkey hangs on it.
        origins: the portals' origins as browsers write them, e.g. "https://portal.example.gov.cn"; each on `rp_id` or a
            subdomain of it. Operators change the list by vote (`contracts/portals.py`).
    """

    rp_id: Annotated[str, Meta(max_length=253)] = ""
    origins: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=272)], ...], Meta(max_length=ORIGINS_MAX)
    ] = ()


class Genesis(Wire):
    """Where a network begins: the genesis block is at height 0, epoch 1.

    Its hash is the network's identity: `chain_id = hash(GENESIS, encode(genesis))`.

    Attributes:
        network: human name of the network.
        suite: crypto suite, "intl" or "sm".
        time_ms: block time of height 0.
        validators: the first epoch's set.
        operators: one for each validator, same order.
        limits: block and transaction bounds.
        webauthn: where passkeys are made and used, to begin with.
    """

    network: Name
    suite: Name
    time_ms: TimeMs
    validators: ValidatorSet
    operators: Annotated[tuple[GenesisOperator, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]
    limits: Limits
    webauthn: WebAuthn = WebAuthn()


def quorum_size(validator_count: int) -> int:
    """q = n − f with f = ⌊(n−1)/3⌋: how many validators make a quorum (never 2f+1)."""
    return validator_count - (validator_count - 1) // 3


# --- proofs -------------------------------------------------------------------------------------------------


class MerkleProof(Wire):
    """Inclusion of one leaf in a Merkle tree: index, number of leaves, sibling hashes from leaf to root."""

    index: Count
    size: Count
    siblings: Annotated[tuple[Hash, ...], Meta(max_length=64)]


class Receipt(Wire):
    """The proof a person can keep: this transaction was finalized on this network with this result.

    Attributes:
        version: 1.
        network: human name of the network, shown, never trusted.
        transaction: the transaction in full.
        result: its result in full.
        transaction_proof: inclusion under `finalized.header.transactions_root`.
        result_proof: inclusion under `finalized.header.results_root`.
        header: header of the block that holds it.
        path: headers from that block's child to the certified one (empty when it is certified itself).
        certificate: the Finalization.
    """

    version: Count
    network: Name
    transaction: Transaction
    result: Result
    transaction_proof: MerkleProof
    result_proof: MerkleProof
    header: Header
    path: Annotated[tuple[Header, ...], Meta(max_length=4096)]
    certificate: QuorumCertificate


class Trust(Wire):
    """What a verifier must already hold: the network's identity and a validator set it trusts."""

    version: Count
    network: Name
    suite: Name
    chain_id: Hash
    validators: ValidatorSet
