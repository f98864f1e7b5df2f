/** The shared vectors, where they are in the source tree (`tests/vectors/README.md`). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Trust } from "../src/types.ts";
import { LimitExceeded, ProofRejected, UnknownSuite } from "../src/verdicts.ts";
import { verify } from "../src/verify.ts";

const FOLDER = fileURLToPath(new URL("../../../tests/vectors/", import.meta.url));

export const SUITES = ["intl", "sm"] as const;

export function read(name: string): Buffer {
  return readFileSync(FOLDER + name);
}

export function readJson<T>(name: string): T {
  return JSON.parse(read(name).toString()) as T;
}

export interface Splice {
  readonly offset: number;
  readonly remove: number;
  readonly insert: string;
  readonly times: number;
}

export interface Case {
  readonly name: string;
  readonly verdict: string;
  readonly receipt: string;
  readonly trust: string;
  readonly epochs: string | null;
  readonly splices: Readonly<Record<string, Splice>>;
}

/** A case's receipt, trust and epochs as the verifier gets them. */
export function filesOf(suite: string, found: Case): [Buffer, Buffer, Buffer | undefined] {
  const part = (name: string, file: string): Buffer => {
    const data = read(`proofs/${suite}/${file}`);
    const splice = found.splices[name];
    if (splice === undefined) return data;
    const insert = Buffer.from(splice.insert, "hex");
    const inserted = Buffer.alloc(insert.length * splice.times, insert);
    return Buffer.concat([
      data.subarray(0, splice.offset),
      inserted,
      data.subarray(splice.offset + splice.remove),
    ]);
  };
  return [
    part("receipt", found.receipt),
    part("trust", found.trust),
    found.epochs === null ? undefined : part("epochs", found.epochs),
  ];
}

/** What this verifier says: `valid`, the code of a check, or that of an error. Anything else is a fault of ours. */
export function verdictOf(receipt: Uint8Array, trust: Uint8Array | Trust, epochs?: Uint8Array): string {
  try {
    const verdict = verify(receipt, trust, epochs);
    return verdict.valid ? "valid" : verdict.check;
  } catch (error) {
    if (error instanceof ProofRejected) return error.check;
    if (error instanceof LimitExceeded || error instanceof UnknownSuite) return error.code;
    throw error;
  }
}
