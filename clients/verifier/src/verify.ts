/**
 * Whether a receipt holds, from a trust point, with no network at all.
 *
 * Rule: as `ledger/receipts.py` and `ledger/state_receipts.py`, check by check, so that both give the same verdict
 * with the same code for any file whatever.
 */

import { equal, toHex } from "./bytes.ts";
import { TRANSACTION_ID, TRANSACTION_SIGN } from "./domains.ts";
import { type FileData, type Proof, readEpochs, readProof, readTrust, timeText } from "./files.ts";
import { blockDigest, checkFinalitySince } from "./finality.ts";
import { verifyCounted } from "./merkle.ts";
import { encode } from "./schema.ts";
import { verifyState } from "./state.ts";
import { loadSuite, type Suite } from "./suite.ts";
import {
  type EpochChange,
  type Receipt,
  Result,
  type StateReceipt,
  Transaction,
  TransactionBody,
  type Trust,
} from "./types.ts";
import { type Check, ProofRejected, rejected } from "./verdicts.ts";

const RECEIPT_VERSION = 1n;
const STATE_RECEIPT_VERSION = 1n;

/** What every receipt proves of its block. */
export interface ProvenBlock {
  readonly network: string;
  readonly height: number;
  /** Block time in milliseconds since the Unix epoch. */
  readonly timeMs: number;
  readonly time: string;
  /** Digest of the block, hex. */
  readonly block: string;
  /** Names of the validators that signed, from the trusted set, and how many there are in all. */
  readonly signers: readonly string[];
  readonly validators: number;
}

/** This transaction was finalized with this result. Ids are hex. */
export interface ProvenTransaction extends ProvenBlock {
  readonly kind: "transaction";
  readonly transactionId: string;
  readonly call: string;
  readonly account: string;
  readonly keyId: string;
  readonly result: string;
  readonly receipt: Receipt;
}

/** After this block this was under the key, or nothing was (`value` null). */
export interface ProvenState extends ProvenBlock {
  readonly kind: "state";
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
  readonly receipt: StateReceipt;
}

export type Proven = ProvenTransaction | ProvenState;

export interface Rejection {
  readonly valid: false;
  /** Stable code of the check that failed, as in the Python SDK. */
  readonly check: Check;
  readonly reasonZh: string;
  readonly reasonEn: string;
  readonly detail: string;
}

export type Verdict = { readonly valid: true; readonly proven: Proven } | Rejection;

/** Check a receipt of either kind. Throws ProofRejected, and UnknownSuite for a trust point of an unknown suite. */
export function verifyProof(trust: Trust, proof: Proof, changes: readonly EpochChange[] = []): Proven {
  const suite = loadSuite(trust.suite);
  return proof.kind === "transaction"
    ? verifyReceipt(suite, trust, proof.receipt, changes)
    : verifyStateReceipt(suite, trust, proof.receipt, changes);
}

function provenBlock(
  suite: Suite,
  trust: Trust,
  changes: readonly EpochChange[],
  receipt: Receipt | StateReceipt,
): ProvenBlock {
  const { header } = receipt;
  const reached = checkFinalitySince(suite, trust, changes, header, receipt.path, receipt.certificate);
  const members = reached.trust.validators.validators;
  return {
    network: receipt.network,
    height: Number(header.height),
    timeMs: Number(header.time_ms),
    time: timeText(header.time_ms),
    block: toHex(blockDigest(suite, header)),
    signers: reached.signers.map((index) => members[index]?.name ?? ""),
    validators: members.length,
  };
}

function verifyReceipt(
  suite: Suite,
  trust: Trust,
  receipt: Receipt,
  changes: readonly EpochChange[],
): ProvenTransaction {
  if (receipt.version !== RECEIPT_VERSION) throw rejected("version", `receipt ${receipt.version}`);
  if (receipt.network !== trust.network) throw rejected("network");
  const block = provenBlock(suite, trust, changes, receipt);
  checkContents(suite, trust, receipt);
  const { body } = receipt.transaction;
  return {
    kind: "transaction",
    ...block,
    transactionId: toHex(receipt.result.transaction_id),
    call: `${body.call.contract}.${body.call.method}`,
    account: toHex(body.account),
    keyId: toHex(body.key_id),
    result: receipt.result.code,
    receipt,
  };
}

/** Check that transaction and result belong together and are in the block. */
function checkContents(suite: Suite, trust: Trust, receipt: Receipt): void {
  const { header, transaction, result, transaction_proof: proof, result_proof: resultProof } = receipt;
  if (!equal(transaction.body.chain_id, trust.chain_id)) throw rejected("transaction_chain");
  if (!verifyCounted(suite.digest, header.transactions_root, encode(Transaction, transaction), proof)) {
    throw rejected("transaction_proof");
  }
  const identity = suite.hash(TRANSACTION_ID, encode(TransactionBody, transaction.body));
  if (!equal(result.transaction_id, identity)) throw rejected("result_transaction");
  if (proof.index !== resultProof.index || proof.size !== resultProof.size) throw rejected("result_position");
  if (!verifyCounted(suite.digest, header.results_root, encode(Result, result), resultProof)) {
    throw rejected("result_proof");
  }
}

function verifyStateReceipt(
  suite: Suite,
  trust: Trust,
  receipt: StateReceipt,
  changes: readonly EpochChange[],
): ProvenState {
  if (receipt.version !== STATE_RECEIPT_VERSION)
    throw rejected("version", `state receipt ${receipt.version}`);
  if (receipt.network !== trust.network) throw rejected("network");
  const block = provenBlock(suite, trust, changes, receipt);
  if (!verifyState(suite, receipt.header.state_root, receipt.key, receipt.value, receipt.proof)) {
    throw rejected("state_proof", `height ${receipt.header.height}`);
  }
  return { kind: "state", ...block, key: receipt.key, value: receipt.value, receipt };
}

/**
 * Whether a transaction is signed by an account key that the caller knows; a receipt alone says that validators
 * checked it, without naming the key.
 */
export function verifyTransactionSignature(trust: Trust, receipt: Receipt, publicKey: Uint8Array): boolean {
  const { body, signature } = receipt.transaction;
  return loadSuite(trust.suite).verifyAccount(
    publicKey,
    TRANSACTION_SIGN,
    encode(TransactionBody, body),
    signature,
  );
}

/**
 * Check a receipt's file against a trust file.
 *
 * @param receipt the file of a receipt of either kind, as it was got: a changed letter is a changed receipt.
 * @param trust the trust file, or what `readTrust` gave.
 * @param epochs for a receipt of a later epoch than the trusted one, the file of the changes between, from whomever.
 *
 * Throws ProofRejected where the trust file itself is none, LimitExceeded for a file that is too large, and
 * UnknownSuite; what is wrong with receipt and epoch changes is the verdict.
 */
export function verify(receipt: FileData, trust: FileData | Trust, epochs?: FileData): Verdict {
  const trusted = typeof trust === "string" || trust instanceof Uint8Array ? readTrust(trust) : trust;
  try {
    const changes = epochs === undefined ? [] : readEpochs(epochs);
    return { valid: true, proven: verifyProof(trusted, readProof(receipt), changes) };
  } catch (error) {
    if (!(error instanceof ProofRejected)) throw error;
    const { check, reasonZh, reasonEn, detail } = error;
    return { valid: false, check, reasonZh, reasonEn, detail };
  }
}
