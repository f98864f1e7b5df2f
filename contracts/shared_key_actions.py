"""What operators decide about shared keys by vote; a part of `calls.Action`.

Rule: a version that was destroyed never comes back.
"""

from __future__ import annotations

from contracts.shared_key_records import KeyPurpose
from ledger.types import Count, Wire


class BeginSharedKey(Wire, tag="begin_shared_key"):
    """Make another version of a key, beside the one in use."""

    purpose: KeyPurpose
    version: Count


class UseSharedKey(Wire, tag="use_shared_key"):
    """What is new uses this version from now on."""

    purpose: KeyPurpose
    version: Count


class DestroySharedKey(Wire, tag="destroy_shared_key"):
    """Forget a version that is out of use: every holder destroys its share, for good."""

    purpose: KeyPurpose
    version: Count


SharedKeyAction = BeginSharedKey | UseSharedKey | DestroySharedKey
