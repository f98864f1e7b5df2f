// What a portal does with passkeys, without a library: register, log in, sign a transaction, send it.
//
// Rule: the page computes what is signed from the call itself and from nothing that a node says, compares the key that the node read
// out of the registration with the browser's own, and brings an ECDSA signature into its one form (low s) before it sends it.

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const encoder = new TextEncoder();

export const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

// --- the ledger's encoding: MessagePack, arrays for structs ---

function head(small, smallMax, wide, size) {
  if (size <= smallMax) return [small | size];
  for (const [marker, bytes] of wide) {
    if (size < 2 ** (8 * bytes)) return [marker, ...bigEndian(size, bytes)];
  }
  throw new Error("too long");
}

function bigEndian(number, size) {
  return [...Array(size).keys()].map((at) => Math.floor(number / 2 ** (8 * (size - 1 - at))) % 256);
}

export function encode(value) {
  if (value instanceof Uint8Array) return joined(head(0, -1, [[0xc4, 1], [0xc5, 2], [0xc6, 4]], value.length), value);
  if (Array.isArray(value)) return joined(head(0x90, 15, [[0xdc, 2]], value.length), ...value.map(encode));
  if (typeof value === "number") return Uint8Array.from(head(0, 127, [[0xcc, 1], [0xcd, 2], [0xce, 4], [0xcf, 8]], value));
  const text = encoder.encode(value);
  return joined(head(0xa0, 31, [[0xd9, 1], [0xda, 2]], text.length), text);
}

async function hash(domain, message) {
  const name = encoder.encode(domain);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined([name.length], name, message)));
}

// --- ECDSA in its one form ---

function readDer(der) {
  const numbers = [];
  let at = 2;
  for (let index = 0; index < 2; index += 1) {
    const size = der[at + 1];
    numbers.push(BigInt("0x" + hex(der.slice(at + 2, at + 2 + size))));
    at += 2 + size;
  }
  return numbers;
}

function integer(number) {
  let text = number.toString(16);
  text = text.length % 2 ? "0" + text : text;
  const bytes = [...unhex(text)];
  if (bytes[0] >= 0x80) bytes.unshift(0);
  return [2, bytes.length, ...bytes];
}

export function lowS(der) {
  const [r, s] = readDer(der);
  const body = [...integer(r), ...integer(s > P256_ORDER / 2n ? P256_ORDER - s : s)];
  return Uint8Array.from([0x30, body.length, ...body]);
}

function packed(response) {
  const signature = new Uint8Array(response.signature);
  return encode([
    new Uint8Array(response.authenticatorData),
    new Uint8Array(response.clientDataJSON),
    signature[0] === 0x30 && signature.length !== 64 ? lowS(signature) : signature,
  ]);
}

// --- the node ---

async function call(method, path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(`${value?.code ?? answer.status}: ${value?.detail_en ?? text}`);
  return value;
}

// --- what a person does ---

export async function register(label, account = null, exclude = []) {
  const asked = await call("POST", "/v1/passkeys/options", { label, account, exclude });
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(asked.options);
  const credential = await navigator.credentials.create({ publicKey });
  const key = await call("POST", "/v1/passkeys/registrations", { label, credential: credential.toJSON() });
  const own = hex(credential.response.getPublicKey());
  if (!own.endsWith(key.public_key)) throw new Error("the node read another key than the browser made");
  return key;
}

async function assertion(challenge, rpId, credentials) {
  const allowCredentials = credentials.map((id) => ({ type: "public-key", id: unbase64url(id) }));
  const publicKey = { challenge, rpId, allowCredentials, userVerification: "required", timeout: 60000 };
  return navigator.credentials.get({ publicKey });
}

function unbase64url(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

export async function logIn(account) {
  const asked = await call("POST", "/v1/passkeys/challenges", undefined);
  const challenge = await hash("zhenglian/session/1", unhex(asked.challenge));
  const credential = await assertion(challenge, asked.options.rpId, []);
  const signed = hex(packed(credential.response));
  return call("POST", "/v1/passkeys/sessions", { account, challenge: asked.challenge, assertion: signed });
}

// `args`: canonical bytes of the call's arguments, hex. `tamper` changes the body after it was signed, for the tests.
export async function sign({ account, key_id, credential_id, contract, method, args }, tamper = (body) => body) {
  const [network, portals] = await Promise.all([call("GET", "/v1/network"), call("GET", "/v1/portals")]);
  const body = [
    unhex(network.chain_id),
    unhex(account),
    unhex(key_id),
    crypto.getRandomValues(new Uint8Array(16)),
    Date.now() + 300000,
    [contract, method, unhex(args)],
  ];
  const challenge = await hash("zhenglian/transaction-sign/1", encode(body));
  const credential = await assertion(challenge, portals.rp_id, [credential_id]);
  return base64(encode([tamper(body), packed(credential.response)]));
}

export async function send(transaction) {
  return call("POST", "/v1/transactions", { transaction });
}

export async function mine(account, token) {
  return call("GET", `/v1/accounts/${account}`, undefined, token);
}
