"""What acts in this node's name when the chain says so: releases, counts, traces; and what finds a leak's record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ledger import domains
from node.assembly.ground import Ground, wall_clock_ms
from node.assembly.vault import Vault
from node.config import NodeConfig
from node.home import Home
from node.services.counts import Counts
from node.services.finding import Finding
from node.services.finishing import Copies, Finisher
from node.services.leak_index import LeakIndex
from node.services.leak_notes import LeakNotes
from node.services.leak_reader import LeakReader
from node.services.making import ReleaseMaker
from node.services.marking import Renderer
from node.services.releases import Releases
from node.services.spool import Spool
from node.services.traces import Traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Each follows the finalized chain and finds its work again after a crash."""

    releases: Releases
    counts: Counts
    traces: Traces
    finding: Finding
    notes: LeakNotes


def assemble_work(ground: Ground, vault: Vault) -> Work:
    """Put it together.

    Raises:
        StorageDamaged: a database of the home cannot be used.
        FileUnusable, SecretExposed, DecodeError: what signs derived copies cannot be used.
    """
    suite, chain = ground.suite, ground.chain
    renderer = Renderer(suite, vault.reader)
    spool = Spool(ground.home.spool, suite, ground.identity.wrap_secret)
    leaks = LeakIndex(ground.home.root / "leaks.sqlite", suite, ground.identity.wrap_secret)
    notes = LeakNotes(leaks, wall_clock_ms)
    finisher = Finisher(
        suite=suite,
        chain=chain,
        sign=partial(ground.node.sign, domains.COPY_CODE),
        copies=_copies(ground.config, ground.home),
    )
    maker = ReleaseMaker(
        suite=suite,
        chain=chain,
        renderer=renderer,
        seeds=vault.seeds,
        notes=notes,
        finisher=finisher,
    )
    return Work(
        releases=Releases(
            suite=suite,
            chain=chain,
            index=ground.index,
            submission=ground.submission,
            node=ground.node,
            maker=maker,
            spool=spool,
            clock_ms=wall_clock_ms,
        ),
        counts=Counts(chain=chain, index=ground.index, node=ground.node, records=vault.reader),
        traces=Traces(
            suite=suite,
            chain=chain,
            index=ground.index,
            submission=ground.submission,
            node=ground.node,
            renderer=renderer,
            maker=maker,
            seeds=vault.seeds,
            spool=spool,
            clock_ms=wall_clock_ms,
        ),
        finding=Finding(
            suite=suite,
            chain=chain,
            index=ground.index,
            leaks=leaks,
            reader=LeakReader(),
            clock_ms=wall_clock_ms,
        ),
        notes=notes,
    )


def _copies(config: NodeConfig, home: Home) -> Copies | None:
    """What makes derived copies here; None where none are made."""
    if not config.copies.key:
        return None
    from node.services.derived_copies import (  # half a second, and not every node needs it
        DerivedCopies,
        load_signer,
    )

    return DerivedCopies(load_signer(home, config.copies.certificate, config.copies.key))
