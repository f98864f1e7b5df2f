/** Every hashing and signing context that proofs use (`ledger/domains.py`), so that no bytes serve two purposes. */

import { concat, utf8 } from "./bytes.ts";

const domain = (name: string): Uint8Array => utf8(`zhenglian/${name}/1`);

export const TRANSACTION_ID = domain("transaction-id");
export const TRANSACTION_SIGN = domain("transaction-sign");
export const BLOCK = domain("block");
export const VALIDATORS = domain("validators");
export const VOTE = domain("vote");
export const POSSESSION = domain("possession");
export const STATE_KEY = domain("state-key");
export const STATE_LEAF = domain("state-leaf");
export const STATE_NODE = domain("state-node");

/** `len(domain) as one byte ‖ domain ‖ data`. */
export function inDomain(domainName: Uint8Array, data: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(domainName.length), domainName, data);
}
