"""What the HTTP API asks: deposits, people, logins, notices, webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from node.assembly.ground import Ground, wall_clock_ms
from node.assembly.holding import Holding
from node.assembly.vault import Vault
from node.assembly.work import Work
from node.config import login_providers
from node.deposits.wiring import DepositParts, wire
from node.http.views.mydata import delivery_body
from node.services.attachment_checks import AttachmentChecks
from node.services.deposits import Deposits
from node.services.grant_bodies import GrantBodies
from node.services.login_links import LoginLinks
from node.services.logins import Logins
from node.services.notices import Notices
from node.services.notifiers import Notifier
from node.services.people import People
from node.services.ports import Services
from node.services.webhook_store import WebhookStore
from node.services.webhooks import Webhooks
from node.webhook_config import webhook_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The API's services, and those of them that begin and end with the node."""

    services: Services
    deposits: DepositParts
    checks: AttachmentChecks
    logins: Logins
    outbox: WebhookStore
    webhooks: Webhooks


def assemble_doors(ground: Ground, holding: Holding, vault: Vault, work: Work, notifier: Notifier) -> Doors:
    """Put them together.

    Raises:
        LedgerError: a database of the home cannot be used.
    """
    suite, chain, root, secret = ground.suite, ground.chain, ground.home.root, ground.identity.wrap_secret
    outbox = WebhookStore(root / "webhooks.sqlite", suite, secret)
    notices = Notices(chain, ground.index, outbox)
    webhooks = Webhooks(
        chain=chain,
        index=ground.index,
        notices=notices,
        store=outbox,
        settings=webhook_settings(ground.config),
        render=delivery_body,
        clock_ms=wall_clock_ms,
        is_mine=notifier.is_mine,
    )
    checks = AttachmentChecks()
    sealing = Deposits(
        suite=suite,
        chain=chain,
        keys=vault.sealer,
        place=vault.keeper.place,
        clock_ms=wall_clock_ms,
        inspect=checks.inspect,
        notes=work.notes,
    )
    deposits = wire(
        suite=suite,
        chain=chain,
        index=ground.index,
        submission=ground.submission,
        deposits=sealing,
        root=root,
        node_secret=secret,
        operator=ground.identity.account,
        clock_ms=wall_clock_ms,
    )
    logins = _logins(ground)
    services = Services(
        chain=chain,
        submission=ground.submission,
        deposits=sealing,
        people=People(
            account=ground.identity.account,
            state=chain.records,
            height=lambda: chain.height,
            time_ms=ground.time_ms,
            permits=holding.server,
            shares=holding.collector,
        ),
        releases=work.releases,
        traces=work.traces,
        finding=work.finding,
        index=ground.index,
        logins=logins,
        notices=notices,
        webhooks=webhooks,
        bulk=deposits.bulk,
        agents=deposits.agents,
        fetches=deposits.fetches,
        bodies=GrantBodies(
            suite=suite,
            chain=chain,
            submission=ground.submission,
            account=ground.identity.account,
            keys=vault.sealer,
            place=vault.keeper.place,
            reader=vault.bodies,
        ),
    )
    return Doors(
        services=services,
        deposits=deposits,
        checks=checks,
        logins=logins,
        outbox=outbox,
        webhooks=webhooks,
    )


def _logins(ground: Ground) -> Logins:
    """Login at a city's identity provider; none where none is configured."""
    links = LoginLinks(ground.home.root / "logins.sqlite", ground.suite, ground.identity.wrap_secret)
    return Logins(
        suite=ground.suite,
        chain_id=ground.chain.chain_id,
        account=ground.identity.account,
        signer=ground.identity.node_signer,
        providers=login_providers(ground.config),
        links=links,
        clock_ms=wall_clock_ms,
    )
