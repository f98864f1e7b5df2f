/**
 * Inclusion in a counted RFC 6962 Merkle tree.
 *
 * Rule: a leaf is hashed behind 0x00, an inner node behind 0x01, a counted root behind 0x02 with the number of
 * leaves in 8 bytes; a proof has just the siblings that its index and size call for.
 */

import { bigEndian, concat, equal } from "./bytes.ts";
import type { MerkleProof } from "./types.ts";

type Digest = (data: Uint8Array) => Uint8Array;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const COUNTED = Uint8Array.of(2);

/** The root that the proof leads to (RFC 9162, 2.1.3.2); undefined where its shape is wrong. */
function climb(digest: Digest, leaf: Uint8Array, proof: MerkleProof): Uint8Array | undefined {
  let position = proof.index;
  let last = proof.size - 1n;
  if (position > last) return undefined;
  let node = digest(concat(LEAF, leaf));
  for (const sibling of proof.siblings) {
    if (last === 0n) return undefined;
    if (position % 2n === 1n || position === last) {
      node = digest(concat(NODE, sibling, node));
      while (position % 2n === 0n && position > 0n) {
        position >>= 1n;
        last >>= 1n;
      }
    } else {
      node = digest(concat(NODE, node, sibling));
    }
    position >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? node : undefined;
}

/** Whether `leaf` is at exactly `proof.index` of `proof.size` leaves under the counted root. */
export function verifyCounted(
  digest: Digest,
  root: Uint8Array,
  leaf: Uint8Array,
  proof: MerkleProof,
): boolean {
  const plain = climb(digest, leaf, proof);
  return plain !== undefined && equal(digest(concat(COUNTED, bigEndian(proof.size, 8), plain)), root);
}

/** The counted root of no leaves at all. */
export function emptyRoot(digest: Digest): Uint8Array {
  return digest(concat(COUNTED, bigEndian(0n, 8), digest(new Uint8Array())));
}
