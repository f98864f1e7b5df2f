"""What operators can decide about the network itself: who votes, who reads along, which protocol version holds.

Rule: a structure, no behaviour; `membership.py` and `protocol_versions.py` carry out what is described here, and
`governance.py` asks for the vote. Keys are public; whoever proposes has checked where they come from.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.types import VALIDATORS_MAX, AccountId, Count, GenesisOperator, PublicKey, Signature, Wire

# A restart of the whole network gives every validator another key at once (docs/archive.md).
CHANGES_PER_ACTION_MAX: Final = VALIDATORS_MAX


class AddValidator(Wire, tag="add_validator"):
    """A new operator with its node and its vote.

    Attributes:
        operator: account, keys (roles admin and node), address, certificate, wrap key. A fresh account, as at genesis; or
            that of a read node with the same name and keys, which then follows the chain already when its vote begins to count.
        vote_key, possession: of its consensus votes, proven for the network's name and this account.
    """

    operator: GenesisOperator
    vote_key: PublicKey
    possession: Signature


class RemoveValidator(Wire, tag="remove_validator"):
    """End an operator's membership: no vote in consensus or governance, nothing that its keys sign is carried out.

    Its account, and all that stands under it, stays.
    """

    account: AccountId


class RotateVoteKey(Wire, tag="rotate_vote_key"):
    """Another vote key for a validator; the old one never comes back."""

    account: AccountId
    vote_key: PublicKey
    possession: Signature


ValidatorChange = AddValidator | RemoveValidator | RotateVoteKey


class ChangeValidators(Wire, tag="change_validators"):
    """The next epoch's set: the changes one after the other, each account once. A replacement is one action."""

    changes: Annotated[tuple[ValidatorChange, ...], Meta(min_length=1, max_length=CHANGES_PER_ACTION_MAX)]


class AdmitReader(Wire, tag="admit_reader"):
    """A read node (市县数据节点): follows the chain and serves its API, without any vote.

    `reader` has a key of role node, perhaps one of role admin.
    """

    reader: GenesisOperator


class RemoveNode(Wire, tag="remove_node"):
    """Peers no longer talk to this read node, and nothing that its keys sign is carried out."""

    account: AccountId


class SetProtocolVersion(Wire, tag="set_protocol_version"):
    """Blocks from `height` on have protocol version `version`, which is the present one and one."""

    version: Count
    height: Count


class WithdrawProtocolVersion(Wire, tag="withdraw_protocol_version"):
    """The version that was set and has not come into force does not."""

    version: Count


MembershipAction = ChangeValidators | AdmitReader | RemoveNode | SetProtocolVersion | WithdrawProtocolVersion
