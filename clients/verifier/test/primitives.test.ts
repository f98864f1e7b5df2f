import { describe, expect, test } from "vitest";
import { equal, fromHex, toHex, utf8 } from "../src/bytes.ts";
import { readProof, readTrust } from "../src/files.ts";
import { blockDigest, checkTrust } from "../src/finality.ts";
import { emptyRoot, verifyCounted } from "../src/merkle.ts";
import { encode } from "../src/schema.ts";
import { sm3 } from "../src/sm3.ts";
import { verifyState } from "../src/state.ts";
import { loadSuite } from "../src/suite.ts";
import { verifyBlsVotes, verifyEd25519 } from "../src/suite-intl.ts";
import { verifySm2 } from "../src/suite-sm.ts";
import { Receipt, StateReceipt, Trust } from "../src/types.ts";
import { type Check, rejected, WORDS } from "../src/verdicts.ts";
import { decodeStateProof } from "./messagepack.ts";
import { read, readJson, SUITES } from "./vectors.ts";

interface Signed {
  readonly name: string;
  readonly public_key: string;
  readonly message: string;
  readonly signature: string;
  readonly valid: boolean;
}

const hex = (text: string): Uint8Array => {
  const data = fromHex(text);
  if (data === undefined) throw new Error(`${text} is no hex`);
  return data;
};
const intl = loadSuite("intl");

test.each(readJson<Signed[]>("ed25519_edge.json"))("Ed25519: $name", (found) => {
  const verdict = verifyEd25519(hex(found.public_key), hex(found.message), hex(found.signature));
  expect(verdict).toBe(found.valid);
});

test.each(readJson<Signed[]>("bls_edge.json"))("BLS12-381: $name", (found) => {
  const joined = hex(found.public_key);
  const keys: Uint8Array[] = [];
  for (let at = 0; at < joined.length; at += 48) keys.push(joined.subarray(at, at + 48));
  expect(verifyBlsVotes(keys, hex(found.message), hex(found.signature))).toBe(found.valid);
});

test.each(readJson<Signed[]>("sm2_edge.json"))("SM2: $name", (found) => {
  expect(verifySm2(hex(found.public_key), hex(found.message), hex(found.signature))).toBe(found.valid);
});

test("SM3 agrees with the examples of GB/T 32905, annex A", () => {
  expect(toHex(sm3(utf8("abc")))).toBe("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
  expect(toHex(sm3(utf8("abcd".repeat(16))))).toBe(
    "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
  );
});

test.each(
  readJson<{ leaves: string[]; counted_root: string; index?: number; siblings?: string[] }[]>("merkle.json"),
)("a Merkle tree over $leaves.length leaves", ({ leaves, counted_root, index, siblings }) => {
  if (index === undefined || siblings === undefined) {
    expect(toHex(emptyRoot(intl.digest))).toBe(counted_root);
    return;
  }
  const proof = { index: BigInt(index), size: BigInt(leaves.length), siblings: siblings.map(hex) };
  const leaf = hex(leaves[index] ?? "");
  expect(verifyCounted(intl.digest, hex(counted_root), leaf, proof)).toBe(true);
  for (const wrong of [
    { ...proof, size: proof.size + 1n },
    { ...proof, index: proof.index + 1n },
    { ...proof, siblings: [...proof.siblings, new Uint8Array(32)] },
  ]) {
    expect(verifyCounted(intl.digest, hex(counted_root), leaf, wrong)).toBe(false);
  }
});

test("presence and absence in the state tree", () => {
  const { root, proofs } = readJson<{
    root: string;
    proofs: { key: string; value: string | null; proof: string }[];
  }>("state_proofs.json");
  for (const { key, value, proof } of proofs) {
    const held = value === null ? null : hex(value);
    const decoded = decodeStateProof(hex(proof));
    expect(verifyState(intl, hex(root), hex(key), held, decoded)).toBe(true);
    expect(verifyState(intl, hex(root), hex(key), held === null ? new Uint8Array() : null, decoded)).toBe(
      false,
    );
  }
});

test("structs are encoded as the golden bytes say", () => {
  const golden = new Map(
    readJson<{ name: string; hex: string }[]>("encodings.json").map((row) => [row.name, row.hex]),
  );
  const trust = readTrust(read("trust.json"));
  expect(toHex(encode(Trust, trust))).toBe(golden.get("trust"));
  const proof = readProof(read("receipt.json"));
  if (proof.kind !== "transaction") throw new Error("a receipt of a transaction is expected");
  expect(toHex(blockDigest(intl, proof.receipt.header))).toBe(golden.get("block_digest"));
  expect(encode(Receipt, proof.receipt).length).toBeGreaterThan(1000);
});

describe.each(SUITES)("%s", (suite) => {
  test("a trust point proves its keys, and another's possession proves none", () => {
    const trust = readTrust(read(`proofs/${suite}/trust.json`));
    checkTrust(loadSuite(suite), trust);
    const [first, second, ...rest] = trust.validators.validators;
    if (first === undefined || second === undefined) throw new Error("four validators are expected");
    const swapped = [{ ...first, possession: second.possession }, second, ...rest];
    const wrong = { ...trust, validators: { ...trust.validators, validators: swapped } };
    expect(() => checkTrust(loadSuite(suite), wrong)).toThrow(/possession of the vote key/);
    expect(() => checkTrust(loadSuite(suite), { ...trust, version: 2n })).toThrow(/version/);
  });

  test("a state receipt is encoded in fewer bytes than its file has", () => {
    const data = read(`proofs/${suite}/state_historic.json`);
    const proof = readProof(data);
    if (proof.kind !== "state") throw new Error("a state receipt is expected");
    expect(encode(StateReceipt, proof.receipt).length).toBeLessThan(data.length);
  });
});

test("codes and words are those of the Python verifier", () => {
  const golden = readJson<Record<string, { zh: string; en: string }>>("verdicts.json");
  for (const check of Object.keys(WORDS) as Check[]) {
    const { reasonZh, reasonEn } = rejected(check);
    expect({ zh: reasonZh, en: reasonEn }).toEqual(golden[check]);
  }
  const missing = Object.keys(golden).filter((check) => !(check in WORDS) && !check.startsWith("snapshot"));
  expect(missing).toEqual([]);
});

test("bytes are equal only when all of them are", () => {
  expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
  expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
  expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
});
