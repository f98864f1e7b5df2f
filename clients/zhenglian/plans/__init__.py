"""What the SDK can do, one file per subject; each operation is one plan, shared by both clients."""

from zhenglian.plans import (
    certificates,
    chain,
    governance,
    grants,
    people,
    proofs,
    recognitions,
    regions,
    releases,
    traces,
    transactions,
)

__all__ = [
    "certificates",
    "chain",
    "governance",
    "grants",
    "people",
    "proofs",
    "recognitions",
    "regions",
    "releases",
    "traces",
    "transactions",
]
