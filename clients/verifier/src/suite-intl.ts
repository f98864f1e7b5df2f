/**
 * The international suite: Ed25519, SHA-256, BLS12-381 votes with 48-byte keys and 96-byte signatures.
 *
 * Rule: a key or signature counts only if its bytes are the one encoding of a point that may be there: in
 * BLS12-381 of the prime-order subgroup and not the identity, in Ed25519 not of small order. Ed25519 is verified
 * without the cofactor, as libsodium does.
 */

import { bls12_381 } from "@noble/curves/bls12-381.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { concat, equal, littleEndian, utf8 } from "./bytes.ts";
import { inDomain } from "./domains.ts";
import type { Suite } from "./suite.ts";

const SIGNATURE_SUITE = utf8("BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_");
const POSSESSION_SUITE = utf8("BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_");
const INFINITY_FLAG = 0x40;

const G1 = bls12_381.G1.Point;
const G2 = bls12_381.G2.Point;
const { Fp12 } = bls12_381.fields;
type G1Point = InstanceType<typeof G1>;
type G2Point = InstanceType<typeof G2>;

interface PointClass<P> {
  fromBytes(data: Uint8Array): P;
}

function decodePoint<P extends { assertValidity(): void; toBytes(compressed: boolean): Uint8Array }>(
  group: PointClass<P>,
  data: Uint8Array,
  size: number,
): P | undefined {
  if (data.length !== size || ((data[0] ?? 0) & INFINITY_FLAG) !== 0) return undefined;
  try {
    // Refuses points off the curve and outside the subgroup; the shared edge cases pin that it does.
    const point = group.fromBytes(data);
    point.assertValidity();
    return equal(point.toBytes(true), data) ? point : undefined;
  } catch {
    return undefined;
  }
}

function sum(points: readonly G1Point[]): G1Point {
  return points.reduce((total, point) => total.add(point), G1.ZERO);
}

function verifyBls(
  keys: readonly Uint8Array[],
  message: Uint8Array,
  signature: Uint8Array,
  suite: Uint8Array,
): boolean {
  const point: G2Point | undefined = decodePoint(G2, signature, 96);
  if (point === undefined || keys.length === 0) return false;
  const points: G1Point[] = [];
  for (const key of keys) {
    const decoded = decodePoint(G1, key, 48);
    if (decoded === undefined) return false;
    points.push(decoded);
  }
  const key = sum(points);
  if (key.is0()) return false;
  const hashed = bls12_381.G2.hashToCurve(message, { DST: suite }) as G2Point;
  const product = bls12_381.pairingBatch([
    { g1: key, g2: hashed },
    { g1: G1.BASE.negate(), g2: point },
  ]);
  return Fp12.eql(product, Fp12.ONE);
}

/** BLS12-381 over the raw message; the keys' sum has to fit the signature. */
export function verifyBlsVotes(
  keys: readonly Uint8Array[],
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return verifyBls(keys, message, signature, SIGNATURE_SUITE);
}

const FIELD = 2n ** 255n - 19n;
const ORDER = ed25519.Point.Fn.ORDER;
const ORDER_8_Y = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([0n, 1n, FIELD - 1n, ORDER_8_Y, FIELD - ORDER_8_Y]);

function acceptablePoint(encoded: Uint8Array): boolean {
  const y = littleEndian(encoded) & (2n ** 255n - 1n);
  return y < FIELD && !SMALL_ORDER_Y.has(y);
}

/** Ed25519 over the raw message (RFC 8032, 5.1.7, without the cofactor). */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  if (s >= ORDER || !acceptablePoint(publicKey) || !acceptablePoint(r)) return false;
  try {
    const key = ed25519.Point.fromBytes(publicKey);
    const k = littleEndian(sha512(concat(r, publicKey, message))) % ORDER;
    const expected = ed25519.Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(k));
    return equal(expected.toBytes(), r);
  } catch {
    return false;
  }
}

export const intl: Suite = {
  name: "intl",
  accountScheme: "ed25519",
  digest: (data) => sha256(data),
  hash: (domain, data) => sha256(inDomain(domain, data)),
  verifyAccount: (publicKey, domain, message, signature) =>
    verifyEd25519(publicKey, sha256(inDomain(domain, message)), signature),
  verifyVotes: verifyBlsVotes,
  verifyPossession: (voteKey, message, possession) =>
    verifyBls([voteKey], message, possession, POSSESSION_SUITE),
};
