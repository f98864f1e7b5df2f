"""The rules of agent keys and of rows that go up once."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

AGENTS: Final = "contracts/agents.py"
METHODS: Final = "contracts/methods.py"
RECEIVING: Final = "node/deposits/receiving.py"
OFFICER_ROWS: Final = "node/deposits/officer_rows.py"
WORKING: Final = "node/deposits/working.py"
CHECKS: Final = "node/filechild.py"
NORMALISING: Final = "clients/zhenglian/rows/normalising.py"
COLUMNS: Final = "clients/zhenglian/rows/columns.py"
JSONS: Final = "clients/zhenglian/tables/jsons.py"
UPLOADING: Final = "clients/zhenglian/plans/bulk_upload.py"


def _deposits(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(name, rule, file, where, old, new, ("deposits",))


DEPOSITS: Final = (
    _deposits(
        "agent-names-officer",
        "an agent names an officer of its own organisation who may act",
        AGENTS,
        "acting_officer",
        "if key is None or key.role is not KeyRole.OFFICER or not usable(key, context.time_ms):",
        "if key is None:",
    ),
    _deposits(
        "officer-names-nobody",
        "an officer who signs himself names nobody else",
        AGENTS,
        "acting_officer",
        "if named:",
        "if False:",
    ),
    _deposits(
        "row-known-on-ledger",
        "a row that is on the ledger is not sent again",
        WORKING,
        "Working._on_ledger",
        "if self._chain.records.certificate(row.certificate_id) is None:",
        "if True:",
    ),
    _deposits(
        "upload-goes-on-where-durable",
        "an upload goes on where it is durable",
        RECEIVING,
        "Receiving.append",
        "if offset != job.received_bytes:",
        "if False:",
    ),
    _deposits(
        "same-content-under-a-key",
        "one idempotency key is one content",
        RECEIVING,
        "Receiving.take_whole",
        "if self._contents.tag(digest.digest()) != job.content_tag:",
        "if False:",
    ),
    _deposits(
        "jobs-of-one-organisation",
        "a job is its organisation's",
        RECEIVING,
        "own_job",
        "if found is None or found.account != caller.account:",
        "if found is None:",
    ),
    _deposits(
        "signed-is-what-was-drafted",
        "a signature is taken for the row's own draft only",
        OFFICER_ROWS,
        "_require_issue",
        "if (args.certificate_id, args.commitment_root, args.payload_hash) != (",
        "if False and (args.certificate_id, args.commitment_root, args.payload_hash) != (",
    ),
    _deposits(
        "no-script-in-a-pdf",
        "a PDF that runs something is refused",
        CHECKS,
        "_look",
        'or str(item.get("/S", "")) in _RUNS',
        "or False",
    ),
    _deposits(
        "nothing-is-rounded",
        "no decimal is rounded",
        NORMALISING,
        "decimal_value",
        "if number == round(number, decimals)",
        "if True",
    ),
    _deposits(
        "no-column-is-guessed",
        "a column of no field is refused",
        COLUMNS,
        "match_columns",
        "raise _unknown(spec, column, wanted.get(name, column), known)",
        "continue",
    ),
    _deposits(
        "no-member-twice",
        "JSON with a member twice is refused",
        JSONS,
        "_members",
        "if len(found) != len(pairs):",
        "if False:",
    ),
    _deposits(
        "only-files-of-the-folder",
        "a table names files of its own folder only",
        UPLOADING,
        "Upload._attachment",
        "or Path(file).name != file",
        "or False",
    ),
    _deposits(
        "sealed-anew",
        "a row that was sealed long ago is sealed anew before it goes up",
        WORKING,
        "Working.keeps",
        "return draft is not None and self._clock_ms() <= draft.sealed_ms + SEALED_FOR_MS",
        "return draft is not None",
    ),
    _deposits(
        "old-signature",
        "a signature for a row that was sealed long ago is not taken",
        OFFICER_ROWS,
        "OfficerRows.take_signed",
        "if not self._working.keeps(row.draft):",
        "if False:",
    ),
    _deposits(
        "same-key-one-request",
        "of two who ask under one key at once, both are given the first one's request",
        "node/deposits/store.py",
        "JobStore.put_fetch",
        "if found is not None and found[1] != instead_of:",
        "if False:",
    ),
)
