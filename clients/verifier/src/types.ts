/**
 * What everyone agrees on: the structs of `ledger/types.py` that occur in proofs, bound for bound.
 *
 * Rule: a changed member is a changed protocol; the shared vectors pin each encoding.
 */

import { bytes, type Infer, int, list, named, optional, pair, struct, text, textOrInt } from "./schema.ts";

export const PATH_HEADERS_MAX = 4096;
export const VALIDATORS_MAX = 128;
export const EPOCH_CHANGES_MAX = 4096;
export const STATE_KEY_SIZE_BYTES_MAX = 511;
export const STATE_VALUE_SIZE_BYTES_MAX = 1024 * 1024;

const SAFE_MAX = 2n ** 53n - 1n;
const count = int(0n, SAFE_MAX);
const hash = bytes(32, 32);
const id16 = bytes(16, 16);
const name = text(1, 64);
const signature = bytes(1, 4096);

export const Call = struct({ contract: name, method: name, args: bytes(0, 60 * 1024) });

export const TransactionBody = struct({
  chain_id: hash,
  account: id16,
  key_id: id16,
  nonce: id16,
  valid_until_ms: count,
  call: Call,
});
export type TransactionBody = Infer<typeof TransactionBody>;

export const Transaction = struct({ body: TransactionBody, signature });
export type Transaction = Infer<typeof Transaction>;

export const Event = struct({
  kind: name,
  object_id: bytes(0, 32),
  subjects: list(bytes(0, 32), 0, 512),
  data: list(pair(name, textOrInt), 0, 32),
});

export const Result = struct({
  transaction_id: hash,
  code: name,
  fields: list(pair(name, textOrInt)),
  output: bytes(),
  events: list(Event, 0, 64),
});
export type Result = Infer<typeof Result>;

export const Header = struct({
  version: count,
  chain_id: hash,
  epoch: count,
  view: count,
  height: count,
  parent: hash,
  time_ms: count,
  proposer: id16,
  transactions_root: hash,
  results_root: hash,
  state_root: hash,
  validators_hash: hash,
  next_validators_hash: hash,
});
export type Header = Infer<typeof Header>;

export const Validator = struct({
  account: id16,
  name,
  vote_key: bytes(1, 128),
  possession: signature,
});

export const ValidatorSet = struct({ epoch: count, validators: list(Validator, 1, VALIDATORS_MAX) });
export type ValidatorSet = Infer<typeof ValidatorSet>;

export const VOTE_KINDS = { notarize: 1n, nullify: 2n, finalize: 3n } as const;

export const QuorumCertificate = struct({
  kind: named(VOTE_KINDS),
  epoch: count,
  view: count,
  digest: hash,
  signers: bytes(0, VALIDATORS_MAX / 8),
  signature: bytes(1, VALIDATORS_MAX * 96),
});
export type QuorumCertificate = Infer<typeof QuorumCertificate>;

const path = list(Header, 0, PATH_HEADERS_MAX);

export const EpochChange = struct({
  header: Header,
  path,
  certificate: QuorumCertificate,
  validators: ValidatorSet,
});
export type EpochChange = Infer<typeof EpochChange>;

export const EpochChanges = struct({ changes: list(EpochChange, 0, EPOCH_CHANGES_MAX) });

export const MerkleProof = struct({ index: count, size: count, siblings: list(hash, 0, 64) });
export type MerkleProof = Infer<typeof MerkleProof>;

export const StateLeaf = struct({ key_hash: hash, value_hash: hash });
export const StateProof = struct({ leaf: optional(StateLeaf), siblings: list(hash, 0, 256) });
export type StateProof = Infer<typeof StateProof>;

export const Receipt = struct({
  version: count,
  network: name,
  transaction: Transaction,
  result: Result,
  transaction_proof: MerkleProof,
  result_proof: MerkleProof,
  header: Header,
  path,
  certificate: QuorumCertificate,
});
export type Receipt = Infer<typeof Receipt>;

export const StateReceipt = struct({
  version: count,
  network: name,
  key: bytes(1, STATE_KEY_SIZE_BYTES_MAX),
  value: optional(bytes(0, STATE_VALUE_SIZE_BYTES_MAX)),
  proof: StateProof,
  header: Header,
  path,
  certificate: QuorumCertificate,
});
export type StateReceipt = Infer<typeof StateReceipt>;

export const Trust = struct({
  version: count,
  network: name,
  suite: name,
  chain_id: hash,
  validators: ValidatorSet,
});
export type Trust = Infer<typeof Trust>;
