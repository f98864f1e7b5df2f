"""Making passkeys, logging in with one, and which portals are approved.

Rule: nothing here puts a key into an account: that is a transaction like any other. Answers hold tokens or fresh challenges, so
they are neither stored nor replayed.
"""

from __future__ import annotations

from typing import Final

from contracts import passkeys as rules
from contracts.records import KeyRole
from ledger import domains
from node.http.access import PUBLIC
from node.http.config import RateClass
from node.http.routes.sessions import opened
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views.common import instant
from zhenglian import api
from zhenglian.api_passkeys import (
    PasskeyKeyView,
    PasskeyOptions,
    PasskeyOptionsRequest,
    PasskeyRegistrationRequest,
    PasskeySessionRequest,
    PortalsView,
    PortalView,
)

REGISTRATION_BYTES_MAX: Final = 32 * 1024


async def creation_options(context: Context[PasskeyOptionsRequest, NoQuery]) -> Reply:
    asked = context.body
    account = bytes.fromhex(asked.account) if asked.account else None
    options, expires_ms = context.site.passkeys.creation_options(asked.label, account, asked.exclude)
    return Reply(status=201, body=PasskeyOptions(options=options, expires=instant(expires_ms)))


async def register(context: Context[PasskeyRegistrationRequest, NoQuery]) -> Reply:
    made = context.site.passkeys.register(context.body.credential)
    view = PasskeyKeyView(
        scheme=rules.SCHEME,
        public_key=made.public_key.hex(),
        key_id=made.key_id.hex(),
        role=KeyRole.HOLDER.value,
        label=context.body.label,
        credential_id=made.credential_id,
        counter=made.counter,
        backed_up=made.backed_up,
    )
    return Reply(status=201, body=view)


async def challenge(context: Context[None, NoQuery]) -> Reply:
    chain, site = context.services.chain, context.site
    made, expires_ms = site.sessions.passkey_challenge()
    hashed = rules.challenge_of(chain.suite, domains.SESSION, made)
    options = site.passkeys.request_options(hashed, site.config.challenge_lifetime_ms)
    body = PasskeyOptions(options=options, expires=instant(expires_ms), challenge=made.hex())
    return Reply(status=201, body=body)


async def log_in(context: Context[PasskeySessionRequest, NoQuery]) -> Reply:
    asked = context.body
    return opened(
        *context.site.sessions.log_in_by_passkey(
            bytes.fromhex(asked.account), bytes.fromhex(asked.challenge), bytes.fromhex(asked.assertion)
        )
    )


async def portals(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    view = PortalsView(
        rp_id=chain.webauthn.rp_id,
        origins=list(chain.webauthn.origins),
        portals=[
            PortalView(
                name=portal.name,
                bundle_hash=portal.bundle_hash.hex(),
                former_hash=portal.former_hash.hex(),
                approved=instant(portal.approved_ms),
            )
            for portal in chain.portals()
        ],
    )
    return Reply(body=view)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/passkeys/options",
        access=PUBLIC,
        handler=creation_options,
        request=PasskeyOptionsRequest,
        response=PasskeyOptions,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="取得新建通行密钥的参数",
        summary_en="Get what to ask a browser for to make a passkey",
    ),
    Route(
        method="POST",
        path="/v1/passkeys/registrations",
        access=PUBLIC,
        handler=register,
        request=PasskeyRegistrationRequest,
        response=PasskeyKeyView,
        statuses=(201,),
        body_bytes_max=REGISTRATION_BYTES_MAX,
        rate=RateClass.LOGIN,
        summary_zh="核验新建的通行密钥，返回可用于开户或添加的公钥",
        summary_en="Check a new passkey; answers the key to enrol with or to add",
    ),
    Route(
        method="POST",
        path="/v1/passkeys/challenges",
        access=PUBLIC,
        handler=challenge,
        response=PasskeyOptions,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="取得通行密钥登录质询",
        summary_en="Get a challenge to log in with a passkey",
    ),
    Route(
        method="POST",
        path="/v1/passkeys/sessions",
        access=PUBLIC,
        handler=log_in,
        request=PasskeySessionRequest,
        response=api.Session,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="用通行密钥登录，取得令牌",
        summary_en="Log in with a passkey and get a token",
    ),
    Route(
        method="GET",
        path="/v1/portals",
        access=PUBLIC,
        handler=portals,
        response=PortalsView,
        summary_zh="通行密钥的域名与来源，以及运营方表决批准的门户版本",
        summary_en="Where passkeys are used, and the portal bundles that operators have approved",
        etag=True,
    ),
)
