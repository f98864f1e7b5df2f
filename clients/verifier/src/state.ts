/**
 * What the state held under a key: presence and absence under a state root.
 *
 * Rule: the tree is binary over the bits of `hash(STATE_KEY, key)`, most significant first; an empty subtree is
 * 32 zero bytes, a subtree of one key is that key's leaf, however high (`ledger/state_tree.py`).
 */

import { concat, equal } from "./bytes.ts";
import { STATE_KEY, STATE_LEAF, STATE_NODE } from "./domains.ts";
import type { Suite } from "./suite.ts";
import type { StateProof } from "./types.ts";

const DEPTH_BITS_MAX = 256;
const EMPTY = new Uint8Array(32);

const bitAt = (path: Uint8Array, level: number): number => ((path[level >> 3] ?? 0) >> (7 - (level & 7))) & 1;

/** Whether the state with that root holds `value` under `key`, or nothing where `value` is null. */
export function verifyState(
  suite: Suite,
  root: Uint8Array,
  key: Uint8Array,
  value: Uint8Array | null,
  proof: StateProof,
): boolean {
  const path = suite.hash(STATE_KEY, key);
  const { leaf, siblings } = proof;
  if (siblings.length > DEPTH_BITS_MAX) return false;
  if (value !== null) {
    if (leaf === null || !equal(leaf.key_hash, path) || !equal(leaf.value_hash, suite.digest(value)))
      return false;
  }
  let node: Uint8Array = EMPTY;
  if (leaf !== null) {
    if (value === null && equal(leaf.key_hash, path)) return false;
    for (let level = 0; level < siblings.length; level++) {
      if (bitAt(leaf.key_hash, level) !== bitAt(path, level)) return false;
    }
    node = suite.hash(STATE_LEAF, concat(leaf.key_hash, leaf.value_hash));
  }
  for (let level = siblings.length - 1; level >= 0; level--) {
    const sibling = siblings[level] ?? EMPTY;
    node = suite.hash(STATE_NODE, bitAt(path, level) === 1 ? concat(sibling, node) : concat(node, sibling));
  }
  return equal(node, root);
}
