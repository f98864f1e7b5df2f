"""What comes from other holders and from offline media about shares: requests for pairs, pairs, exported files.

Rule: no pair that a dealer did not deal is ever taken for one, and nothing hostile raises what is not caught.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.crypto.at_rest import COST_LEAST
from ledger.crypto.threshold.dealing import commit_hiding
from ledger.crypto.threshold.group import encode_scalar
from ledger.crypto.threshold.polynomials import value_at
from ledger.errors import DecodeError, LimitExceeded
from node.holders.exports import ExportUnusable, open_export, read_export, write_export
from node.holders.pairs import pair_fits
from node.holders.pieces import PIECE_BYTES_MAX, PieceAsk, decode_pair
from node.holders.round_files import ReceivedPair
from node.holders.share_file import HeldShare, HeldShares
from node.home import FileUnusable
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Target, require
from tests.unit.contracts_world import identity
from tests.unit.holders_world import GROUP, dealt, drawing
from zhenglian.errors import PassphraseWrong
from zhenglian.unlocking import Passphrase

ACCOUNTS = tuple(identity(f"holder {n}") for n in range(4))
WORDS = "correct horse battery staple"


@lru_cache(maxsize=1)
def commitments_and_pair() -> tuple[tuple[bytes, ...], ReceivedPair]:
    """What a dealer has published, and the pair of its second holder."""
    draw = drawing("fuzz")
    values, blindings = [draw() for _ in range(3)], [draw() for _ in range(3)]
    published = tuple(element.encode() for element in commit_hiding(GROUP, values, blindings))
    pair = ReceivedPair(
        dealer=1,
        value=encode_scalar(value_at(GROUP.order, values, 2)),
        blinding=encode_scalar(value_at(GROUP.order, blindings, 2)),
    )
    return published, pair


def run_ask(data: bytes) -> None:
    ask = codec.decode(data, PieceAsk, size_bytes_max=PIECE_BYTES_MAX)
    require(codec.encode(ask) == data, "a request for a pair has two encodings")


def run_pair(data: bytes) -> None:
    published, honest = commitments_and_pair()
    pair = decode_pair(data, 1)
    if pair_fits(GROUP, published, 0, 2, pair):
        require(pair == honest, "a pair that was not dealt is taken for one")


@lru_cache(maxsize=1)
def exported() -> tuple[Path, bytes]:
    """A file to write to, and what an honest export holds."""
    folder = Path(tempfile.mkdtemp(prefix="zhenglian-fuzz-"))
    key = dealt(GROUP, ACCOUNTS, KeyPurpose.VAULT)
    share = HeldShare(
        purpose=KeyPurpose.VAULT,
        version=1,
        renewal=0,
        group=GROUP.name,
        keys=key.key.keys,
        holder=1,
        secret=encode_scalar(key.secrets[0]),
    )
    held = HeldShares(chain_id=identity("chain", 32), account=ACCOUNTS[0], shares=(share,))
    path = folder / "honest.json"
    write_export(
        path,
        held,
        network="n",
        suite="intl",
        name="n",
        made_ms=0,
        passphrase=Passphrase(WORDS),
        cost=COST_LEAST,
    )
    return folder / "export.json", path.read_bytes()


def run_export(data: bytes) -> None:
    path, honest = exported()
    path.write_bytes(data)
    file = read_export(path)
    if file.lock.cost == COST_LEAST:
        held = open_export(path, file, Passphrase(WORDS))
        require(file.sealed.encode() in honest, "a box that nobody sealed opens")
        require(held.account.hex() == file.account, "an export is of another than it says")


def pairs() -> Iterable[bytes]:
    return [codec.encode(commitments_and_pair()[1])]


TARGETS = (
    Target(
        name="shares.ask",
        run=run_ask,
        seeds=lambda: [codec.encode(PieceAsk(round_id=bytes(16)))],
        examples=lambda: encodings(PieceAsk),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=PIECE_BYTES_MAX,
    ),
    Target(
        name="shares.pair",
        run=run_pair,
        seeds=pairs,
        examples=lambda: encodings(ReceivedPair),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=PIECE_BYTES_MAX,
    ),
    Target(
        name="shares.export",
        run=run_export,
        seeds=lambda: [exported()[1]],
        errors=(ExportUnusable, FileUnusable, PassphraseWrong),
        grammar=Grammar.JSON,
        size_bytes_max=8192,
    ),
)
