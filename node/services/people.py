"""Finding a person's account by identity number, through the directory's tag.

Rule: the number is checked, turned into a tag and forgotten; it is never stored, logged or sent to a peer.
"""

from __future__ import annotations

import structlog

from contracts.records import AccountKind
from contracts.state import PERSON_TAGS, StateReader
from node.services.ports import Caller, PersonTag
from node.vault.directory import PersonDirectory
from zhenglian.identifiers import check_identity_number

log = structlog.get_logger()


class People:
    """Implements the port `People`."""

    def __init__(self, directory: PersonDirectory, state: StateReader) -> None:
        self._directory = directory
        self._state = state

    async def lookup(self, identity_number: str, caller: Caller) -> PersonTag:
        check_identity_number(identity_number)
        version, tag = await self._directory.tag(identity_number)
        account = PERSON_TAGS.get(self._state, (version, tag))
        log.info(
            "person looked up",
            account=caller.account.hex(),
            key_id=caller.key_id.hex(),
            kind=AccountKind(caller.kind).value,
            found=account is not None,
        )
        return PersonTag(version=version, tag=tag, account=account)
