"""证链 Zhenglian, the Python SDK: the one package of the project meant for other people's programs.

`Client` (threads) and `AsyncClient` (asyncio) have the same operations; `KeyFile` holds who signs;
`verify` checks a receipt with no network.
"""

from zhenglian.client import AsyncClient, Client
from zhenglian.errors import (
    ApiError,
    Denied,
    KeyFileUnusable,
    KeyNeeded,
    Mismatch,
    NodeUnknown,
    NotFinal,
    NotPrepared,
    NotReachable,
    ReleaseFailed,
    ReleaseInterrupted,
    TransactionExpired,
    UnexpectedAnswer,
    WrongNetwork,
)
from zhenglian.exchange import RetryPolicy
from zhenglian.keyfile import KeyFile
from zhenglian.own_numbers import IdentityRequest, OwnSecret
from zhenglian.plans.certificates import Attachment, Issued
from zhenglian.plans.grants import given_items
from zhenglian.plans.lookups import Found, Lookup, NotApproved, TagsDisagree
from zhenglian.plans.people import AlreadyEnrolled, NotEnrolled
from zhenglian.plans.proofs import verify, verify_any, verify_state
from zhenglian.plans.releases import Retrieved
from zhenglian.plans.transactions import output
from zhenglian.progress import Progress

__all__ = [
    "AlreadyEnrolled",
    "ApiError",
    "AsyncClient",
    "Attachment",
    "Client",
    "Denied",
    "Found",
    "IdentityRequest",
    "Issued",
    "KeyFile",
    "KeyFileUnusable",
    "KeyNeeded",
    "Lookup",
    "Mismatch",
    "NodeUnknown",
    "NotApproved",
    "NotEnrolled",
    "NotFinal",
    "NotPrepared",
    "NotReachable",
    "OwnSecret",
    "Progress",
    "ReleaseFailed",
    "ReleaseInterrupted",
    "Retrieved",
    "RetryPolicy",
    "TagsDisagree",
    "TransactionExpired",
    "UnexpectedAnswer",
    "WrongNetwork",
    "given_items",
    "output",
    "verify",
    "verify_any",
    "verify_state",
]
