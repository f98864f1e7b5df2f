/**
 * The seam: what a verifier asks of cryptography, under the name that the trust point carries.
 *
 * Rule: every verdict is a boolean, for whatever bytes; which signatures hold is a rule of consensus, so it is
 * the same as in Python (`ledger/crypto/`), case by case in the shared vectors.
 */

import { bigEndian, concat, toHex } from "./bytes.ts";
import { intl } from "./suite-intl.ts";
import { sm } from "./suite-sm.ts";
import { UnknownSuite } from "./verdicts.ts";

export interface Suite {
  readonly name: string;
  /** Scheme that an account key names. */
  readonly accountScheme: string;
  /** Plain 32-byte hash. */
  digest(data: Uint8Array): Uint8Array;
  /** 32-byte hash of `len(domain) ‖ domain ‖ data`. */
  hash(domain: Uint8Array, data: Uint8Array): Uint8Array;
  /** Whether an account key signed `message` in `domain`. */
  verifyAccount(
    publicKey: Uint8Array,
    domain: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean;
  /** Whether all these vote keys, in order of their index, signed the one message. */
  verifyVotes(voteKeys: readonly Uint8Array[], message: Uint8Array, signature: Uint8Array): boolean;
  /** Whether the holder of a vote key proved that it has it. */
  verifyPossession(voteKey: Uint8Array, message: Uint8Array, possession: Uint8Array): boolean;
}

const REMEMBERED_MAX = 1024;

/**
 * The suite with a memory for its costly verdicts: one block has many receipts, and each of them would have its
 * certificate verified again. What is looked up is the hash of everything that the verdict depends on.
 */
function remembering(suite: Suite): Suite {
  const verdicts = new Map<string, boolean>();
  const remembered = (parts: readonly Uint8Array[], verify: () => boolean): boolean => {
    const sized = parts.flatMap((part) => [bigEndian(BigInt(part.length), 4), part]);
    const subject = toHex(suite.digest(concat(...sized)));
    const known = verdicts.get(subject);
    if (known !== undefined) return known;
    const verdict = verify();
    if (verdicts.size === REMEMBERED_MAX) verdicts.delete(verdicts.keys().next().value ?? "");
    verdicts.set(subject, verdict);
    return verdict;
  };
  const VOTES = Uint8Array.of(0);
  const POSSESSION = Uint8Array.of(1);
  return {
    ...suite,
    verifyVotes: (voteKeys, message, signature) =>
      remembered([VOTES, message, signature, ...voteKeys], () =>
        suite.verifyVotes(voteKeys, message, signature),
      ),
    verifyPossession: (voteKey, message, possession) =>
      remembered([POSSESSION, message, possession, voteKey], () =>
        suite.verifyPossession(voteKey, message, possession),
      ),
  };
}

const SUITES: ReadonlyMap<string, Suite> = new Map(
  [intl, sm].map((suite) => [suite.name, remembering(suite)]),
);

/** The suite of a name. Throws UnknownSuite. */
export function loadSuite(name: string): Suite {
  const suite = SUITES.get(name);
  if (suite === undefined) throw new UnknownSuite(name);
  return suite;
}
