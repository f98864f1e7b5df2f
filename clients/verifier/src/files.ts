/**
 * The files: receipts of both kinds, trust points, epoch changes.
 *
 * Rule: a file has one content and says what it is in its first member. A receipt's file is rebuilt from the
 * receipt in it and compared letter by letter; a trust point's and the epoch changes' may differ in white space.
 */

import { toHex } from "./bytes.ts";
import {
  decodeText,
  type Json,
  type JsonObject,
  type JsonTree,
  MalformedJson,
  parse,
  render,
  sameButForSpace,
  sameTree,
} from "./json.ts";
import { encode, Mistyped, type Type } from "./schema.ts";
import {
  type EpochChange,
  EpochChanges,
  type QuorumCertificate,
  Receipt,
  StateReceipt,
  Trust,
} from "./types.ts";
import { LimitExceeded, rejected } from "./verdicts.ts";

export const RECEIPT_FORMAT = "zhenglian-receipt-1";
export const STATE_RECEIPT_FORMAT = "zhenglian-state-receipt-1";
export const TRUST_FORMAT = "zhenglian-trust-1";
export const EPOCHS_FORMAT = "zhenglian-epochs-1";
const MIB = 1024 * 1024;
export const RECEIPT_SIZE_BYTES_MAX = 4 * MIB;
export const RECEIPT_FILE_SIZE_BYTES_MAX = 16 * MIB;
export const TRUST_SIZE_BYTES_MAX = MIB / 4;
export const TRUST_FILE_SIZE_BYTES_MAX = MIB;
export const EPOCHS_SIZE_BYTES_MAX = 16 * MIB;
export const EPOCHS_FILE_SIZE_BYTES_MAX = 48 * MIB;

const LAST_WRITABLE_TIME_MS = 253_402_300_799_999n;

/** What a file holds: bytes as they came, or text. */
export type FileData = Uint8Array | string;
/** A receipt of either kind, told apart by `kind`. */
export type Proof =
  | { readonly kind: "transaction"; readonly receipt: Receipt }
  | { readonly kind: "state"; readonly receipt: StateReceipt };

/** Run a reader; what is malformed or mistyped is a rejected format. */
function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedJson || error instanceof Mistyped) throw rejected("format", error.message);
    throw error;
  }
}

function parseObject(text: string, what: string): JsonObject {
  const tree = parse(text);
  if (!(tree instanceof Map)) throw new Mistyped(`${what}: not an object`);
  return tree;
}

function expectMembers(tree: JsonObject, format: string, members: readonly string[]): void {
  if (tree.get("format") !== format) throw rejected("format", `not ${format}`);
  for (const member of [...tree.keys(), ...members]) {
    if (!tree.has(member)) throw rejected("format", `member ${member} is missing`);
    if (!members.includes(member)) throw rejected("format", `unknown member ${member}`);
  }
}

/** The struct of a tree, within its bounds and its size. */
function structOf<T>(type: Type<T>, tree: JsonTree | undefined, where: string, sizeBytesMax: number): T {
  const value = type.read(tree ?? null, where);
  const size = encode(type, value).length;
  if (size > sizeBytesMax) throw new LimitExceeded(`${where} bytes`, sizeBytesMax, size);
  type.bound(value, where);
  return value;
}

/** UTC as ISO 8601 with milliseconds; the bare number of milliseconds after the year 9999. */
export function timeText(timeMs: bigint): string {
  return timeMs > LAST_WRITABLE_TIME_MS ? `${timeMs} ms` : new Date(Number(timeMs)).toISOString();
}

function signerCount(certificate: QuorumCertificate): bigint {
  let bits = 0n;
  for (const byte of certificate.signers) {
    for (let rest = byte; rest > 0; rest >>= 1) bits += BigInt(rest & 1);
  }
  return bits;
}

function receiptSummary(receipt: Receipt): Json {
  const { body } = receipt.transaction;
  return {
    network: receipt.network,
    transaction: toHex(receipt.result.transaction_id),
    call: `${body.call.contract}.${body.call.method}`,
    account: toHex(body.account),
    key: toHex(body.key_id),
    result: receipt.result.code,
    block_height: receipt.header.height,
    block_time: timeText(receipt.header.time_ms),
    validators_signed: signerCount(receipt.certificate),
  };
}

function stateSummary(receipt: StateReceipt): Json {
  return {
    network: receipt.network,
    key: toHex(receipt.key),
    state: receipt.value === null ? "absent" : "present",
    block_height: receipt.header.height,
    block_time: timeText(receipt.header.time_ms),
    validators_signed: signerCount(receipt.certificate),
  };
}

/** Read the receipt in a file whose every letter follows from it. */
function readExact<T>(
  text: string,
  tree: JsonObject,
  format: string,
  type: Type<T>,
  summarize: (value: T) => Json,
): T {
  expectMembers(tree, format, ["format", "summary", "receipt"]);
  const receipt = structOf(type, tree.get("receipt"), "receipt", RECEIPT_SIZE_BYTES_MAX);
  const summary = summarize(receipt);
  if (!sameTree(tree.get("summary") ?? null, summary)) throw rejected("summary");
  if (text !== render({ format, summary, receipt: type.tree(receipt) })) throw rejected("not_canonical");
  return receipt;
}

/**
 * Read a receipt of either kind. Proves nothing yet, but its summary says what the receipt in it says.
 *
 * Throws LimitExceeded (more than 16 MiB of text, or 4 MiB once encoded) and ProofRejected (`format`, `summary`,
 * `not_canonical`).
 */
export function readProof(data: FileData): Proof {
  return reading(() => {
    const text = decodeText(data, "receipt", RECEIPT_FILE_SIZE_BYTES_MAX);
    const tree = parseObject(text, "receipt");
    switch (tree.get("format")) {
      case RECEIPT_FORMAT:
        return {
          kind: "transaction",
          receipt: readExact(text, tree, RECEIPT_FORMAT, Receipt, receiptSummary),
        };
      case STATE_RECEIPT_FORMAT:
        return {
          kind: "state",
          receipt: readExact(text, tree, STATE_RECEIPT_FORMAT, StateReceipt, stateSummary),
        };
      default:
        throw rejected("format", `not ${RECEIPT_FORMAT} or ${STATE_RECEIPT_FORMAT}`);
    }
  });
}

function readLoose<T>(
  data: FileData,
  format: string,
  member: string,
  type: Type<T>,
  sizeBytesMax: number,
  fileSizeBytesMax: number,
): T {
  return reading(() => {
    const text = decodeText(data, member, fileSizeBytesMax);
    const tree = parseObject(text, member);
    expectMembers(tree, format, ["format", member]);
    const value = structOf(type, tree.get(member), member, sizeBytesMax);
    if (!sameButForSpace(text, render({ format, [member]: type.tree(value) })))
      throw rejected("not_canonical");
    return value;
  });
}

/** Read a trust point; what it says is trusted, not proven. Throws like `readProof`, at 1 MiB and 256 KiB. */
export function readTrust(data: FileData): Trust {
  return readLoose(data, TRUST_FORMAT, "trust", Trust, TRUST_SIZE_BYTES_MAX, TRUST_FILE_SIZE_BYTES_MAX);
}

/** Read epoch changes; proves nothing yet. Throws like `readProof`, at 48 MiB and 16 MiB. */
export function readEpochs(data: FileData): readonly EpochChange[] {
  return readLoose(
    data,
    EPOCHS_FORMAT,
    "epochs",
    EpochChanges,
    EPOCHS_SIZE_BYTES_MAX,
    EPOCHS_FILE_SIZE_BYTES_MAX,
  ).changes;
}
