/**
 * SM3, the hash function of the sm suite.
 *
 * Rule: one function, whole messages; the working variables have the standard's names.
 *
 * Source: GB/T 32905-2016, clause 5.
 */

const IV = [
  0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
] as const;
const BLOCK_BYTES = 64;

const rotate = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
const p0 = (x: number): number => x ^ rotate(x, 9) ^ rotate(x, 17);
const p1 = (x: number): number => x ^ rotate(x, 15) ^ rotate(x, 23);

/** T_j <<< j for each of the 64 rounds. */
const ROUND = Uint32Array.from({ length: 64 }, (_, j) => rotate(j < 16 ? 0x79cc4519 : 0x7a879d8a, j % 32));

/** The message, 0x80, zeros, and its length in bits as 8 bytes. */
function padded(message: Uint8Array): DataView {
  const size = Math.ceil((message.length + 9) / BLOCK_BYTES) * BLOCK_BYTES;
  const data = new Uint8Array(size);
  data.set(message);
  data[message.length] = 0x80;
  const view = new DataView(data.buffer);
  view.setBigUint64(size - 8, BigInt(message.length) * 8n);
  return view;
}

function expand(view: DataView, offset: number, w: Uint32Array): void {
  for (let j = 0; j < 16; j++) w[j] = view.getUint32(offset + 4 * j);
  const at = (j: number): number => w[j] as number;
  for (let j = 16; j < 68; j++) {
    w[j] = p1(at(j - 16) ^ at(j - 9) ^ rotate(at(j - 3), 15)) ^ rotate(at(j - 13), 7) ^ at(j - 6);
  }
}

function compress(v: Uint32Array, w: Uint32Array): void {
  let [a, b, c, d, e, f, g, h] = v as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let j = 0; j < 64; j++) {
    const turned = rotate(a, 12);
    const ss1 = rotate((turned + e + (ROUND[j] as number)) | 0, 7);
    const ss2 = ss1 ^ turned;
    const wj = w[j] as number;
    const ff = j < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c);
    const gg = j < 16 ? e ^ f ^ g : (e & f) | (~e & g);
    const tt1 = (ff + d + ss2 + (wj ^ (w[j + 4] as number))) | 0;
    const tt2 = (gg + h + ss1 + wj) | 0;
    d = c;
    c = rotate(b, 9);
    b = a;
    a = tt1;
    h = g;
    g = rotate(f, 19);
    f = e;
    e = p0(tt2);
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => {
    v[i] = (v[i] as number) ^ value;
  });
}

/** The 32-byte digest of a message. */
export function sm3(message: Uint8Array): Uint8Array {
  const view = padded(message);
  const v = Uint32Array.from(IV);
  const w = new Uint32Array(68);
  for (let offset = 0; offset < view.byteLength; offset += BLOCK_BYTES) {
    expand(view, offset, w);
    compress(v, w);
  }
  const digest = new DataView(new ArrayBuffer(32));
  v.forEach((value, i) => {
    digest.setUint32(4 * i, value);
  });
  return new Uint8Array(digest.buffer);
}
