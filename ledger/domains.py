"""Every hashing and signing context, one constant each, so that bytes made for one purpose never serve another."""

from typing import Final, NewType

Domain = NewType("Domain", bytes)

GENESIS: Final = Domain(b"zhenglian/genesis/1")
TRANSACTION_ID: Final = Domain(b"zhenglian/transaction-id/1")
TRANSACTION_SIGN: Final = Domain(b"zhenglian/transaction-sign/1")
BLOCK: Final = Domain(b"zhenglian/block/1")
VALIDATORS: Final = Domain(b"zhenglian/validators/1")
VOTE: Final = Domain(b"zhenglian/vote/1")
POSSESSION: Final = Domain(b"zhenglian/possession/1")
STATE_KEY: Final = Domain(b"zhenglian/state-key/1")
STATE_LEAF: Final = Domain(b"zhenglian/state-leaf/1")
STATE_NODE: Final = Domain(b"zhenglian/state-node/1")
FIELD: Final = Domain(b"zhenglian/field/1")
ATTACHMENT: Final = Domain(b"zhenglian/attachment/1")
GRANT_ID: Final = Domain(b"zhenglian/grant-id/1")
RELEASE_ID: Final = Domain(b"zhenglian/release-id/1")
TRACE_ID: Final = Domain(b"zhenglian/trace-id/1")
PROPOSAL_ID: Final = Domain(b"zhenglian/proposal-id/1")
KEY_ID: Final = Domain(b"zhenglian/key-id/1")
BLOB: Final = Domain(b"zhenglian/blob/1")
PERSON_TAG: Final = Domain(b"zhenglian/person-tag/1")
RECORD_PART: Final = Domain(b"zhenglian/record-part/1")
MARK_COMMITMENT: Final = Domain(b"zhenglian/mark-commitment/1")
SESSION: Final = Domain(b"zhenglian/session/1")
HANDSHAKE: Final = Domain(b"zhenglian/handshake/1")
