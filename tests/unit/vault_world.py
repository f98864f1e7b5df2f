"""Operators who hold the vault's key together, in this process: dealt keys, and each holder as a real `ShareServer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from contracts.shared_key_records import KeyPurpose
from ledger.crypto.threshold.dealing import commit, generated_keys
from ledger.crypto.threshold.group import Group
from ledger.crypto.threshold.groups import group_of
from ledger.crypto.threshold.polynomials import random_polynomial, value_at
from ledger.crypto.threshold.shares import Holders
from ledger.errors import Unavailable
from node.chain import Chain
from node.holders.channel import ShareChannel, ShareMessage
from node.holders.collector import Collector
from node.holders.ports import HeldKey, OwnShare
from node.holders.server import ShareServer
from node.holders.work import ShareWork
from node.vault.bodies import BodyPermit
from node.vault.count_permits import CountPermit
from node.vault.keys import VaultSealer
from node.vault.mark_permits import ReleaseMarksPermit, TraceMarksPermit
from node.vault.mark_seeds import RELEASE_MARKS, TRACE_MARKS, MarkSeeds
from node.vault.opening import VaultOpener
from node.vault.permits import ReleasePermit, Replica, TracePermit
from tests.unit.contracts_world import OPERATORS, SUITE

GROUP: Final[Group] = group_of(SUITE)
ACCOUNTS: Final = tuple(operator.account for operator in OPERATORS)
THRESHOLD: Final = 3
DEALT: Final = (KeyPurpose.VAULT, KeyPurpose.MARKS)


@dataclass(frozen=True, slots=True)
class Dealt:
    """A key, and the holders' secrets."""

    key: HeldKey
    secrets: tuple[int, ...]


@cache
def dealt(
    version: int = 1,
    renewal: int = 0,
    accounts: tuple[bytes, ...] = ACCOUNTS,
    threshold: int = THRESHOLD,
    purpose: KeyPurpose = KeyPurpose.VAULT,
) -> Dealt:
    """A key of a version; its secret is the same at every renewal, its shares are not."""
    secret = _secret(version, purpose)
    polynomial = random_polynomial(GROUP.order, threshold, GROUP.random_scalar, secret=secret)
    keys = generated_keys(GROUP, [commit(GROUP, polynomial)], len(accounts))
    key = HeldKey(
        purpose=purpose,
        version=version,
        renewal=renewal,
        accounts=accounts,
        holders=Holders.load(GROUP, keys),
    )
    secrets = tuple(value_at(GROUP.order, polynomial, holder) for holder in range(1, len(accounts) + 1))
    return Dealt(key, secrets)


@cache
def _secret(_version: int, _purpose: KeyPurpose) -> int:
    return GROUP.random_scalar()


class DealtKeys:
    """Implements `SharedKeys` as one replica sees them; `renewal` is what its ledger says."""

    def __init__(self, renewal: int = 0) -> None:
        self.renewal = renewal
        self.made = True

    def in_use(self, purpose: KeyPurpose) -> HeldKey:
        if not self.made:
            raise Unavailable(what="shared key vault", reason="the operators have not made it yet")
        return dealt(1, self.renewal, purpose=purpose).key

    def version(self, purpose: KeyPurpose, version: int) -> HeldKey | None:
        known = purpose in DEALT and version == 1
        return dealt(1, self.renewal, purpose=purpose).key if known else None


@dataclass(slots=True)
class HolderShares:
    """Implements `OwnShares` of one holder; what is in `lost` it has lost."""

    account: bytes
    lost: bool = False

    def share(self, purpose: KeyPurpose, version: int, renewal: int) -> OwnShare | None:
        if self.lost or purpose not in DEALT:
            return None
        holder = ACCOUNTS.index(self.account) + 1
        return OwnShare(holder=holder, secret=dealt(version, renewal, purpose=purpose).secrets[holder - 1])


def replica_of(chain: Chain) -> Replica:
    """What a node's chain shows its permits."""
    return Replica(
        suite=SUITE,
        chain_id=chain.chain_id,
        state=chain.records,
        reading=chain.records.reading,
        chain=chain,
        time_ms=lambda: chain.head_time_ms,
    )


class Holder:
    """One operator as a holder, over the replica it is given."""

    def __init__(self, account: bytes, replica: Replica) -> None:
        self.account = account
        self.keys = DealtKeys()
        self.shares = HolderShares(account)
        self.work = ShareWork(GROUP, SUITE.hash)
        self.server = ShareServer(
            account=account,
            keys=self.keys,
            shares=self.shares,
            permits={
                "release": ReleasePermit(replica, self.work),
                "trace": TracePermit(replica, self.work),
                "count": CountPermit(replica, self.work),
                "body": BodyPermit(replica, self.work),
                RELEASE_MARKS: ReleaseMarksPermit(replica, self.work),
                TRACE_MARKS: TraceMarksPermit(replica, self.work),
            },
            work=self.work,
        )
        self.channel = ShareChannel({ShareMessage.ASK: self.server.serve})

    async def serve(self, sender: bytes, payload: bytes) -> bytes:
        return await self.channel.serve(sender, payload)


class Operators:
    """Four holders, of whom one, `at`, is the node under test and asks the others.

    Attributes:
        between: what happens to (asked holder, payload, answer) on the way; tests forge here.
        asked: (asked holder, payload) of every request.
        accused: accounts of nodes that gave a bad share.
    """

    def __init__(self, replicas: Sequence[Replica], at: int) -> None:
        self.holders = [Holder(account, replica) for account, replica in zip(ACCOUNTS, replicas, strict=True)]
        self.here = self.holders[at]
        self.silent: set[bytes] = set()
        self.between: Callable[[bytes, bytes, bytes], bytes] = lambda _peer, _payload, answer: answer
        self.asked: list[tuple[bytes, bytes]] = []
        self.accused: list[bytes] = []
        self.collector = self.collector_of(at)
        self.sealer = VaultSealer(
            group=GROUP, hash_=SUITE.hash, chain_id=replicas[at].chain_id, keys=self.here.keys
        )
        self.opener = self._opener(self.collector, replicas[at], self.here)
        self._at, self._replicas = at, replicas

    @staticmethod
    def _opener(collector: Collector, replica: Replica, holder: Holder) -> VaultOpener:
        return VaultOpener(
            suite=SUITE, server=holder.server, collector=collector, height=lambda: replica.chain.height
        )

    def seeds_of(self, at: int) -> MarkSeeds:
        """What asks for seeds in the name of the operator at that place."""
        holder, replica = self.holders[at], self._replicas[at]
        return MarkSeeds(
            suite=SUITE,
            group=GROUP,
            chain_id=replica.chain_id,
            keys=holder.keys,
            server=holder.server,
            collector=self.collector_of(at),
            height=lambda: replica.chain.height,
        )

    def opener_with(self, *, collect_s: float, at: int | None = None) -> VaultOpener:
        """An opener, of another operator or with other patience."""
        place = self._at if at is None else at
        return self._opener(self.collector_of(place, collect_s), self._replicas[place], self.holders[place])

    def collector_of(self, at: int, collect_s: float = 5.0) -> Collector:
        """What asks the others in the name of the operator at that place."""
        holder = self.holders[at]

        async def request(peer: bytes, payload: bytes, _timeout_s: float) -> bytes:
            self.asked.append((peer, payload))
            if peer in self.silent:
                raise Unavailable(what="peer", reason="it is away")
            answer = await self.by_account[peer].serve(holder.account, payload)
            return self.between(peer, payload, answer)

        return Collector(
            account=holder.account,
            keys=holder.keys,
            server=holder.server,
            work=holder.work,
            request=request,
            bad_share=self.accused.append,
            collect_s=collect_s,
        )

    @property
    def by_account(self) -> Mapping[bytes, Holder]:
        return {holder.account: holder for holder in self.holders}

    def renew(self, renewal: int) -> None:
        """Every replica sees the key renewed."""
        for holder in self.holders:
            holder.keys.renewal = renewal

    def close(self) -> None:
        for holder in self.holders:
            holder.work.close()
