/**
 * Votes and quorum certificates: what was signed, who signed, and whether it is a quorum.
 *
 * Rule: a certificate counts only if its bitmap has exactly ceil(n / 8) bytes with unused bits zero, names at
 * least q = n − ⌊(n − 1) / 3⌋ validators, and its signature holds for the message rebuilt from its own fields.
 */

import { bigEndian, concat, equal, toHex, utf8 } from "./bytes.ts";
import { inDomain, POSSESSION, VOTE } from "./domains.ts";
import type { Suite } from "./suite.ts";
import { type QuorumCertificate, type ValidatorSet, VOTE_KINDS } from "./types.ts";

const NO_DIGEST = new Uint8Array(32);

export const quorumSize = (validators: number): number => validators - Math.floor((validators - 1) / 3);

function voteMessage(chainId: Uint8Array, certificate: QuorumCertificate): Uint8Array {
  return inDomain(
    VOTE,
    concat(
      chainId,
      bigEndian(certificate.epoch, 8),
      bigEndian(VOTE_KINDS[certificate.kind], 1),
      bigEndian(certificate.view, 8),
      certificate.digest,
    ),
  );
}

function possessionMessage(network: string, account: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const name = utf8(network);
  return inDomain(POSSESSION, concat(bigEndian(BigInt(name.length), 2), name, account, publicKey));
}

/** The indices of the signers, ascending; undefined unless they are a quorum of this set. */
export function quorumSigners(
  validators: ValidatorSet,
  certificate: QuorumCertificate,
): number[] | undefined {
  const n = validators.validators.length;
  const nullifies = certificate.kind === "nullify";
  if (certificate.epoch !== validators.epoch || nullifies !== equal(certificate.digest, NO_DIGEST))
    return undefined;
  const { signers } = certificate;
  if (signers.length !== Math.ceil(n / 8)) return undefined;
  const indices: number[] = [];
  for (let index = 0; index < 8 * signers.length; index++) {
    if ((((signers[index >> 3] ?? 0) >> (index & 7)) & 1) === 0) continue;
    if (index >= n) return undefined;
    indices.push(index);
  }
  return indices.length >= quorumSize(n) ? indices : undefined;
}

/** Whether the signature of a certificate holds for these signers. */
export function verifyCertificate(
  suite: Suite,
  chainId: Uint8Array,
  validators: ValidatorSet,
  certificate: QuorumCertificate,
  signers: readonly number[],
): boolean {
  const keys = signers.map((index) => validators.validators[index]?.vote_key ?? NO_DIGEST);
  return suite.verifyVotes(keys, voteMessage(chainId, certificate), certificate.signature);
}

/** Why a set may not vote: somebody in it twice, or a key that is not proven to be held; empty where it may. */
export function faultOfValidators(suite: Suite, network: string, { validators }: ValidatorSet): string {
  const distinct = (values: readonly Uint8Array[]): boolean =>
    new Set(values.map(toHex)).size === values.length;
  if (!distinct(validators.map((validator) => validator.account))) return "a validator account occurs twice";
  if (!distinct(validators.map((validator) => validator.vote_key))) return "a vote key occurs twice";
  const unproven = validators.find(
    ({ account, vote_key, possession }) =>
      !suite.verifyPossession(vote_key, possessionMessage(network, account, vote_key), possession),
  );
  return unproven ? `possession of the vote key of ${toHex(unproven.account)} is not proven` : "";
}
