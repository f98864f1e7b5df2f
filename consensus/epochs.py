"""From one epoch to the next: which validators vote, whether this node is one of them, and the machine that it runs.

Rule: one machine is one epoch, and it begins where the application's finalized head is. The journal may hold records of several
epochs, and the store may lag behind a seal; so records wait here, by epoch, until their machine begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consensus.application import Application
from consensus.core.machine import Machine
from consensus.core.records import Record, VoteRecord, epoch_of
from consensus.core.restore import restore
from consensus.core.settings import Committee, Hashing, Timing
from ledger.crypto.suite import QuorumScheme, VoteSigner
from ledger.errors import invariant


class Epochs:
    """Makes the machine of each epoch.

    Args:
        chain_id: hash of the genesis document.
        account: this node's account.
        signers: its vote keys, by public key.
        silenced: public vote key that must not vote; None when there is none.
        clock_drift_ms_max: how far a proposal's time may be from this node's clock, from genesis.
        timing: how long to wait.
        scheme: checks and aggregates votes.
        hashing: the network's hashes.
        application: says what is final, and who votes next.
        records: everything that the journal has.

    Attributes:
        signer: what this node votes with in the current epoch; None when it does not vote in it.
        silenced_now: this node is a validator of the current epoch, but with a key that must not vote.
    """

    def __init__(
        self,
        *,
        chain_id: bytes,
        account: bytes,
        signers: Mapping[bytes, VoteSigner],
        silenced: bytes | None,
        clock_drift_ms_max: int,
        timing: Timing,
        scheme: QuorumScheme,
        hashing: Hashing,
        application: Application,
        records: Iterable[Record],
    ) -> None:
        self.account = account
        self._chain_id = chain_id
        self._signers = signers
        self._silenced = {silenced} if silenced is not None else set()
        self._clock_drift_ms_max = clock_drift_ms_max
        self._timing = timing
        self._scheme = scheme
        self._hashing = hashing
        self._application = application
        self._records: dict[int, list[Record]] = {}
        voted = False
        for record in records:
            self._records.setdefault(epoch_of(record), []).append(record)
            voted = voted or isinstance(record, VoteRecord)
        self._voted_before = voted
        self.signer: VoteSigner | None = None
        self.silenced_now = False

    def first(self) -> Machine:
        """The machine of the epoch in which the store left off; it listens before it votes if this node has voted before."""
        return self._enter(wary=self._voted_before)

    def next(self, before: Machine) -> Machine:
        """The machine of the epoch that a committed seal has begun."""
        machine = self._enter(wary=before.memory.wary)
        seal = before.tree.root_header
        invariant(
            machine.committee.epoch == seal.epoch + 1
            and machine.committee.validators_hash == seal.next_validators_hash,
            "the application's validators are not those that the epoch's seal names",
        )
        return machine

    def silence(self, vote_key: bytes) -> None:
        """Never vote with a key again."""
        self._silenced.add(vote_key)
        if self.signer is not None and self.signer.public_key == vote_key:
            self.signer, self.silenced_now = None, True

    def _enter(self, *, wary: bool) -> Machine:
        application = self._application
        validators = application.validators()
        me = next((i for i, one in enumerate(validators.validators) if one.account == self.account), None)
        key = validators.validators[me].vote_key if me is not None else None
        self.silenced_now = key in self._silenced
        self.signer = self._signers.get(key) if key is not None and not self.silenced_now else None
        head = application.block(application.finalized_height())
        of_epoch = head is not None and head.certificate.epoch == validators.epoch
        machine = Machine(
            committee=Committee(
                chain_id=self._chain_id,
                validators=validators,
                validators_hash=self._hashing.validators_hash(validators),
                me=me,
                clock_drift_ms_max=self._clock_drift_ms_max,
            ),
            timing=self._timing,
            scheme=self._scheme,
            hashing=self._hashing,
            root=application.head(),
            certificate=head.certificate if head is not None and of_epoch else None,
            voting=self.signer is not None,
            wary=wary,
        )
        restore(machine, self._records.pop(validators.epoch, ()), self._hashing)
        for epoch in [epoch for epoch in self._records if epoch < validators.epoch]:
            del self._records[epoch]
        return machine
