"""Proofs of another network, brought as calls: whatever they are made of, only what that network finalized is believed.

Rule: a call about a region is denied, or what it writes is true of the other network: its validators are those of one of
its epochs, and what is recognised is what its state held at the height that the record names. That network never forked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from hypothesis import strategies as st

from contracts.calls import CALLS, call
from contracts.certificates import why_not_valid
from contracts.denials import Denied
from contracts.recognitions import recognition_id
from contracts.records import CertificateState
from contracts.region_calls import (
    RecognitionsRecognize,
    RecognitionsRefresh,
    RegionsFollow,
    RegionsReportFork,
)
from contracts.region_records import RecognitionState, RegionState
from contracts.registry import CALL_COST_MAX, METHODS, call_cost
from contracts.state import CERTIFICATES, RECOGNITIONS, REGIONS
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Target, require
from tests.unit import contracts_world as world
from tests.unit.regions_world import CERTIFICATE, Home, degree, level, neighbours

KINDS: Final = (RegionsFollow, RegionsReportFork, RecognitionsRecognize, RecognitionsRefresh)
NAMES: Final = tuple(next(name for name, kind in CALLS.items() if kind is wanted) for wanted in KINDS)
OTHER: Final = world.identity("another degree")


@lru_cache(maxsize=1)
def scene() -> tuple[world.World, Home, tuple[Call, ...]]:
    """A region in its first epoch as we hold it and in its third as it is, one recognition, and honest calls."""
    here, home = neighbours()
    home.deposit(degree(home, certificate_id=OTHER))
    level(here, home)
    made = here.done(world.DEPARTMENT, home.recognizing(certificate_id=OTHER, certificate=home.shown(OTHER)))
    recognizing = home.recognizing()
    home.deposit(degree(home, CertificateState.REVOKED, certificate_id=OTHER))
    refreshing = home.refreshing(made, certificate=home.shown(OTHER))
    absent = home.refreshing(made, certificate=home.entry(CERTIFICATES.key(bytes(16))))
    first, second = home.seal(fillers=1), home.seal()
    filled = RegionsReportFork(
        region=home.chain_id,
        first=home.final(first.header, first.path),
        second=home.final(first.path[0]),
    )
    honest = (home.following(first, second), filled, recognizing, refreshing, absent)
    return here, home, tuple(call(one) for one in honest)


def run_proofs(data: bytes) -> None:
    """The first byte chooses the method, the rest are its arguments."""
    base, home, _ = scene()
    contract, name = NAMES[(data[0] if data else 0) % len(NAMES)]
    if len(data) > CALL_ARGS_SIZE_BYTES_MAX:
        return
    asked = Call(contract=contract, method=name, args=data[1:])
    require(call_cost(asked) <= CALL_COST_MAX, "a call costs more than a call may")
    here = world.World.__new__(world.World)
    here.__dict__.update(base.__dict__)
    here.entries = dict(base.entries)
    execution = here.execution()
    signed = here.sign(world.DEPARTMENT, asked)
    result = execution.add(signed, transaction_id(world.SUITE, signed.body))
    here.apply(execution.finish())
    judge(here, home, believed=result.code == "ok")
    METHODS[(contract, name)].parse(asked.args)


def judge(here: world.World, home: Home, *, believed: bool) -> None:
    """Hold what this ledger believes now against what the other network is."""
    region = REGIONS.get(here, home.chain_id)
    require(region is not None and region.state is RegionState.TRUSTED, "a fork that there was not")
    if region is None:
        return
    held = region.trust.validators
    require(home.sets.get(held.epoch) == held, "validators that the region never had")
    for certificate_id in (CERTIFICATE, OTHER):
        identity = recognition_id(world.SUITE, home.chain_id, certificate_id)
        record = RECOGNITIONS.get(here, identity)
        if record is None:
            continue
        expected = degree(home, certificate_id=certificate_id)
        require(record.commitment_root == expected.commitment_root, "content that was never issued")
        require(record.home_height <= home.head.height, "a height that there is not")
        require(record.state is not RecognitionState.ABSENT, "an absence that there is not")
        if record.state is RecognitionState.REVOKED:
            require(certificate_id == OTHER and believed, "a revocation that there was not")
        else:
            require(not why_not_valid(expected, here.time_ms), "a certificate that is not valid")


def seeds() -> list[bytes]:
    return [bytes([NAMES.index((one.contract, one.method))]) + one.args for one in scene()[2]]


def drawn() -> st.SearchStrategy[bytes]:
    return st.one_of(*(encodings(kind).map(bytes([at]).__add__) for at, kind in enumerate(KINDS)))


TARGETS: Final = (
    Target(
        name="contracts.regions",
        run=run_proofs,
        seeds=seeds,
        examples=drawn,
        errors=(Denied,),
    ),
)
