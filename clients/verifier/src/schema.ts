/**
 * Types of the wire, as data: how a struct is read from JSON, written as JSON, encoded and bounded.
 *
 * Rule: one description serves all four, and the TypeScript type is derived from it, so that they cannot differ.
 * An encoding is canonical MessagePack: structs and lists are arrays, every length and number in its shortest
 * form. Numbers are bigints throughout.
 */

import { bigEndian, fromHex, isWellFormed, toHex, utf8 } from "./bytes.ts";
import type { Json, JsonTree } from "./json.ts";

/** What was read is not of the type. */
export class Mistyped extends Error {}

export interface Type<T> {
  /** The value of a JSON tree; bounds are not looked at. Raises Mistyped. */
  read(tree: JsonTree, where: string): T;
  /** The JSON tree of a value. */
  tree(value: T): Json;
  /** Append the canonical encoding. Raises Mistyped for what has none. */
  encode(value: T, sink: Sink): void;
  /** Whether the value is within the bounds of the type; raises Mistyped with the place where not. */
  bound(value: T, where: string): void;
}

export type Infer<K> = K extends Type<infer T> ? T : never;

/** Collects bytes. */
export class Sink {
  #data = new Uint8Array(1024);
  #size = 0;

  byte(value: number): void {
    this.#grow(1);
    this.#data[this.#size++] = value;
  }

  bytes(data: Uint8Array): void {
    this.#grow(data.length);
    this.#data.set(data, this.#size);
    this.#size += data.length;
  }

  /** A tag and the big-endian number after it. */
  tagged(tag: number, value: bigint, size: number): void {
    this.byte(tag);
    this.bytes(bigEndian(value, size));
  }

  done(): Uint8Array {
    return this.#data.slice(0, this.#size);
  }

  #grow(more: number): void {
    if (this.#size + more <= this.#data.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#data.length, this.#size + more));
    larger.set(this.#data.subarray(0, this.#size));
    this.#data = larger;
  }
}

/** The canonical bytes of a value. */
export function encode<T>(type: Type<T>, value: T): Uint8Array {
  const sink = new Sink();
  type.encode(value, sink);
  return sink.done();
}

const INT_MIN = -(2n ** 63n);
const UINT_MAX = 2n ** 64n - 1n;

function encodeInt(value: bigint, sink: Sink): void {
  if (value < INT_MIN || value > UINT_MAX) throw new Mistyped("a number is out of range");
  if (value >= 0n) {
    if (value < 0x80n) sink.byte(Number(value));
    else if (value < 0x100n) sink.tagged(0xcc, value, 1);
    else if (value < 0x10000n) sink.tagged(0xcd, value, 2);
    else if (value < 0x100000000n) sink.tagged(0xce, value, 4);
    else sink.tagged(0xcf, value, 8);
  } else if (value >= -0x20n) sink.byte(Number(value + 0x100n));
  else if (value >= -0x80n) sink.tagged(0xd0, value + 0x100n, 1);
  else if (value >= -0x8000n) sink.tagged(0xd1, value + 0x10000n, 2);
  else if (value >= -0x80000000n) sink.tagged(0xd2, value + 0x100000000n, 4);
  else sink.tagged(0xd3, value + 2n ** 64n, 8);
}

function encodeText(value: string, sink: Sink): void {
  if (!isWellFormed(value)) throw new Mistyped("a text is not UTF-8");
  const data = utf8(value);
  const size = BigInt(data.length);
  if (size < 32n) sink.byte(0xa0 | data.length);
  else if (size < 0x100n) sink.tagged(0xd9, size, 1);
  else if (size < 0x10000n) sink.tagged(0xda, size, 2);
  else sink.tagged(0xdb, size, 4);
  sink.bytes(data);
}

function encodeBytes(data: Uint8Array, sink: Sink): void {
  const size = BigInt(data.length);
  if (size < 0x100n) sink.tagged(0xc4, size, 1);
  else if (size < 0x10000n) sink.tagged(0xc5, size, 2);
  else sink.tagged(0xc6, size, 4);
  sink.bytes(data);
}

function encodeArrayHead(length: number, sink: Sink): void {
  if (length < 16) sink.byte(0x90 | length);
  else if (length < 0x10000) sink.tagged(0xdc, BigInt(length), 2);
  else sink.tagged(0xdd, BigInt(length), 4);
}

function checkLength(length: number, min: number, max: number, where: string): void {
  if (length < min || length > max)
    throw new Mistyped(`${where}: length ${length} is not within ${min} … ${max}`);
}

export function int(min: bigint, max: bigint): Type<bigint> {
  return {
    read(tree, where) {
      if (typeof tree !== "bigint") throw new Mistyped(`${where}: not of the expected type`);
      return tree;
    },
    tree: (value) => value,
    encode: encodeInt,
    bound(value, where) {
      if (value < min || value > max) throw new Mistyped(`${where}: ${value} is out of range`);
    },
  };
}

/** A text of so many code points. */
export function text(min = 0, max = Number.POSITIVE_INFINITY): Type<string> {
  return {
    read(tree, where) {
      if (typeof tree !== "string") throw new Mistyped(`${where}: not of the expected type`);
      return tree;
    },
    tree: (value) => value,
    encode: encodeText,
    bound: (value, where) => checkLength(codePoints(value), min, max, where),
  };
}

function codePoints(value: string): number {
  let count = 0;
  for (const _ of value) count++;
  return count;
}

export function bytes(min = 0, max = Number.POSITIVE_INFINITY): Type<Uint8Array> {
  return {
    read(tree, where) {
      const data = typeof tree === "string" ? fromHex(tree) : undefined;
      if (data === undefined) throw new Mistyped(`${where}: not lowercase hex`);
      return data;
    },
    tree: toHex,
    encode: encodeBytes,
    bound: (value, where) => checkLength(value.length, min, max, where),
  };
}

/** A text or an integer. */
export const textOrInt: Type<string | bigint> = {
  read(tree, where) {
    if (typeof tree !== "string" && typeof tree !== "bigint") {
      throw new Mistyped(`${where}: not of the expected type`);
    }
    return tree;
  },
  tree: (value) => value,
  encode: (value, sink) => (typeof value === "string" ? encodeText(value, sink) : encodeInt(value, sink)),
  bound() {},
};

/** A number that JSON has by its name. */
export function named<N extends string>(numbers: Readonly<Record<N, bigint>>): Type<N> {
  const names = Object.keys(numbers) as N[];
  return {
    read(tree, where) {
      const found = names.find((name) => name === tree);
      if (found === undefined) throw new Mistyped(`${where}: not one of ${names.join(", ")}`);
      return found;
    },
    tree: (value) => value,
    encode: (value, sink) => encodeInt(numbers[value], sink),
    bound() {},
  };
}

export function list<T>(item: Type<T>, min = 0, max = Number.POSITIVE_INFINITY): Type<readonly T[]> {
  return {
    read(tree, where) {
      if (!Array.isArray(tree)) throw new Mistyped(`${where}: not a list`);
      return tree.map((found, at) => item.read(found, `${where}[${at}]`));
    },
    tree: (value) => value.map((found) => item.tree(found)),
    encode(value, sink) {
      encodeArrayHead(value.length, sink);
      for (const found of value) item.encode(found, sink);
    },
    bound(value, where) {
      checkLength(value.length, min, max, where);
      value.forEach((found, at) => {
        item.bound(found, `${where}[${at}]`);
      });
    },
  };
}

export function pair<A, B>(first: Type<A>, second: Type<B>): Type<readonly [A, B]> {
  return {
    read(tree, where) {
      if (!Array.isArray(tree)) throw new Mistyped(`${where}: not a list`);
      const [one, other] = tree;
      if (tree.length !== 2 || one === undefined || other === undefined) {
        throw new Mistyped(`${where}: ${tree.length} items in place of 2`);
      }
      return [first.read(one, `${where}[0]`), second.read(other, `${where}[1]`)];
    },
    tree: ([one, other]) => [first.tree(one), second.tree(other)],
    encode([one, other], sink) {
      encodeArrayHead(2, sink);
      first.encode(one, sink);
      second.encode(other, sink);
    },
    bound([one, other], where) {
      first.bound(one, `${where}[0]`);
      second.bound(other, `${where}[1]`);
    },
  };
}

/** A value, or null for nothing. */
export function optional<T>(type: Type<T>): Type<T | null> {
  return {
    read: (tree, where) => (tree === null ? null : type.read(tree, where)),
    tree: (value) => (value === null ? null : type.tree(value)),
    encode: (value, sink) => (value === null ? sink.byte(0xc0) : type.encode(value, sink)),
    bound(value, where) {
      if (value !== null) type.bound(value, where);
    },
  };
}

type Members = Record<string, Type<never>>;
type Struct<M> = { readonly [N in keyof M]: Infer<M[N]> };

/** A struct: in JSON an object with all its members in order, encoded as an array of them. */
export function struct<M extends { [N in keyof M]: M[N] extends Type<infer _> ? M[N] : never }>(
  members: M,
): Type<Struct<M>> {
  const types = Object.entries(members as Members);
  const names = types.map(([name]) => name);
  const get = (value: Struct<M>, name: string): never => (value as Record<string, never>)[name] as never;
  return {
    read(tree, where) {
      if (!(tree instanceof Map)) throw new Mistyped(`${where}: not an object`);
      const found = [...tree.keys()];
      if (found.length !== names.length || found.some((name, at) => name !== names[at])) {
        throw new Mistyped(`${where}: not the members of this object, or not in their order`);
      }
      const entries = types.map(([name, type]) => [
        name,
        type.read(tree.get(name) ?? null, `${where}.${name}`),
      ]);
      return Object.fromEntries(entries) as Struct<M>;
    },
    tree: (value) => Object.fromEntries(types.map(([name, type]) => [name, type.tree(get(value, name))])),
    encode(value, sink) {
      encodeArrayHead(types.length, sink);
      for (const [name, type] of types) type.encode(get(value, name), sink);
    },
    bound(value, where) {
      for (const [name, type] of types) type.bound(get(value, name), `${where}.${name}`);
    },
  };
}
