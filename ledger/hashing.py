"""Ids, roots and signing bytes of the structs in `ledger.types`, each in one place.

Rule: a function here is a pure function of a suite and a struct; every hash goes through the canonical
encoding and, except for Merkle roots, which separate their domains themselves, through a domain of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger import codec, domains, merkle
from ledger.crypto.suite import CryptoSuite, Signer, chain_id
from ledger.types import (
    ACCOUNT_ID_SIZE_BYTES,
    HASH_SIZE_BYTES,
    Genesis,
    Header,
    MerkleProof,
    Result,
    Transaction,
    TransactionBody,
    ValidatorSet,
    Wire,
)

# What a network begins with, and the latest that this release can judge.
PROTOCOL_VERSION: Final = 1
PROTOCOL_VERSION_MAX: Final = 1
ZERO_HASH: Final = bytes(HASH_SIZE_BYTES)


def block_digest(suite: CryptoSuite, header: Header) -> bytes:
    """The 32-byte identity of a block."""
    return suite.hash(domains.BLOCK, codec.encode(header))


def validators_hash(suite: CryptoSuite, validators: ValidatorSet) -> bytes:
    """What a header names the validator set by."""
    return suite.hash(domains.VALIDATORS, codec.encode(validators))


def transaction_id(suite: CryptoSuite, body: TransactionBody) -> bytes:
    """The 32-byte identity of a transaction; the signature is no part of it."""
    return suite.hash(domains.TRANSACTION_ID, codec.encode(body))


def signing_message(body: TransactionBody) -> bytes:
    """What the account's key signs, under the domain TRANSACTION_SIGN."""
    return codec.encode(body)


def sign_transaction(suite: CryptoSuite, signer: Signer, body: TransactionBody) -> Transaction:
    """The body with the signer's signature. `body.key_id` must name the signer's key."""
    del suite
    return Transaction(body=body, signature=signer.sign(domains.TRANSACTION_SIGN, signing_message(body)))


def verify_transaction_signature(suite: CryptoSuite, scheme: str, public_key: bytes, tx: Transaction) -> bool:
    """Whether the transaction is signed by that key."""
    message = signing_message(tx.body)
    return suite.verify(scheme, public_key, domains.TRANSACTION_SIGN, message, tx.signature)


def _leaves(items: Sequence[Wire]) -> list[bytes]:
    return [codec.encode(item) for item in items]


def transactions_root(suite: CryptoSuite, txs: Sequence[Transaction]) -> bytes:
    """Counted Merkle root over the encoded transactions, in block order."""
    return merkle.counted_root(suite.digest, _leaves(txs))


def results_root(suite: CryptoSuite, results: Sequence[Result]) -> bytes:
    """Counted Merkle root over the encoded results, in block order."""
    return merkle.counted_root(suite.digest, _leaves(results))


def prove_item(suite: CryptoSuite, items: Sequence[Wire], index: int) -> MerkleProof:
    """Proof that `items[index]` is under `transactions_root` or `results_root` of the items."""
    return merkle.prove(suite.digest, _leaves(items), index)


def verify_item(suite: CryptoSuite, root: bytes, item: Wire, proof: MerkleProof) -> bool:
    """Whether `item` is at `proof.index` of `proof.size` under that root."""
    return merkle.verify_counted(suite.digest, root, codec.encode(item), proof)


def genesis_header(suite: CryptoSuite, genesis: Genesis, state_root: bytes) -> Header:
    """The header at height 0: no parent, no proposer, no transactions; nobody votes on it.

    Args:
        suite: the suite that genesis names.
        genesis: the document.
        state_root: root of the state tree at version 0.
    """
    validators = validators_hash(suite, genesis.validators)
    return Header(
        version=PROTOCOL_VERSION,
        chain_id=chain_id(suite, genesis),
        epoch=genesis.validators.epoch,
        view=0,
        height=0,
        parent=ZERO_HASH,
        time_ms=genesis.time_ms,
        proposer=bytes(ACCOUNT_ID_SIZE_BYTES),
        transactions_root=transactions_root(suite, ()),
        results_root=results_root(suite, ()),
        state_root=state_root,
        validators_hash=validators,
        next_validators_hash=validators,
    )
