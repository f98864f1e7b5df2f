"""The node's X.509 certificate is renewed in time, and never so that a peer cannot know it.

    make      tls-next.pem, when less than a third of the life is left, or when the operator made it
    announce  the ledger names both certificates, so that peers accept either
    switch    the new one is shown; by a rename, so that a crash leaves the one or the other
    finish    the ledger names the new one alone

Rule: each step follows from what the ledger and the folder say now (`next_step`), so that it does not matter where the one
before was cut short. Between announcement and switch lies OVERLAP_S, in which peers that follow the chain learn of it; whoever
was away learns it from the others.

Source: RFC 5280 §4.1.2.5 for the life of a certificate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import structlog

from contracts.calls import NodesSetCertificates
from ledger.errors import LedgerError
from network.tls import (
    TlsIdentity,
    certificate_expires_at_ms,
    certificate_life_ms,
    load_certificate_der,
)
from node.chain import Chain
from node.home import Home
from node.keystore import KeyFiles
from node.rotation import certificate_of, make_next_certificate, switch_certificate
from node.services.node_account import NodeAccount
from node.services.ports import Denied

LOOK_EVERY_S: Final = 5.0
OVERLAP_S: Final = 60.0
RETRY_S: Final = 60.0
WARN_BEFORE_MS: Final = 30 * 86_400_000

log = structlog.get_logger()


class Step(Enum):
    """What is to be done next."""

    NOTHING = "nothing"
    MAKE = "make"
    ANNOUNCE = "announce"
    SWITCH = "switch"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the folder and the ledger say.

    Attributes:
        named: the certificates that the ledger names for this node, DER; empty if it is no node of the network.
        own: the one that it shows.
        waiting: the one that is to follow; None when there is none.
        due: less than a third of `own`'s life is left.
        settled: the ledger has named what it names now for OVERLAP_S.
    """

    named: tuple[bytes, ...]
    own: bytes
    waiting: bytes | None
    due: bool
    settled: bool


def next_step(now: Situation) -> Step:
    """What brings the renewal on."""
    if not now.named:
        return Step.NOTHING
    if now.waiting is not None:
        if now.waiting not in now.named:
            return Step.ANNOUNCE
        return Step.SWITCH if now.settled else Step.NOTHING
    if now.due:
        return Step.MAKE
    if now.named != (now.own,):
        # What it shows is announced at once when the ledger lacks it; what it shows no more goes when peers have seen the change.
        return Step.FINISH if now.own not in now.named or now.settled else Step.NOTHING
    return Step.NOTHING


class CertificateRenewal:
    """Looks every few seconds, and does what is next.

    Args:
        home: the node's folder.
        chain: says what the ledger names.
        node: signs and submits in the node's name.
        show: has the peer network show the certificate of the folder from now on.
        ready: whether the node has caught up and every connection uses the certificate that it shows; else nothing is done.
        clock_ms: wall clock.
        now_s: steady clock.
        overlap_s: shortest time between naming a certificate and showing it.
    """

    def __init__(
        self,
        *,
        home: Home,
        chain: Chain,
        node: NodeAccount,
        show: Callable[[TlsIdentity], None],
        ready: Callable[[], bool],
        clock_ms: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
        overlap_s: float = OVERLAP_S,
    ) -> None:
        self._home = home
        self._files = KeyFiles(home)
        self._chain = chain
        self._node = node
        self._show = show
        self._ready = ready
        self._clock_ms = clock_ms
        self._now_s = now_s
        self._overlap_s = overlap_s
        self._named: tuple[bytes, ...] = ()
        self._named_since_s = now_s()
        self._warned = False

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                if self._ready():
                    await self.step()
            except LedgerError as error:
                log.error("the certificate is not renewed; trying again", reason=str(error))
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def step(self) -> Step:
        """Do what is next, once; what it was.

        Raises:
            LedgerError: it could not be done.
        """
        now = self.situation()
        step = next_step(now)
        match step:
            case Step.MAKE:
                make_next_certificate(self._home, now_ms=self._clock_ms())
                log.info("a new certificate is made")
            case Step.ANNOUNCE:
                await self._announce(now)
            case Step.SWITCH:
                switch_certificate(self._home)
                self._show(self._files.tls)
                self._named_since_s = self._now_s()
                log.info("the new certificate is shown")
            case Step.FINISH:
                await self._node.submit(NodesSetCertificates(certificates=(now.own,)))
                log.info("the former certificate is forgotten")
            case Step.NOTHING:
                pass
        return step

    async def _announce(self, now: Situation) -> None:
        """Name the certificate that waits; make another if somebody has seen it on its way and named it first."""
        try:
            await self._node.submit(NodesSetCertificates(certificates=_both(now)))
        except Denied as denied:
            if denied.result.code != "key_taken" or now.waiting is None:
                raise
            self._files.tls_next.path.unlink(missing_ok=True)
            make_next_certificate(self._home, now_ms=self._clock_ms())
            log.error("another node has named this node's new certificate; a newer one is made")
        else:
            log.info("the new certificate is announced")

    def situation(self) -> Situation:
        """What is so now. Raises LedgerError when a file cannot be read."""
        named = next(
            (node.certificates for node in self._chain.nodes() if node.account == self._node.account), ()
        )
        if named != self._named:
            self._named, self._named_since_s = named, self._now_s()
        own = certificate_of(self._files.tls)
        return Situation(
            named=named,
            own=own,
            waiting=certificate_of(self._files.tls_next) if self._files.tls_next.path.exists() else None,
            due=self._due(own),
            settled=self._now_s() - self._named_since_s >= self._overlap_s,
        )

    def _due(self, own: bytes) -> bool:
        certificate = load_certificate_der(own, source=str(self._files.tls.path))
        left_ms = certificate_expires_at_ms(certificate) - self._clock_ms()
        if left_ms < WARN_BEFORE_MS and not self._warned:
            self._warned = True
            log.warning("this node's certificate ends soon", days_left=left_ms // 86_400_000)
        return 3 * left_ms < certificate_life_ms(certificate)


def _both(now: Situation) -> tuple[bytes, ...]:
    return (now.own,) if now.waiting is None else (now.own, now.waiting)
