"""Sessions by key challenge.

Rule: answers hold tokens, so they are neither stored nor replayed: Idempotency-Key has no effect here.
"""

from __future__ import annotations

from typing import Final

from node.http.access import PUBLIC, SESSION
from node.http.config import RateClass
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views.common import instant
from node.services.ports import Caller
from zhenglian import api


async def challenge(context: Context[api.ChallengeRequest, NoQuery]) -> Reply:
    asked = context.body
    made, expires_ms = context.site.sessions.challenge(
        bytes.fromhex(asked.account), bytes.fromhex(asked.key_id)
    )
    return Reply(status=201, body=api.Challenge(challenge=made.hex(), expires=instant(expires_ms)))


async def log_in(context: Context[api.SessionRequest, NoQuery]) -> Reply:
    asked = context.body
    return opened(
        *context.site.sessions.log_in(
            bytes.fromhex(asked.account),
            bytes.fromhex(asked.key_id),
            bytes.fromhex(asked.challenge),
            bytes.fromhex(asked.signature),
        )
    )


def opened(token: str, expires_ms: int, caller: Caller) -> Reply:
    """The answer to who has logged in."""
    session = api.Session(
        token=token,
        expires=instant(expires_ms),
        account=caller.account.hex(),
        kind=caller.kind.value,
        role=caller.role.value,
        key_id=caller.key_id.hex(),
        by=caller.by.value,
    )
    return Reply(status=201, body=session)


async def log_out(context: Context[None, NoQuery]) -> Reply:
    context.site.sessions.log_out(context.token)
    return Reply(status=204)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/sessions/challenges",
        access=PUBLIC,
        handler=challenge,
        request=api.ChallengeRequest,
        response=api.Challenge,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="取得登录质询，用账户密钥对其签名",
        summary_en="Get a challenge to sign with an account key",
    ),
    Route(
        method="POST",
        path="/v1/sessions",
        access=PUBLIC,
        handler=log_in,
        request=api.SessionRequest,
        response=api.Session,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="用签名后的质询登录，取得令牌",
        summary_en="Log in with the signed challenge and get a token",
    ),
    Route(
        method="DELETE",
        path="/v1/sessions",
        access=SESSION,
        handler=log_out,
        statuses=(204,),
        rate=RateClass.LOGIN,
        summary_zh="结束当前会话",
        summary_en="End this session",
    ),
)
