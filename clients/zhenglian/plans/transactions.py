"""Plans that put something on the ledger: sign, submit, wait until it is final.

Rule: a transaction is signed once. From then on the same bytes are sent until their fate is known, to
whichever node answers, so a lost answer or a crashed node never carries anything out twice.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.calls import Args, call
from ledger import codec
from ledger.errors import Category, DecodeError
from ledger.hashing import sign_transaction, transaction_id
from ledger.types import RESULT_OK, TransactionBody
from zhenglian import exchange
from zhenglian.api import WAIT_S_MAX, TransactionRequest, TransactionView
from zhenglian.errors import ApiError, Denied, NotFinal, NotReachable, TransactionExpired, UnexpectedAnswer
from zhenglian.exchange import TRANSACTION_LIFETIME_MS, Core, Pause, Plan, Request, decode, get

FINALITY_WAIT_S: Final = 60
OUTPUT_SIZE_BYTES_MAX: Final = 256
_POLL_S: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signed transaction: its id, and the bytes that are sent however often it takes."""

    transaction_id: bytes
    data: bytes

    @property
    def text(self) -> str:
        """Base64, as the API takes it."""
        return base64.b64encode(self.data).decode()

    def body(self) -> bytes:
        """The body of `POST /v1/transactions`."""
        return msgspec.json.encode(TransactionRequest(transaction=self.text))


def sign(core: Core, args: Args) -> Plan[Signed]:
    """Sign a call with the client's key, under a fresh nonce, for this network only."""
    key = core.signer()
    network = yield from exchange.network(core)
    suite = yield from exchange.suite(core)
    body = TransactionBody(
        chain_id=bytes.fromhex(network.chain_id),
        account=bytes.fromhex(key.account),
        key_id=bytes.fromhex(key.key_id),
        nonce=core.random_bytes(16),
        valid_until_ms=core.clock_ms() + TRANSACTION_LIFETIME_MS,
        call=call(args),
    )
    transaction = sign_transaction(suite, key.signer(), body)
    return Signed(transaction_id=transaction_id(suite, body), data=codec.encode(transaction))


def submit(core: Core, args: Args, *, wait_s: int = FINALITY_WAIT_S) -> Plan[TransactionView]:
    """Sign and submit a call, and wait for finality.

    Args:
        args: the argument struct of any method of any contract (`contracts.calls`).
        wait_s: how long to wait, in seconds; 0 returns as soon as a node has accepted it.

    Returns:
        The transaction: finalized with result "ok", or still pending when `wait_s` has passed.

    Raises:
        Denied: final, and refused; the attempt is on record.
        TransactionExpired: it can never be included any more.
        ApiError, NotReachable: it was not accepted.
    """
    signed = yield from sign(core, args)
    return (yield from settle(core, signed, wait_s=wait_s))


def settled(core: Core, args: Args) -> Plan[TransactionView]:
    """`submit`, for those who need the result. Raises NotFinal besides."""
    view = yield from submit(core, args)
    if view.status == "pending":
        raise NotFinal(transaction_id=view.transaction_id)
    return view


def settle(core: Core, signed: Signed, *, wait_s: int) -> Plan[TransactionView]:
    """Send a signed transaction until it is final, refused, expired, or `wait_s` seconds have passed."""
    deadline_ms = core.clock_ms() + wait_s * 1000
    view = yield from _post(core, signed, wait_s)
    while view.status == "pending" and core.clock_ms() < deadline_ms:
        yield Pause(seconds=_POLL_S)
        left_s = max(0, (deadline_ms - core.clock_ms()) // 1000)
        try:
            view = yield from get(core, f"/v1/transactions/{signed.transaction_id.hex()}", TransactionView)
        except ApiError as error:
            if error.category is not Category.MISSING:
                raise
            # Another node answers now and has not heard of it: it gets the same bytes.
            view = yield from _post(core, signed, left_s)
        if view.status == "finalized" and view.result is None:
            # The id says how it stands; what came of it is told to whoever has the bytes.
            view = yield from _post(core, signed, left_s)
    return judge(view)


def judge(view: TransactionView) -> TransactionView:
    """The view itself. Raises Denied or TransactionExpired when that is what it says."""
    if view.status == "expired":
        raise TransactionExpired(transaction_id=view.transaction_id)
    if view.result is not None and view.result.code != RESULT_OK:
        raise Denied(view)
    return view


def raise_denial(core: Core, signed: Signed) -> Plan[None]:
    """After a route refused a transaction: raises Denied if it was the ledger and not the node."""
    try:
        view = yield from transaction(core, signed.transaction_id.hex())
    except (ApiError, NotReachable):
        return
    judge(view)


def _post(core: Core, signed: Signed, wait_s: int) -> Plan[TransactionView]:
    request = Request(
        method="POST", path="/v1/transactions", body=signed.body(), wait_s=min(max(wait_s, 0), WAIT_S_MAX)
    )
    answer = yield from exchange.exchange(core, request)
    view = decode(answer, TransactionView)
    if view.transaction_id != signed.transaction_id.hex():
        raise UnexpectedAnswer(url=answer.url, reason="it is about another transaction")
    return view


def transaction(core: Core, transaction_id_hex: str) -> Plan[TransactionView]:
    """A transaction by id: pending, finalized, or expired; with its result for whom it concerns."""
    path = f"/v1/transactions/{transaction_id_hex}"
    return (yield from get(core, path, TransactionView, session=core.key is not None))


def wait(core: Core, transaction_id_hex: str, *, wait_s: int = FINALITY_WAIT_S) -> Plan[TransactionView]:
    """Wait until a transaction is final; after `wait_s` s it is returned as it is. Raises like `submit`."""
    deadline_ms = core.clock_ms() + wait_s * 1000
    view = yield from transaction(core, transaction_id_hex)
    while view.status == "pending" and core.clock_ms() < deadline_ms:
        yield Pause(seconds=_POLL_S)
        view = yield from transaction(core, transaction_id_hex)
    return judge(view)


def output(view: TransactionView) -> bytes:
    """What the called method returned: the id that most methods give.

    Raises:
        NotFinal: there is no result yet.
        DecodeError: the output is no byte string.
    """
    if view.result is None:
        raise NotFinal(transaction_id=view.transaction_id)
    try:
        data = bytes.fromhex(view.result.output)
    except ValueError:
        raise DecodeError(what="output", reason="not hexadecimal") from None
    return codec.decode(data, bytes, size_bytes_max=OUTPUT_SIZE_BYTES_MAX, what="output")
