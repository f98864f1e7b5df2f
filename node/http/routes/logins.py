"""Logging in with an identity provider.

Rule: answers hold secrets or tokens, so they are neither stored nor replayed. What a session of this kind may do is said in
`node/http/access.py`: read, and end itself.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Unavailable
from node.http.access import PUBLIC, SESSION
from node.http.config import RateClass
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views.common import instant
from node.services.login_statements import SignedStatement
from node.services.logins import Intent, Logins
from node.services.ports import Services
from zhenglian.api_passkeys import (
    LoginFinish,
    LoginFinishRequest,
    LoginStart,
    LoginStartRequest,
    ProviderView,
    StatementView,
)


def _logins(services: Services) -> Logins:
    found = services.logins
    if found is None:
        raise Unavailable(what="login with an identity provider", reason="this node has none configured")
    return found


async def providers(context: Context[None, NoQuery]) -> Reply:
    found = context.services.logins
    views = [
        ProviderView(name=one.name, label_zh=one.label_zh, label_en=one.label_en, issuer=one.issuer)
        for one in (found.providers() if found is not None else ())
    ]
    return Reply(body=views)


async def begin(context: Context[LoginStartRequest, NoQuery]) -> Reply:
    asked = context.body
    begun = await _logins(context.services).begin(
        context.code("code"),
        Intent(asked.intent),
        key_id=bytes.fromhex(asked.key_id) if asked.key_id else b"",
        caller=context.caller,
    )
    view = LoginStart(
        url=begun.url, state=begun.state, handle=begun.handle, expires=instant(begun.expires_ms)
    )
    return Reply(status=201, body=view)


async def finish(context: Context[LoginFinishRequest, NoQuery]) -> Reply:
    asked = context.body
    done = await _logins(context.services).finish(
        state=asked.state, handle=asked.handle, code=asked.code, issuer=asked.iss
    )
    if done.intent is Intent.SIGN_IN and done.link is not None:
        token, expires_ms, caller = context.site.sessions.begin_linked(done.link.account, done.link.key_id)
        view = LoginFinish(
            intent="sign_in", token=token, expires=instant(expires_ms), account=caller.account.hex()
        )
    else:
        view = LoginFinish(
            intent=done.intent.value,
            statement=_statement(done.statement) if done.statement is not None else None,
            linked=done.link.account.hex() if done.link is not None else None,
        )
    return Reply(status=201, body=view)


async def unlink(context: Context[None, NoQuery]) -> Reply:
    _logins(context.services).unlink(context.session.account)
    return Reply(status=204)


def _statement(signed: SignedStatement) -> StatementView:
    statement = signed.statement
    return StatementView(
        data=signed.data.hex(),
        signature=signed.signature.hex(),
        digest=signed.digest.hex(),
        node=statement.node.hex(),
        issuer=statement.issuer,
        subject=statement.subject,
        key_id=statement.key_id.hex(),
        signed_in=instant(statement.signed_in_ms),
        expires=instant(statement.expires_ms),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/oidc",
        access=PUBLIC,
        handler=providers,
        response=list[ProviderView],
        summary_zh="本节点接受的身份提供方",
        summary_en="Identity providers that this node accepts",
    ),
    Route(
        method="POST",
        path="/v1/oidc/{code}/logins",
        access=PUBLIC,
        handler=begin,
        request=LoginStartRequest,
        response=LoginStart,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="发起身份提供方登录：出具开户凭据、关联账户或登录查看",
        summary_en="Begin a login with an identity provider: for a statement, a link, or a session to read with",
    ),
    Route(
        method="POST",
        path="/v1/oidc/completions",
        access=PUBLIC,
        handler=finish,
        request=LoginFinishRequest,
        response=LoginFinish,
        statuses=(201,),
        rate=RateClass.LOGIN,
        summary_zh="用身份提供方返回的参数完成登录",
        summary_en="Finish a login with what the provider sent the person back with",
    ),
    Route(
        method="DELETE",
        path="/v1/oidc/links",
        access=SESSION,
        handler=unlink,
        statuses=(204,),
        rate=RateClass.LOGIN,
        summary_zh="解除本账户在本节点的全部身份关联",
        summary_en="Undo every link of this account at this node",
    ),
)
