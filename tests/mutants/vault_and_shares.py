"""The rules by which key shares are asked for and given, and by which a release goes from state to state."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

PERMITS: Final = "node/vault/permits.py"
OPENING: Final = "node/vault/opening.py"
RECORDS: Final = "node/vault/records.py"
KEYS: Final = "node/vault/keys.py"
SERVER: Final = "node/holders/server.py"
COLLECTOR: Final = "node/holders/collector.py"
WORK: Final = "node/holders/work.py"
RELEASES: Final = "contracts/releases.py"
PERFORMED: Final = "node/services/releases.py"


def _lacking(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    suite = "releases" if file in {RELEASES, PERFORMED} else "vault"
    return one(f"vault-{name}", rule, file, where, old, new, (suite,))


VAULT: Final = (
    _lacking(
        "sender-is-named",
        "a share is for the node that the release names",
        PERMITS,
        "ReleasePermit._allowed",
        "if release.released_by != sender:",
        "if False:",
    ),
    _lacking(
        "part-is-named",
        "a share is for a part that the release names",
        PERMITS,
        "_PartsPermit.permit",
        "if not allowed.issuperset(asked.parts):",
        "if False:",
    ),
    _lacking(
        "release-is-open",
        "a release that is over opens nothing",
        PERMITS,
        "ReleasePermit._refusal",
        "if release.state not in OPENABLE:",
        "if False:",
    ),
    _lacking(
        "release-in-time",
        "a release past its deadline or window opens nothing",
        PERMITS,
        "ReleasePermit._refusal",
        "if time_ms >= ends_ms:",
        "if False:",
    ),
    _lacking(
        "grant-holds",
        "a pause or revocation that a holder has seen refuses",
        PERMITS,
        "ReleasePermit._grant_refusal",
        "if held not in {GrantState.ACTIVE, GrantState.EXHAUSTED}:",
        "if False:",
    ),
    _lacking(
        "grant-still-opens",
        "a holder judges the outputs as the contract would now",
        PERMITS,
        "ReleasePermit._grant_refusal",
        "check_data(self._replica.reading(), in_use, release.outputs, time_ms)",
        "pass",
    ),
    _lacking(
        "manifest-on-chain",
        "only a manifest that the ledger names is believed",
        PERMITS,
        "_PartsPermit._manifest",
        "if blob_hash(self._suite, data) != certificate.payload_hash or manifest.version != MANIFEST_VERSION:",
        "if False:",
    ),
    _lacking(
        "erased-opens-nothing",
        "an erased certificate opens for no trace",
        PERMITS,
        "_PartsPermit._manifest",
        "if certificate.erased_ms:",
        "if False:",
    ),
    _lacking(
        "header-of-part",
        "a header counts for the part that it was made for",
        PERMITS,
        "_PartsPermit.permit",
        "if len(sound) != len(bases):",
        "if len(sound) != len(bases) and len(bases) > 1:",
    ),
    _lacking(
        "trace-names-certificate",
        "a trace opens the certificates that it names",
        PERMITS,
        "TracePermit._handed_out",
        "if part.certificate_id in named",
        "if part.certificate_id",
    ),
    _lacking(
        "trace-of-what-left",
        "a trace opens what ever left",
        PERMITS,
        "TracePermit._handed_out",
        "if release is None or release.state not in BYTES_EXISTED:",
        "if release is None:",
    ),
    _lacking(
        "label-names-network",
        "a header of another network is refused",
        KEYS,
        "part_label",
        "codec.encode((chain_id, part))",
        "codec.encode((b'', part))",
    ),
    _lacking(
        "leaf-recomputed",
        "what was opened is what the issuer signed for",
        RECORDS,
        "RecordReader._record",
        "if record_root(self._suite, manifest) != certificate.commitment_root:",
        "if False:",
    ),
    _lacking(
        "batches-bounded",
        "an ask has so many parts at most",
        OPENING,
        "batches",
        "len(batch) >= BASES_PER_ASK_MAX or",
        "",
    ),
    _lacking(
        "stale-renewal",
        "a share of another renewal is not given",
        SERVER,
        "ShareServer._use",
        "if key.renewal != ask.renewal:",
        "if False:",
    ),
    _lacking(
        "asks-bounded",
        "one peer has so many asks under way",
        SERVER,
        "ShareServer._counted",
        "self._serving[sender] >= ASKS_PER_PEER_MAX or",
        "",
    ),
    _lacking(
        "shares-checked",
        "a share counts with its proof",
        WORK,
        "ShareWork.check",
        "return check_share(self._group, self._hash, key.holders, *pair, permitted.context)",
        "return self._group.decode(pair[1].element)",
    ),
    _lacking(
        "one-share-each",
        "a holder's shares are its own, one for each element",
        WORK,
        "ShareWork.check",
        "if len(shares) != len(permitted.bases) or any(share.holder != holder for share in shares):",
        "if len(shares) != len(permitted.bases):",
    ),
    _lacking(
        "renewals-never-mix",
        "shares of different renewals are not combined",
        COLLECTOR,
        "Collector._gather",
        "if key.renewal != progress.key.renewal:",
        "if False:",
    ),
    _lacking(
        "liar-named",
        "a bad share names its node",
        COLLECTOR,
        "Collector._accuse",
        "self._bad_share(account)",
        "pass",
    ),
    _lacking(
        "refusals-end-it",
        "more refusals than the threshold can bear end a collection",
        COLLECTOR,
        "Collector._gather",
        "if progress.hopeless:",
        "if False:",
    ),
    _lacking(
        "closed-by-window",
        "a prepared release closes when its window ends",
        RELEASES,
        "end_overdue",
        "elif release.state is ReleaseState.PREPARED and context.time_ms >= release.window_ends_ms:",
        "elif False:",
    ),
    _lacking(
        "window-for-acknowledgement",
        "nobody acknowledges after the window",
        RELEASES,
        "acknowledge",
        "if context.time_ms >= release.window_ends_ms:",
        "if False:",
    ),
    _lacking(
        "made-again-is-the-same",
        "a lost file is made again byte for byte or not at all",
        PERFORMED,
        "Releases._kept",
        "if data is not None and self._suite.digest(data) != release.files[index].file_hash:",
        "if False:",
    ),
    _lacking(
        "failed-with-the-reason",
        "a release fails with the reason for which the holders refused",
        PERFORMED,
        "Releases._perform",
        "await self._fail(release_id, error.reason, error)",
        "await self._fail(release_id, error.code, error)",
    ),
    _lacking(
        "closed-file-destroyed",
        "what is closed is destroyed",
        PERFORMED,
        "Releases.block_finalized",
        'elif event.kind == "releases.closed":',
        "elif False:",
    ),
    _lacking(
        "looks-again",
        "a share that waited leaves only if this replica still allows it",
        PERMITS,
        "_PartsPermit.permit",
        "if self._look() != height:",
        "if False:",
    ),
    _lacking(
        "asks-again",
        "the server looks once more before a share leaves",
        SERVER,
        "ShareServer._use",
        "permitted.again()\n        self._log(sender, ask, len(shares))",
        "self._log(sender, ask, len(shares))",
    ),
)
