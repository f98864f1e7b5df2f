/**
 * From a validator set that is trusted to a block that is final, in its epoch or a later one.
 *
 * Rule: pure logic over what the caller holds; no clock, no network, no state. Every check fails with its own
 * code, in the order of the Python verifier (`ledger/light.py`, `ledger/epochs.py`).
 */

import { equal } from "./bytes.ts";
import { BLOCK, VALIDATORS } from "./domains.ts";
import { emptyRoot } from "./merkle.ts";
import { faultOfValidators, quorumSigners, verifyCertificate } from "./quorum.ts";
import { encode } from "./schema.ts";
import type { Suite } from "./suite.ts";
import {
  type EpochChange,
  Header,
  PATH_HEADERS_MAX,
  type QuorumCertificate,
  type Trust,
  ValidatorSet,
} from "./types.ts";
import { rejected } from "./verdicts.ts";

const PROTOCOL_VERSION_MAX = 1n;
const TRUST_VERSION = 1n;

/** The 32-byte identity of a block. */
export const blockDigest = (suite: Suite, header: Header): Uint8Array =>
  suite.hash(BLOCK, encode(Header, header));

const validatorsHash = (suite: Suite, validators: ValidatorSet): Uint8Array =>
  suite.hash(VALIDATORS, encode(ValidatorSet, validators));

const isSeal = (header: Header): boolean => !equal(header.next_validators_hash, header.validators_hash);

/** Whether a trust point is sound in itself: known version, distinct validators, every key proven. */
export function checkTrust(suite: Suite, trust: Trust): void {
  if (trust.version !== TRUST_VERSION) throw rejected("version", `trust ${trust.version}`);
  const fault = faultOfValidators(suite, trust.network, trust.validators);
  if (fault) throw rejected("trust_keys", fault);
}

function checkHeader(trust: Trust, trustedValidators: Uint8Array, header: Header): void {
  if (header.version < 1n || header.version > PROTOCOL_VERSION_MAX) {
    throw rejected("version", `header ${header.version}`);
  }
  if (!equal(header.chain_id, trust.chain_id)) throw rejected("chain");
  if (header.epoch !== trust.validators.epoch) {
    throw rejected("epoch", `${header.epoch}, trusted is ${trust.validators.epoch}`);
  }
  if (!equal(header.validators_hash, trustedValidators)) throw rejected("validators");
}

function checkLink(suite: Suite, parent: Header, child: Header): void {
  const place = `above height ${parent.height}`;
  if (!equal(child.parent, blockDigest(suite, parent))) throw rejected("path_not_linked", place);
  const rise = isSeal(parent) ? 0n : 1n;
  if (child.height !== parent.height + rise || child.view <= parent.view || child.time_ms <= parent.time_ms) {
    throw rejected("path_order", place);
  }
  if (isSeal(parent) && !fills(suite, parent, child)) throw rejected("path_filler", place);
}

/** Whether the child of a seal, or of a filler above it, changes nothing and carries nothing. */
function fills(suite: Suite, seal: Header, child: Header): boolean {
  const nothing = emptyRoot(suite.digest);
  return (
    child.version === seal.version &&
    equal(child.state_root, seal.state_root) &&
    equal(child.next_validators_hash, seal.next_validators_hash) &&
    equal(child.transactions_root, nothing) &&
    equal(child.results_root, nothing)
  );
}

/** Check that the block of `header` is final for who trusts `trust`; gives the signers' indices. */
export function checkFinality(
  suite: Suite,
  trust: Trust,
  header: Header,
  path: readonly Header[],
  certificate: QuorumCertificate,
): readonly number[] {
  if (path.length > PATH_HEADERS_MAX) {
    throw rejected("path_too_long", `${path.length} headers, at most ${PATH_HEADERS_MAX}`);
  }
  if (certificate.kind !== "finalize") throw rejected("certificate_kind");
  const trustedValidators = validatorsHash(suite, trust.validators);
  checkHeader(trust, trustedValidators, header);
  let last = header;
  for (const child of path) {
    checkHeader(trust, trustedValidators, child);
    checkLink(suite, last, child);
    last = child;
  }
  if (certificate.epoch !== last.epoch || certificate.view !== last.view) {
    throw rejected("certificate_subject", `view ${certificate.view}, block of view ${last.view}`);
  }
  if (!equal(certificate.digest, blockDigest(suite, last))) throw rejected("certificate_subject");
  const signers = quorumSigners(trust.validators, certificate);
  if (signers === undefined) throw rejected("certificate_signers");
  if (!verifyCertificate(suite, trust.chain_id, trust.validators, certificate, signers)) {
    throw rejected("certificate_signature");
  }
  return signers;
}

/** The trust point of the next epoch. */
function advanceTrust(suite: Suite, trust: Trust, change: EpochChange): Trust {
  checkFinality(suite, trust, change.header, change.path, change.certificate);
  if (!isSeal(change.header)) throw rejected("seal", `height ${change.header.height}`);
  if (!equal(validatorsHash(suite, change.validators), change.header.next_validators_hash)) {
    throw rejected("next_validators");
  }
  if (change.validators.epoch !== trust.validators.epoch + 1n) {
    throw rejected("next_epoch", `${change.validators.epoch} after ${trust.validators.epoch}`);
  }
  const fault = faultOfValidators(suite, trust.network, change.validators);
  if (fault) throw rejected("next_keys", fault);
  return { ...trust, validators: change.validators };
}

/** The trust point of a later epoch, by way of every change between; as far as the changes lead. */
export function trustAt(suite: Suite, trust: Trust, changes: readonly EpochChange[], epoch: bigint): Trust {
  changes.forEach((after, at) => {
    const before = changes[at - 1];
    if (before !== undefined && after.header.epoch !== before.header.epoch + 1n) {
      throw rejected("epoch_order", `${after.header.epoch} after ${before.header.epoch}`);
    }
  });
  let reached = trust;
  for (const change of changes) {
    if (reached.validators.epoch <= change.header.epoch && change.header.epoch < epoch) {
      reached = advanceTrust(suite, reached, change);
    }
  }
  return reached;
}

/** Check finality of a block of the trusted epoch or a later one; gives its epoch's trust point and the signers. */
export function checkFinalitySince(
  suite: Suite,
  trust: Trust,
  changes: readonly EpochChange[],
  header: Header,
  path: readonly Header[],
  certificate: QuorumCertificate,
): { trust: Trust; signers: readonly number[] } {
  const reached = trustAt(suite, trust, changes, header.epoch);
  if (header.epoch > reached.validators.epoch) {
    const needed = `${reached.validators.epoch} to ${header.epoch}`;
    throw rejected("epoch", `the changes from epoch ${needed} are needed to verify it`);
  }
  return { trust: reached, signers: checkFinality(suite, reached, header, path, certificate) };
}
