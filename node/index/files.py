"""Files on the ledger: the hashes by which a release is found from a file that it handed out.

Rule: a hash is of the bytes that left, as the releasing node wrote it down before they did.
"""

from __future__ import annotations

from typing import Final

from contracts.calls import ReleasesPrepare
from ledger import codec
from ledger.errors import DecodeError
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call

PREPARED: Final = "releases.prepared"


def file_hashes(call: Call) -> tuple[bytes, ...]:
    """The hashes of the files that a `releases.prepare` names; none of any other call."""
    if (call.contract, call.method) != ("releases", "prepare"):
        return ()
    try:
        args = codec.decode(call.args, ReleasesPrepare, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
    except DecodeError:
        return ()
    return tuple(dict.fromkeys(file.file_hash for file in args.files))
