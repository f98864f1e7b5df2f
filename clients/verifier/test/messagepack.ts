/** Just enough MessagePack to read the golden state proofs. */

import type { StateProof } from "../src/types.ts";

/** A `StateProof` of canonical bytes: a leaf of two hashes or nil, and a list of hashes. */
export function decodeStateProof(data: Uint8Array): StateProof {
  let at = 0;
  const byte = (): number => data[at++] as number;
  const hash = (): Uint8Array => {
    if (byte() !== 0xc4 || byte() !== 32) throw new Error("a hash is expected");
    at += 32;
    return data.slice(at - 32, at);
  };
  if (byte() !== 0x92) throw new Error("a proof is expected");
  const head = byte();
  const leaf = head === 0xc0 ? null : { key_hash: hash(), value_hash: hash() };
  const length = byte();
  const count = length === 0xdc ? byte() * 256 + byte() : length & 0x0f;
  const siblings = Array.from({ length: count }, hash);
  if (at !== data.length) throw new Error("the end is expected");
  return { leaf, siblings };
}
