"""A key holder that has turned: with a stopped node's keys it asks and answers for shares as it likes.

Rule: it has what its operator has, its home with its share and its blobs, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.crypto.threshold.groups import group_of
from ledger.crypto.threshold.shares import Share, make_share
from ledger.errors import LedgerError, NotFound
from network.frames import Channel
from node.holders.channel import ShareMessage, framed
from node.holders.ports import OwnShare, ShareAnswer, ShareAsk, ShareRefusal
from node.holders.server import decode_answer, decode_ask
from node.holders.share_file import open_shares, read_shares
from node.home import Home
from node.vault.blobs import LocalBlobStore
from node.vault.keys import PartKind, PartName
from node.vault.opening import OpenParts, decode_open_parts
from node.vault.records import Manifest, decode_manifest
from tests.attacks.scene import Scene
from tests.e2e.cities import READY_S, height, until
from tests.e2e.harness.impostor import Impostor

TURNED: Final = 4
HONEST: Final = (1, 2, 3)
ASK_TIMEOUT_S: Final = 20.0


class Rogue(Impostor):
    """Attributes: lies: how many asks for shares it has answered, every one wrongly."""

    def __init__(self, home: Home, others: tuple[Home, ...]) -> None:
        super().__init__(home)
        self.group = group_of(self.suite)
        held = read_shares(
            open_shares(home, self.suite, self.identity.wrap_secret), self.chain_id, self.account
        )
        (share,) = [one for one in held.shares if one.purpose is KeyPurpose.VAULT]
        self.version, self.renewal = share.version, share.renewal
        self.own = OwnShare(holder=share.holder, secret=int.from_bytes(share.secret, "big"))
        self.stores = tuple(LocalBlobStore(one.blobs, self.suite) for one in (home, *others))
        self.lies = 0

    @property
    def account(self) -> bytes:
        return self.identity.account

    def manifest(self, certificate: str) -> Manifest:
        """The manifest of a certificate: its own, or another node's, which gives a blob to any operator's node that asks."""
        for store in self.stores:
            for name in store.names():
                try:
                    manifest = decode_manifest(store.get(name) or b"")
                except LedgerError:
                    continue
                if manifest.certificate_id.hex() == certificate:
                    return manifest
        raise LookupError("no node has its manifest")

    def ask(self, release: str, manifest: Manifest, *fields: str, height: int) -> list[str]:
        """Ask every other holder for shares of these fields in a release's name.

        Returns:
            What each said: "given", or why not.
        """
        parts = tuple(
            PartName(certificate_id=manifest.certificate_id, kind=PartKind.FIELD, name=name)
            for name in fields
        )
        asked = ShareAsk(
            kind="release",
            record_id=bytes.fromhex(release),
            purpose=KeyPurpose.VAULT,
            version=self.version,
            renewal=self.renewal,
            payload=codec.encode(OpenParts(height=height, manifests=(codec.encode(manifest),), parts=parts)),
        )
        return [self._asked(peer, framed(ShareMessage.ASK, codec.encode(asked))) for peer in self.peers]

    def _asked(self, peer: bytes, payload: bytes) -> str:
        try:
            answer = self.run(self._network.request(peer, Channel.SHARES, payload, timeout_s=ASK_TIMEOUT_S))
        except LedgerError as error:
            return error.code
        match decode_answer(answer):
            case ShareAnswer():
                return "given"
            case ShareRefusal(reason=reason):
                return reason
            case _:
                return "renewed"

    async def _on_request(self, peer: bytes, channel: Channel, payload: bytes) -> bytes:
        if channel is Channel.BLOBS:
            raise NotFound(what="blob", id="any")
        if channel is not Channel.SHARES or payload[:1] != bytes((ShareMessage.ASK,)):
            return await super()._on_request(peer, channel, payload)
        count = len(decode_open_parts(decode_ask(payload[1:]).payload).parts)
        self.lies += 1
        return codec.encode(ShareAnswer(shares=self._wrong(count)))

    def _wrong(self, count: int) -> tuple[Share, ...]:
        """By turns: another element under a proof of its own, its proof with another secret, and bytes that are no element."""
        made = tuple(
            make_share(
                self.group,
                self.suite.hash,
                self.group.generator.times(self.group.random_scalar()),
                holder=self.own.holder,
                secret=self.own.secret if self.lies % 3 == 1 else self.group.random_scalar(),
                context=b"forged",
                draw=self.group.random_scalar,
            )
            for _ in range(count)
        )
        if self.lies % 3:
            return made
        return tuple(replace(share, element=os.urandom(len(share.element))) for share in made)


@contextmanager
def turned(scene: Scene) -> Iterator[Rogue]:
    """The last node's operator has turned, while the block lasts."""
    scene.settled()
    scene.devnet.terminate(TURNED)
    try:
        own, *others = (Home(scene.devnet.home(n)) for n in (TURNED, *HONEST))
        with Rogue(own, tuple(others)) as rogue:
            until(lambda: rogue.connected() == len(HONEST), "its keys are good, and it is let in")
            yield rogue
    finally:
        scene.devnet.start(TURNED)
        scene.devnet.wait_ready(READY_S)


def top(scene: Scene) -> int:
    """Height of the first node, which every honest one has or is about to have."""
    return height(scene.devnet, 1)
