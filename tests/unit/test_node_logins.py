"""Logging in with an identity provider: a real one over sockets, and one that lies in a single point."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from contracts.records import AccountKind, KeyRole
from ledger.errors import LedgerError, NotFound, Unavailable, VerificationFailed
from node.services import oidc
from node.services.login_links import (
    LINKS_PER_ACCOUNT_MAX,
    Link,
    LinkedElsewhere,
    LoginLinks,
    TooManyLinks,
)
from node.services.login_statements import read_statement
from node.services.logins import (
    LOGIN_LIFETIME_MS,
    LOGINS_MAX,
    Intent,
    IntentRefused,
    Logins,
    LoginUnknown,
    NotLinked,
)
from node.services.oidc import LoginRejected, ProviderSettings, secure
from node.services.ports import Caller, SignIn
from tests.suites import suite_under_test
from tests.unit.oidc_world import (
    CLIENT,
    REDIRECT,
    SECRET,
    SUBJECT,
    Liar,
    OidcProvider,
    confused,
    headed,
    provider,
    unsigned,
)

SUITE = suite_under_test()
NODE = SUITE.load_signer(b"\x01" * 32)
KEY = b"k" * 16
PERSON = Caller(account=b"p" * 16, key_id=KEY, kind=AccountKind.PERSON, role=KeyRole.HOLDER)


@dataclass
class Desk:
    """A node's logins, its provider, and its clock."""

    logins: Logins
    provider: OidcProvider
    now_ms: int

    def clock(self) -> int:
        return self.now_ms

    async def log_in(self, intent: Intent = Intent.IDENTIFY, **changes: str) -> Any:
        """A whole login; `changes` are to what the page brings back."""
        key_id = KEY if intent is Intent.IDENTIFY else b""
        begun = await self.logins.begin("city", intent, key_id=key_id, caller=PERSON)
        back = {"issuer": "", **self.provider.consent(begun.url), "handle": begun.handle, **changes}
        return await self.logins.finish(**back)


@asynccontextmanager
async def desk(folder: Path, **settings: Any) -> AsyncIterator[Desk]:
    async with provider() as served:
        made = Desk(None, served, int(served.now_s() * 1000))  # type: ignore[arg-type]
        configured = ProviderSettings(
            **{
                "name": "city",
                "label_zh": "城市",
                "label_en": "City",
                "issuer": served.issuer,
                "client_id": CLIENT,
                "client_secret": SECRET,
                "redirect_uri": REDIRECT,
                **settings,
            }
        )
        made.logins = Logins(
            suite=SUITE,
            chain_id=bytes(32),
            account=b"n" * 16,
            signer=NODE,
            providers=[configured],
            links=LoginLinks(folder / "logins.sqlite", SUITE, b"s" * 32),
            clock_ms=made.clock,
        )
        yield made
        await made.logins.stop()


async def test_a_login_gives_a_statement_for_the_registrar_bound_to_the_new_key(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        done = await here.log_in()
        signed = done.statement
        read = read_statement(SUITE, signed.data, signed.signature, NODE.scheme, NODE.public_key)
        assert (read.issuer, read.subject, read.client_id) == (here.provider.issuer, SUBJECT, CLIENT)
        assert (read.key_id, read.node, read.level) == (KEY, b"n" * 16, "urn:example:high")
        assert signed.digest == SUITE.hash(b"zhenglian/login-statement/1", signed.data)  # type: ignore[arg-type]
        other = SUITE.load_signer(b"\x02" * 32)
        with pytest.raises(VerificationFailed):
            read_statement(SUITE, signed.data, signed.signature, NODE.scheme, other.public_key)


async def test_the_description_and_the_keys_are_asked_for_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        for _ in range(3):
            await here.log_in()
        assert here.provider.asked == ["description", "token", "keys", "token", "token"]


async def test_a_new_key_of_the_provider_is_fetched_but_not_at_everybodys_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as here:
        await here.log_in()
        here.provider.rotate()
        with pytest.raises(LoginRejected, match="signature"):
            await here.log_in()
        monkeypatch.setattr(oidc, "KEYS_ASKED_AGAIN_S", 0.0)
        await here.log_in()
        assert here.provider.asked.count("keys") == 2


async def test_a_login_is_finished_once_by_the_page_that_began_it_and_in_time(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        begun = await here.logins.begin("city", Intent.IDENTIFY, key_id=KEY, caller=None)
        back = here.provider.consent(begun.url)
        for handle, state in (("x" * 43, begun.state), (begun.handle, "x"), (begun.state, begun.state)):
            with pytest.raises(LoginUnknown):
                await here.logins.finish(state=state, handle=handle, code=back["code"], issuer="")
        await here.logins.finish(state=begun.state, handle=begun.handle, code=back["code"], issuer="")
        with pytest.raises(LoginUnknown):
            await here.logins.finish(state=begun.state, handle=begun.handle, code=back["code"], issuer="")
        late = await here.logins.begin("city", Intent.IDENTIFY, key_id=KEY, caller=None)
        here.now_ms += LOGIN_LIFETIME_MS
        with pytest.raises(LoginUnknown):
            await here.logins.finish(state=late.state, handle=late.handle, code="c", issuer="")


async def test_a_code_of_another_login_is_refused_by_the_provider(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        other = await here.logins.begin("city", Intent.IDENTIFY, key_id=KEY, caller=None)
        stolen = here.provider.consent(other.url)["code"]
        with pytest.raises(LoginRejected, match="code"):
            await here.log_in(code=stolen)


def set_(**changes: object) -> Any:
    """Changes members; None takes one out."""

    def change(found: dict[str, Any]) -> None:
        for name, value in changes.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value

    return change


@pytest.mark.parametrize(
    "lie",
    [
        Liar(claims=set_(iss="https://evil.example.cn")),
        Liar(claims=set_(iss=None)),
        Liar(claims=set_(aud="another client")),
        Liar(claims=set_(aud=["another client"])),
        Liar(claims=set_(aud=[CLIENT, "another"], azp="another")),
        Liar(claims=set_(aud=[CLIENT, "another"])),
        Liar(claims=set_(aud=None)),
        Liar(claims=set_(nonce="another")),
        Liar(claims=set_(nonce=None)),
        Liar(claims=set_(exp=1)),
        Liar(claims=set_(exp=None)),
        Liar(claims=set_(exp="never")),
        Liar(claims=set_(iat=2**40)),
        Liar(claims=set_(iat=None)),
        Liar(claims=set_(nbf=2**40)),
        Liar(claims=set_(sub=None)),
        Liar(claims=set_(sub="")),
        Liar(claims=set_(sub=7)),
        Liar(claims=set_(sub="x" * 256)),
        Liar(claims=set_(auth_time="now")),
        Liar(claims=set_(auth_time=2**40)),
        Liar(claims=set_(at_hash="AAAAAAAAAAAAAAAAAAAAAA")),
        Liar(sign_with=RSAKey.generate_key(2048, parameters={"kid": "one"})),
        Liar(header=set_(alg="RS512")),
        Liar(raw_token="not.a.token"),
        Liar(raw_token=unsigned({"iss": "x"})),
        Liar(answer=set_(id_token=None)),
        Liar(claims=set_(sub="\ud800")),
        Liar(claims=set_(exp=True)),
        Liar(claims=set_(exp=None, iat=None, nbf=[])),
        Liar(claims=set_(aud={CLIENT: 1})),
        Liar(claims=set_(iss=["https://evil.example.cn"])),
        Liar(raw_token=headed(b'{"alg":"RS256","kid":"one","crit":5}')),
        Liar(raw_token=headed(b'{"alg":"RS256","kid":"one","crit":["exp"],"exp":1}')),
        Liar(raw_token=headed(b'{"alg":"RS256","kid":"one","b64":false,"crit":["b64"]}')),
        Liar(raw_token=headed(b'{"alg":["RS256"],"kid":"one"}')),
        Liar(raw_token=headed(b'{"alg":"ES256","kid":"one"}')),
        Liar(raw_token=headed(b'{"alg":"RS256","kid":"\\ud800"}')),
        Liar(raw_token=headed(b"[" * 20_000)),
        Liar(raw_token="\ud800.a.b"),
        Liar(raw_answer=b"{"),
        Liar(raw_answer=b"\xff"),
        Liar(raw_answer=b'{"deep":' + b"[" * 100_000),
    ],
)
async def test_a_token_that_is_wrong_in_one_point_is_refused(tmp_path: Path, lie: Liar) -> None:
    async with desk(tmp_path) as here:
        here.provider.lies = lie
        with pytest.raises(LoginRejected):
            await here.log_in()
        here.provider.lies = Liar()
        assert (await here.log_in()).statement is not None


async def test_a_public_key_is_no_secret_to_sign_with(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.provider.lies = Liar(raw_token=confused(here.provider.key))
        with pytest.raises(LoginRejected, match="signature"):
            await here.log_in()


async def test_only_algorithms_that_the_operator_allows_count(tmp_path: Path) -> None:
    async with desk(tmp_path, algorithms=("ES256",)) as here:
        with pytest.raises(LoginRejected, match="signature"):
            await here.log_in()
        here.provider.rotate()


@pytest.mark.parametrize(
    "lie",
    [
        Liar(description=set_(issuer="https://evil.example.cn")),
        Liar(description=set_(issuer=None)),
        Liar(description=set_(token_endpoint="http://evil.example.cn/token")),
        Liar(description=set_(jwks_uri="file:///etc/passwd")),
        Liar(description=set_(authorization_endpoint="https://user@x/")),
        Liar(description=set_(padding="x" * 300_000)),
        Liar(keys=b"[]"),
        Liar(keys=b"{}"),
        Liar(keys=b"[" * 100_000),
        Liar(keys=b'{"keys":[5]}'),
        Liar(keys=b'{"keys":5}'),
        Liar(keys=b'{"keys":[{"kty":["RSA"]}]}'),
        Liar(keys=b'{"keys":[{"kty":"RSA","n":5,"e":6}]}'),
        Liar(raw_description=b'{"deep":' + b"[" * 100_000),
    ],
)
async def test_a_provider_that_describes_another_is_not_used(tmp_path: Path, lie: Liar) -> None:
    async with desk(tmp_path) as here:
        here.provider.lies = lie
        with pytest.raises(Unavailable):
            await here.log_in()


async def test_a_provider_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    async with desk(tmp_path, issuer="http://127.0.0.1:9") as here:
        with pytest.raises(Unavailable, match="city"):
            await here.log_in()
        with pytest.raises(NotFound):
            await here.logins.begin("other", Intent.SIGN_IN, key_id=b"", caller=None)


async def test_a_parameter_iss_of_another_provider_is_a_mix_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(LoginRejected, match="iss"):
            await here.log_in(issuer="https://evil.example.cn")
        await here.log_in(issuer=here.provider.issuer)


async def test_a_provider_that_promises_iss_has_to_give_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.provider.lies = Liar(description=set_(authorization_response_iss_parameter_supported=True))
        with pytest.raises(LoginRejected, match="iss"):
            await here.log_in()


async def test_only_a_linked_identity_signs_in_and_only_until_it_is_unlinked(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(NotLinked):
            await here.log_in(Intent.SIGN_IN)
        assert (await here.log_in(Intent.LINK)).link == Link(account=PERSON.account, key_id=KEY)
        assert (await here.log_in(Intent.SIGN_IN)).link == Link(account=PERSON.account, key_id=KEY)
        assert here.logins.unlink(PERSON.account) == 1
        with pytest.raises(NotLinked):
            await here.log_in(Intent.SIGN_IN)


@pytest.mark.parametrize(
    ("intent", "key_id", "caller"),
    [
        (Intent.LINK, b"", None),
        (Intent.LINK, b"", Caller(account=b"p" * 16, key_id=KEY, kind=AccountKind.PERSON, role=KeyRole.HOLDER, by=SignIn.OIDC)),
        (Intent.LINK, b"", Caller(account=b"p" * 16, key_id=KEY, kind=AccountKind.ENTERPRISE, role=KeyRole.OFFICER)),
        (Intent.LINK, KEY, PERSON),
        (Intent.SIGN_IN, KEY, None),
        (Intent.IDENTIFY, b"", None),
    ],
)  # fmt: skip
async def test_what_a_login_is_for_has_to_fit(
    tmp_path: Path, intent: Intent, key_id: bytes, caller: Caller | None
) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(IntentRefused):
            await here.logins.begin("city", intent, key_id=key_id, caller=caller)


async def test_logins_that_wait_are_bounded(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        first = await here.logins.begin("city", Intent.SIGN_IN, key_id=b"", caller=None)
        waiting = here.logins._waiting[first.state]
        here.logins._waiting.update({f"{n}": waiting for n in range(LOGINS_MAX - 1)})
        with pytest.raises(LedgerError) as full:
            await here.logins.begin("city", Intent.SIGN_IN, key_id=b"", caller=None)
        assert full.value.code == "busy"
        here.now_ms += LOGIN_LIFETIME_MS
        await here.logins.begin("city", Intent.SIGN_IN, key_id=b"", caller=None)


def test_links_are_bounded_hashed_and_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "logins.sqlite"
    links = LoginLinks(path, SUITE, b"s" * 32)
    for n in range(LINKS_PER_ACCOUNT_MAX):
        links.link("https://id", f"subject {n}", Link(account=b"a" * 16, key_id=KEY), n)
    links.link("https://id", "subject 0", Link(account=b"a" * 16, key_id=b"2" * 16), 99)
    with pytest.raises(TooManyLinks):
        links.link("https://id", "one more", Link(account=b"a" * 16, key_id=KEY), 9)
    with pytest.raises(LinkedElsewhere):
        links.link("https://id", "subject 1", Link(account=b"b" * 16, key_id=KEY), 9)
    links.close()
    assert b"subject" not in path.read_bytes()
    again = LoginLinks(path, SUITE, b"s" * 32)
    assert again.find("https://id", "subject 0") == Link(account=b"a" * 16, key_id=b"2" * 16)
    assert again.find("https://i", "dsubject 0") is None
    assert again.unlink(b"a" * 16) == LINKS_PER_ACCOUNT_MAX
    again.close()
    other = LoginLinks(path, SUITE, b"t" * 32)
    assert other.find("https://id", "subject 0") is None
    other.close()


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://id.example.cn", True),
        ("http://localhost:80/x", True),
        ("http://127.0.0.1:9", True),
        ("http://id.example.cn", False),
        ("https://", False),
        ("https://u:p@id.example.cn", False),
        ("https://id.example.cn/#x", False),
        ("http://localhost.evil.cn", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_addresses_are_https_or_of_this_machine(url: str, good: bool) -> None:
    assert secure(url) is good
