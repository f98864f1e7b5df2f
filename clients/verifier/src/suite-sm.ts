/**
 * The Chinese suite: SM2 signatures with the standard's identity digest, SM3, certificates as signature lists.
 *
 * Rule: public keys are compressed points of 33 bytes, signatures r ‖ s of 64 bytes with both in 1 … n − 1; what
 * is signed is `len(domain) ‖ domain ‖ message` under the standard's default identity (docs/crypto.md).
 *
 * Source: GB/T 32918.2-2016, clause 7; curve of GB/T 32918.5-2017.
 */

import { weierstrass } from "@noble/curves/abstract/weierstrass.js";
import { bigEndian, concat, equal, toNumber, utf8 } from "./bytes.ts";
import { inDomain } from "./domains.ts";
import { sm3 } from "./sm3.ts";
import type { Suite } from "./suite.ts";

const CURVE = {
  p: 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn,
  n: 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n,
  h: 1n,
  a: 0xfffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffcn,
  b: 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n,
  Gx: 0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n,
  Gy: 0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n,
} as const;
const Point = weierstrass(CURVE);
type SmPoint = InstanceType<typeof Point>;

const KEY_SIZE = 33;
const SIGNATURE_SIZE = 64;
const IDENTITY = utf8("1234567812345678");
const Z_HEAD = concat(
  bigEndian(BigInt(8 * IDENTITY.length), 2),
  IDENTITY,
  ...[CURVE.a, CURVE.b, CURVE.Gx, CURVE.Gy].map((number) => bigEndian(number, 32)),
);

function decodeKey(data: Uint8Array): SmPoint | undefined {
  if (data.length !== KEY_SIZE) return undefined;
  try {
    const point = Point.fromBytes(data);
    return equal(point.toBytes(true), data) ? point : undefined;
  } catch {
    return undefined;
  }
}

/** SM2 over the raw message, under the default identity. */
export function verifySm2(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const key = signature.length === SIGNATURE_SIZE ? decodeKey(publicKey) : undefined;
  if (key === undefined) return false;
  const r = toNumber(signature.subarray(0, 32));
  const s = toNumber(signature.subarray(32));
  if (r === 0n || s === 0n || r >= CURVE.n || s >= CURVE.n) return false;
  const t = (r + s) % CURVE.n;
  if (t === 0n) return false;
  const { x, y } = key.toAffine();
  const z = sm3(concat(Z_HEAD, bigEndian(x, 32), bigEndian(y, 32)));
  const e = toNumber(sm3(concat(z, message)));
  const point = Point.BASE.multiplyUnsafe(s).add(key.multiplyUnsafe(t));
  return !point.is0() && (e + point.toAffine().x) % CURVE.n === r;
}

export const sm: Suite = {
  name: "sm",
  accountScheme: "sm2",
  digest: sm3,
  hash: (domain, data) => sm3(inDomain(domain, data)),
  verifyAccount: (publicKey, domain, message, signature) =>
    verifySm2(publicKey, inDomain(domain, message), signature),
  verifyVotes: (voteKeys, message, signature) =>
    voteKeys.length > 0 &&
    signature.length === SIGNATURE_SIZE * voteKeys.length &&
    voteKeys.every((key, at) =>
      verifySm2(key, message, signature.subarray(SIGNATURE_SIZE * at, SIGNATURE_SIZE * (at + 1))),
    ),
  verifyPossession: verifySm2,
};
