/** Checks receipts of a Zhenglian network offline. 离线验证证链回执。 */

export { fromHex, toHex } from "./bytes.ts";
export { type FileData, type Proof, readEpochs, readProof, readTrust } from "./files.ts";
export { checkTrust } from "./finality.ts";
export { loadSuite, type Suite } from "./suite.ts";
export type { EpochChange, Header, Receipt, StateReceipt, Trust } from "./types.ts";
export { type Check, LimitExceeded, ProofRejected, UnknownSuite, WORDS } from "./verdicts.ts";
export {
  type Proven,
  type ProvenBlock,
  type ProvenState,
  type ProvenTransaction,
  type Rejection,
  type Verdict,
  verify,
  verifyProof,
  verifyTransactionSignature,
} from "./verify.ts";
