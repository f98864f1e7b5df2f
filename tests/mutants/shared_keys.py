"""The rules by which operators make, renew and keep the keys that they hold together."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

CONTRACT: Final = "contracts/shared_keys.py"
VERSIONS: Final = "contracts/shared_key_versions.py"
MACHINE: Final = "contracts/shared_key_rounds.py"
ROUNDS: Final = "node/holders/rounds.py"
KEEPING: Final = "node/holders/keeping.py"
PIECES: Final = "node/holders/pieces.py"
PAIRS: Final = "node/holders/pairs.py"
FILES: Final = "node/holders/share_file.py"
EXPORTS: Final = "node/holders/exports.py"


def _lacking(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(f"shared-key-{name}", rule, file, where, old, new, ("shared-keys", "shares"))


SHARED_KEYS: Final = (
    _lacking(
        "degree",
        "commitments have the degree of the threshold",
        CONTRACT,
        "deal",
        "dealing.decode_commitments(group, args.commitments, one.threshold)",
        "dealing.decode_commitments(group, args.commitments, len(args.commitments))",
    ),
    _lacking(
        "own-share",
        "a resharer deals its own share",
        CONTRACT,
        "deal",
        "args.commitments[0] != key.keys.share_keys[dealer - 1]",
        "not args.commitments",
    ),
    _lacking(
        "once",
        "everybody acts once in a round",
        CONTRACT,
        "_once",
        "if who in taken:",
        "if who < 0:",
    ),
    _lacking(
        "late",
        "what comes after the deadline counts no more",
        CONTRACT,
        "_round",
        "one.until_ms != 0 and context.time_ms >= one.until_ms",
        "one.until_ms < 0",
    ),
    _lacking(
        "complaints-capped",
        "a dealer is out when more complain than can all be wrong",
        CONTRACT,
        "_without_excluded",
        "if count > allowed",
        "if count > allowed + len(one.holders)",
    ),
    _lacking(
        "complaints-not-too-few",
        "a dealer is not out for as many complaints as can all be wrong",
        CONTRACT,
        "_without_excluded",
        "if count > allowed",
        "if count >= allowed",
    ),
    _lacking(
        "answer-fits",
        "an answer is the pair that was committed to",
        CONTRACT,
        "_require_fitting",
        "if scalar is None or not fits:",
        "if scalar is None:",
    ),
    _lacking(
        "dispute-proven",
        "a dispute proves that what was revealed does not fit",
        CONTRACT,
        "dispute",
        "if dealing.check_value(group, sums.decoded(group, published.revealed), holder, value):",
        "if value == 0:",
    ),
    _lacking(
        "guilty-out",
        "who leaves a complaint unanswered is out",
        MACHINE,
        "_moved",
        "excluded=tuple(sorted({*one.excluded, *guilty}))",
        "excluded=one.excluded",
    ),
    _lacking(
        "silent-opened",
        "a qualified dealer that reveals nothing is opened, not left out",
        MACHINE,
        "_moved",
        "replace(one, disputed=silent)",
        "replace(one, qualified=one.revealed)",
    ),
    _lacking(
        "enough-holders",
        "no key without the threshold of holders who keep their shares",
        MACHINE,
        "_moved",
        "if len(one.checked) < one.threshold:",
        "if not one.checked:",
    ),
    _lacking(
        "holders-remain",
        "a change of validators leaves enough holders",
        VERSIONS,
        "check_validators",
        "if staying < key.keys.threshold:",
        "if staying < 0:",
    ),
    _lacking(
        "one-move-at-a-time",
        "validators do not change while shares follow the last change",
        VERSIONS,
        "check_validators",
        "one.renewal > 0 and set(one.holders) != set(key.holders)",
        "one.renewal < 0",
    ),
    _lacking(
        "vault-lasts",
        "the vault's key is neither replaced nor destroyed",
        VERSIONS,
        "_require_replaced",
        "if purpose not in REPLACED:",
        "if purpose not in KeyPurpose:",
    ),
    _lacking(
        "in-use-stays",
        "a version in use is not destroyed",
        VERSIONS,
        "destroy",
        "if SHARED_KEYS_IN_USE.get(context.state, purpose) == version:",
        "if version == 0:",
    ),
    _lacking(
        "durable-first",
        "nothing is sent about a round before its seed is durable",
        "node/holders/round_files.py",
        "RoundFiles.keep",
        "self._files.write(_name(memory.round_id), codec.encode(memory))",
        "codec.encode(memory)",
    ),
    _lacking(
        "for-its-holder",
        "a pair goes to the holder that it is for",
        PIECES,
        "PieceServer.pair_for",
        "holder, dealer = number_of(holder_account, one.holders),",
        "holder, dealer = number_of(holder_account, one.holders) or 1,",
    ),
    _lacking(
        "final-first",
        "a pair is given once the commitments are final",
        PIECES,
        "PieceServer.pair_for",
        "if dealer not in one.dealt or memory is None:",
        "if memory is None:",
    ),
    _lacking(
        "same-seed",
        "a dealer that lost its seed gives nothing",
        PAIRS,
        "polynomials",
        "dealt if not published or dealt.last_commitment() == published[-1] else None",
        "dealt if published is not None else None",
    ),
    _lacking(
        "old-destroyed",
        "old shares go when the new one is there",
        KEEPING,
        "about_key",
        "held.renewal <= key.renewal and held not in fitting",
        "held.renewal < 0",
    ),
    _lacking(
        "fits-the-ledger",
        "a share that does not fit the ledger is none",
        KEEPING,
        "fits_own",
        "return group.generator.times(secret).encode() == share.keys.share_keys[share.holder - 1]",
        "return bool(group.generator.times(secret).encode())",
    ),
    _lacking(
        "overwritten",
        "what a share was sealed in is overwritten",
        FILES,
        "SealedFolder.write",
        "supersede(waiting, path)",
        "waiting.replace(path)",
    ),
    _lacking(
        "export-is-what-it-says",
        "what is in an exported file is what it says, and fits its public half",
        EXPORTS,
        "open_export",
        "if not same_shares(file, held.shares) or not all(fits_own(one) for one in held.shares):",
        "if not same_shares(file, held.shares):",
    ),
)
