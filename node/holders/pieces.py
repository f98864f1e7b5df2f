"""Handing each holder what this node owes it as a dealer, over the peers' mutual TLS; requests only.

Rule: a pair goes to the holder that it is for, by the account that its connection has proved, and to nobody else; and only once
this node's commitments are final on its own replica, so that there is one polynomial, the one that everybody has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from contracts.shared_key_round_records import SharedKeyRound
from contracts.shared_key_rounds import open_rounds
from contracts.shared_key_sums import dealing_of
from contracts.state import StateReader
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, NotFound, Unavailable
from ledger.types import Id16, Wire
from node.holders.errors import KeyRefused
from node.holders.pairs import number_of, polynomials
from node.holders.round_files import ReceivedPair, RoundMemory
from node.holders.share_file import HeldShare

PIECE_BYTES_MAX: Final = 256
# So many may be worked out for one peer in a second; each costs a hash for every coefficient.
PIECES_PER_PEER_PER_S: Final = 32

FindMemory = Callable[[bytes], RoundMemory | None]
FindShare = Callable[[SharedKeyRound], HeldShare | None]


class PieceAsk(Wire):
    """What do you owe me in this round?"""

    round_id: Id16


class PieceServer:
    """This node as a dealer.

    Args:
        suite: crypto suite.
        account: this node's.
        state: gives the finalized state as it is now.
        memory: finds the durable memory of a round.
        share: finds this node's share of the renewal before a round's.
        clock_s: this node's own clock.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        account: bytes,
        state: Callable[[], StateReader],
        memory: FindMemory,
        share: FindShare,
        clock_s: Callable[[], float],
    ) -> None:
        self._suite = suite
        self._account = account
        self._state = state
        self._memory = memory
        self._share = share
        self._clock_s = clock_s
        self._second = 0
        self._served: Counter[bytes] = Counter()

    async def serve(self, sender: bytes, body: bytes) -> bytes:
        """Answer a holder.

        Raises:
            DecodeError, LimitExceeded: it is no such request.
            NotFound: no such round is under way here.
            KeyRefused: the sender is none of its holders, or this node none of its dealers.
            Unavailable: this node has not dealt yet, or its replica has not seen so.
            Busy: the sender asks too often.
        """
        self._count(sender)
        ask = codec.decode(body, PieceAsk, size_bytes_max=PIECE_BYTES_MAX, what="request for a pair")
        return codec.encode(self.pair_for(sender, ask.round_id))

    def pair_for(self, holder_account: bytes, round_id: bytes) -> ReceivedPair:
        """What that account is owed; raises as `serve`."""
        state = self._state()
        one = next((one for one in open_rounds(state) if one.round_id == round_id), None)
        if one is None:
            raise NotFound(what="round of a shared key", id=round_id.hex())
        holder, dealer = number_of(holder_account, one.holders), number_of(self._account, one.dealers)
        if not holder or not dealer:
            raise KeyRefused(reason="not_a_key_holder" if not holder else "not_a_dealer")
        memory = self._memory(round_id)
        if dealer not in one.dealt or memory is None:
            raise Unavailable(what="pair of a dealer", reason="this node has not dealt in this round")
        published = dealing_of(state, one, dealer).commitments
        dealt = polynomials(self._suite, one, memory, self._share(one), published)
        if dealt is None:
            raise Unavailable(what="pair of a dealer", reason="this node has lost what it dealt from")
        return dealt.pair_for(dealer, holder)

    def _count(self, sender: bytes) -> None:
        second = int(self._clock_s())
        if second != self._second:
            self._second = second
            self._served.clear()
        if self._served[sender] >= PIECES_PER_PEER_PER_S:
            raise Busy(what="pairs of a dealer", retry_after_s=1)
        self._served[sender] += 1


def decode_pair(answer: bytes, dealer: int) -> ReceivedPair:
    """A dealer's answer, whatever it says of who it is.

    Raises:
        DecodeError, LimitExceeded: it is none.
    """
    pair = codec.decode(answer, ReceivedPair, size_bytes_max=PIECE_BYTES_MAX, what="pair of a dealer")
    return ReceivedPair(dealer=dealer, value=pair.value, blinding=pair.blinding)
