"""The rules by which ciphertext is kept, repaired, erased and thrown away."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

ERASURES: Final = "contracts/erasures.py"
CERTIFICATES: Final = "contracts/certificates.py"
KEEPER: Final = "node/services/keeper.py"
CUSTODY: Final = "node/vault/custody.py"
HOLDINGS: Final = "node/vault/holdings.py"
PLACEMENT: Final = "node/vault/placement.py"


def _lacking(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(f"keeping-{name}", rule, file, where, old, new, ("keeping",))


KEEPING: Final = (
    _lacking(
        "holder-asks",
        "only its holder asks for a certificate's erasure",
        ERASURES,
        "request_erasure",
        "if certificate.holder != context.account.account_id:",
        "if False:",
    ),
    _lacking(
        "issuer-decides",
        "only its issuer erases a certificate",
        ERASURES,
        "_own",
        "if certificate.issuer != context.account.account_id:",
        "if False:",
    ),
    _lacking(
        "erased-opens-nothing",
        "an erased certificate is valid for nothing",
        CERTIFICATES,
        "why_not_valid",
        "if certificate.erased_ms:",
        "if False:",
    ),
    _lacking(
        "destruction-of-erased-only",
        "destruction is stated of what is erased",
        ERASURES,
        "state_destruction",
        "if not certificate.erased_ms:",
        "if False:",
    ),
    _lacking(
        "stated-once",
        "a node states destruction once",
        ERASURES,
        "_state_one",
        "if any(stated.node == node for stated in erasure.destructions):",
        "if False:",
    ),
    _lacking(
        "answer-in-time",
        "an answer that does not come in time is put on record only when its time is over and none came",
        ERASURES,
        "remind",
        "erasure.state is ErasureState.REQUESTED and ",
        "",
    ),
    _lacking(
        "enough-copies",
        "a deposit needs so many copies that not all are with the faulty",
        KEEPER,
        "Keeper.place",
        "if held < needed:",
        "if False:",
    ),
    _lacking(
        "damaged-is-repaired",
        "a copy that does not hash to its name is no copy",
        "node/vault/blobs.py",
        "LocalBlobStore.get",
        "if self._suite.hash(domains.BLOB, data) != blob_hash:",
        "if False:",
    ),
    _lacking(
        "erased-is-destroyed",
        "what is erased is destroyed here",
        KEEPER,
        "Keeper._tend",
        "walk.destroyed += await self._custody.destroy(name)",
        "pass",
    ),
    _lacking(
        "stated-after",
        "what is destroyed here is said on the ledger",
        KEEPER,
        "Keeper._tend",
        "erased.append(name)",
        "pass",
    ),
    _lacking(
        "drafts-have-time",
        "a draft stays until its time is over",
        KEEPER,
        "Keeper._sweep",
        "before_ms = begun_ms - UNISSUED_KEPT_MS",
        "before_ms = begun_ms + 1",
    ),
    _lacking(
        "earlier-owns",
        "a blob that two records name stays with the earlier one",
        HOLDINGS,
        "Holdings.only_of",
        "AND other.certificate <> mine.certificate AND other.named = 1 ",
        "AND other.certificate <> mine.certificate AND other.named = 7 ",
    ),
    _lacking(
        "a-note-owns-nothing",
        "what a peer says of a blob keeps nobody's record from being erased",
        HOLDINGS,
        "Holdings.only_of",
        "AND other.named = 1 ",
        "",
    ),
    _lacking(
        "manifest-of-its-own",
        "a manifest that is another record's names nothing here",
        CUSTODY,
        "Custody._named_by",
        "manifest.certificate_id != certificate",
        "False",
    ),
    _lacking(
        "peers-bounded",
        "a peer's drafts are bounded",
        CUSTODY,
        "Custody.require_room",
        "if held >= DRAFT_BYTES_PER_PEER_MAX:",
        "if False:",
    ),
    _lacking(
        "at-least-f-plus-1",
        "no setting goes below f + 1 copies",
        PLACEMENT,
        "copies_wanted",
        "max(wanted, copies_needed(validators))",
        "wanted",
    ),
    _lacking(
        "erased-stays-erased",
        "what became erased while it was written is destroyed again",
        CUSTODY,
        "Custody.keep",
        "await self._destroy(certificate)",
        "pass",
    ),
    _lacking(
        "noted-is-not-swept",
        "what somebody brings while it is swept stays",
        CUSTODY,
        "Custody._delete_unknown",
        "if await self._is_known(blob):",
        "if False:",
    ),
    _lacking(
        "nobody-keeps-anothers-draft",
        "a draft's time begins anew for who brought it, and for nobody else",
        HOLDINGS,
        "Holdings.note",
        "WHERE peer = excluded.peer AND since_ms < excluded.since_ms",
        "WHERE since_ms < excluded.since_ms",
    ),
    _lacking(
        "surplus-goes",
        "what a record's manifest does not name goes in its time",
        KEEPER,
        "Keeper._sweep",
        "walk.destroyed += await self._custody.destroy_surplus(before_ms, DRAFTS_PER_WALK_MAX)",
        "pass",
    ),
)
