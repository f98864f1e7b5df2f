"""The rules of archives, and of restarting a network from one."""

from __future__ import annotations

from typing import Final

from tests.mutants.naming import one

_FORMAT: Final = "ledger/archive.py"
_CHECK: Final = "ledger/archive_check.py"
_IMPORT: Final = "node/archive_import.py"
_PAPERS: Final = "node/restart_papers.py"
_MEMORY: Final = "node/restart_memory.py"
_RESTART: Final = "node/restart.py"
_ARCHIVE: Final = ("archive",)
_BY_HAND: Final = ("restart",)

ARCHIVES: Final = (
    one(
        "archive-link",
        "a frame has the link of its bytes",
        _FORMAT,
        "ArchiveReader._follow",
        "link != expected",
        "False",
        _ARCHIVE,
    ),
    one(
        "archive-frame-bound",
        "a length is bounded before it is read",
        _FORMAT,
        "ArchiveReader._pair",
        "if size > payload_bytes_max:",
        "if False:",
        _ARCHIVE,
    ),
    one(
        "archive-nothing-behind",
        "nothing follows the closing frame",
        _FORMAT,
        "ArchiveReader.frames_after_opening",
        "if self._read(1):",
        "if False:",
        _ARCHIVE,
    ),
    one(
        "archive-genesis",
        "genesis is the one of the chain id",
        _CHECK,
        "ArchiveCheck._take_genesis",
        "if chain_id(self._suite, genesis) != opening.chain_id:",
        "if False:",
        _ARCHIVE,
    ),
    one(
        "archive-trusted-set",
        "the set of the trusted epoch is the trusted set",
        _CHECK,
        "ArchiveCheck._now_trusts",
        "given.validators != trust.validators",
        "False",
        _ARCHIVE,
    ),
    one(
        "archive-parent",
        "a block is the child of the one before",
        _CHECK,
        "ArchiveCheck._take_block",
        "header.parent != self._head_digest",
        "False",
        _ARCHIVE,
    ),
    one(
        "archive-results",
        "results are those of the header",
        _CHECK,
        "ArchiveCheck._check_content",
        "if results_root(suite, frame.results) != block.header.results_root:",
        "if False:",
        _ARCHIVE,
    ),
    one(
        "archive-epoch-end",
        "an epoch's end stands behind its seal",
        _CHECK,
        "ArchiveCheck._take_epoch",
        "self._seal != change.header and not before_blocks",
        "False",
        _ARCHIVE,
    ),
    one(
        "archive-blob",
        "ciphertext hashes to its name",
        _CHECK,
        "ArchiveCheck._take_blob",
        "if self._suite.hash(BLOB, frame.data) != frame.name:",
        "if False:",
        _ARCHIVE,
    ),
    one(
        "archive-signature",
        "the manifest is signed",
        _CHECK,
        "ArchiveCheck._close",
        "if not signature_holds(self._suite, frame):",
        "if False:",
        _ARCHIVE,
    ),
    one(
        "import-decides-votes-first",
        "the journal is there before the store has blocks",
        _IMPORT,
        "_Importing._begin",
        "self._decide_votes(self._store.height if self._store is not None else 0)",
        "pass",
        _ARCHIVE,
    ),
    one(
        "import-executes",
        "a block is executed again",
        _IMPORT,
        "Replay.add",
        "if not self._execution.verify(finalized.block, digest):",
        "if False:",
        _ARCHIVE,
    ),
)

RESTARTS: Final = (
    one(
        "restart-offer-signed",
        "an offer is signed by its account",
        _PAPERS,
        "check_offer",
        "or not signed",
        "",
        _BY_HAND,
    ),
    one(
        "restart-same-base",
        "all go on from one block",
        _PAPERS,
        "check_offer",
        "if body.base != base:",
        "if False:",
        _BY_HAND,
    ),
    one(
        "restart-quorum-of-offers",
        "a quorum offers keys",
        _PAPERS,
        "check_plan",
        "if len(places) < needed:",
        "if False:",
        _BY_HAND,
    ),
    one(
        "restart-view",
        "the block is of the view that no consensus reaches",
        _PAPERS,
        "check_block",
        "header.view == RESTART_VIEW and",
        "",
        _BY_HAND,
    ),
    one(
        "restart-one-vote",
        "a key votes for one restart in an epoch",
        _MEMORY,
        "note_vote",
        "if note.epoch >= epoch and note.digest != digest.hex():",
        "if False:",
        _BY_HAND,
    ),
    one(
        "restart-later-block",
        "who knows of a later final block takes no part",
        _MEMORY,
        "refuse_if_later_is_known",
        "if final and (certificate.epoch, certificate.view) > known:",
        "if False:",
        _BY_HAND,
    ),
    one(
        "restart-executes",
        "who votes has executed the block",
        _RESTART,
        "_Part._give_vote",
        "if not self._execution(Mempool(PoolLimits())).verify(block, digest):",
        "if False:",
        _BY_HAND,
    ),
    one(
        "restart-final",
        "only a final block goes into the ledger",
        _RESTART,
        "_Part._apply",
        "check_finality(self._suite, trust, final.block.header, final.path, final.certificate)",
        "pass",
        _BY_HAND,
    ),
)
