"""What a node has to remember of a round until it is done: what it deals from, and what it was dealt.

Rule: the seed of a dealing is durable before its commitments leave, so that a dealer that starts again deals the same polynomial;
a value counts as received once it is durable. All of it is overwritten when the round is over.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import Number, SharedKeyRound
from ledger import codec, domains
from ledger.crypto.threshold.dealing import Pair, commit, commit_hiding
from ledger.crypto.threshold.equality import Scalar
from ledger.crypto.threshold.group import Group, Hash, challenge, encode_scalar
from ledger.crypto.threshold.polynomials import HOLDERS_MAX, value_at
from ledger.types import Count, Id16, Wire
from node.holders.share_file import SHARES_FILE_BYTES_MAX, SealedFolder

SEED_SIZE_BYTES: Final = 32
_PREFIX: Final = "round-"


class ReceivedPair(Wire):
    """What a dealer owed this node, checked; in a renewal `blinding` is empty."""

    dealer: Number
    value: Scalar
    blinding: Annotated[bytes, Meta(max_length=32)] = b""

    def __repr__(self) -> str:
        return f"ReceivedPair({self.dealer})"


class RoundMemory(Wire):
    """One round as this node has to remember it.

    Attributes:
        round_id, purpose, version, renewal, attempt: which round.
        seed: of this node's own dealing.
        pairs: from dealers, each once.
    """

    round_id: Id16
    purpose: KeyPurpose
    version: Count
    renewal: Count
    attempt: Count
    seed: Annotated[bytes, Meta(min_length=SEED_SIZE_BYTES, max_length=SEED_SIZE_BYTES)]
    pairs: Annotated[tuple[ReceivedPair, ...], Meta(max_length=HOLDERS_MAX)] = ()

    def __repr__(self) -> str:
        return f"RoundMemory({self.round_id.hex()})"

    def pair(self, dealer: int) -> ReceivedPair | None:
        """What came from that dealer."""
        return next((pair for pair in self.pairs if pair.dealer == dealer), None)

    def with_pair(self, pair: ReceivedPair) -> RoundMemory:
        """With one more."""
        others = tuple(held for held in self.pairs if held.dealer != pair.dealer)
        return replace(self, pairs=(*others, pair))


def new_memory(one: SharedKeyRound, seed: bytes) -> RoundMemory:
    """The memory of a round that begins.

    Args:
        one: the round.
        seed: 32 fresh random bytes.
    """
    return RoundMemory(
        round_id=one.round_id,
        purpose=one.purpose,
        version=one.version,
        renewal=one.renewal,
        attempt=one.attempt,
        seed=seed,
    )


class Polynomials:
    """What a dealer deals, out of its seed and, in a renewal, its share.

    Attributes:
        coefficients: a_k.
        blindings: b_k; empty in a renewal.
    """

    __slots__ = ("_group", "blindings", "coefficients")

    def __init__(
        self, group: Group, hash_: Hash, one: SharedKeyRound, seed: bytes, own_share: int | None
    ) -> None:
        def draw(row: bytes, k: int) -> int:
            return challenge(group, hash_, domains.DEALING, seed + one.round_id + row + k.to_bytes(2, "big"))

        self._group = group
        drawn = tuple(draw(b"a", k) for k in range(one.threshold))
        self.coefficients = drawn if own_share is None else (own_share, *drawn[1:])
        self.blindings = () if one.renewal else tuple(draw(b"b", k) for k in range(one.threshold))

    def __repr__(self) -> str:
        return "Polynomials(…)"

    def last_commitment(self) -> bytes:
        """Of the highest coefficient, as it is published."""
        if not self.blindings:
            return commit(self._group, self.coefficients[-1:])[0].encode()
        return commit_hiding(self._group, self.coefficients[-1:], self.blindings[-1:])[0].encode()

    def pair_for(self, dealer: int, holder: int) -> ReceivedPair:
        """What holder `holder` is owed by this dealer."""
        order = self._group.order
        value = encode_scalar(value_at(order, self.coefficients, holder))
        blinding = encode_scalar(value_at(order, self.blindings, holder)) if self.blindings else b""
        return ReceivedPair(dealer=dealer, value=value, blinding=blinding)


def as_pair(pair: ReceivedPair) -> Pair:
    """As the algebra has it."""
    return Pair(int.from_bytes(pair.value, "big"), int.from_bytes(pair.blinding, "big"))


class RoundFiles:
    """The memories of a node, each in a file of its own.

    Args:
        files: the folder of shares.

    Raises:
        FileUnusable, SecretExposed, SharesUnreadable, DecodeError: a file cannot be used.
    """

    def __init__(self, files: SealedFolder) -> None:
        self._files = files
        self._known = {memory.round_id: memory for memory in map(self._read, self._names())}

    def find(self, round_id: bytes) -> RoundMemory | None:
        """What is remembered of a round."""
        return self._known.get(round_id)

    def all(self) -> tuple[RoundMemory, ...]:
        """Every memory."""
        return tuple(self._known.values())

    def keep(self, memory: RoundMemory) -> None:
        """Remember durably.

        Raises:
            FileUnusable: it cannot be written; then nothing has changed.
        """
        self._files.write(_name(memory.round_id), codec.encode(memory))
        self._known[memory.round_id] = memory

    def forget(self, round_id: bytes) -> None:
        """Overwrite what is remembered.

        Raises:
            FileUnusable: it cannot be written.
        """
        self._files.destroy(_name(round_id))
        self._known.pop(round_id, None)

    def _names(self) -> list[str]:
        return [name for name in self._files.names() if name.startswith(_PREFIX)]

    def _read(self, name: str) -> RoundMemory:
        data = self._files.read(name) or b""
        return codec.decode(data, RoundMemory, size_bytes_max=SHARES_FILE_BYTES_MAX, what="round file")


def _name(round_id: bytes) -> str:
    return f"{_PREFIX}{round_id.hex()}"
