/**
 * JSON as the files of proofs use it: objects, lists, texts, integers, null, true and false, nothing else.
 *
 * Rule: bounded before it is read and while it is read; a member twice, a fraction, too deep a nesting or too
 * long a number is malformed; what `render` writes is the one way to write a tree.
 */

import { LimitExceeded } from "./verdicts.ts";

export type Json = { [name: string]: Json } | Json[] | string | bigint | boolean | null;
export type JsonObject = Map<string, JsonTree>;
/** A tree as it was read: an object keeps the order of its members. */
export type JsonTree = JsonObject | JsonTree[] | string | bigint | boolean | null;

export const NESTING_MAX = 32;
export const INTEGER_CHARACTERS_MAX = 20;

/** The text is no JSON of this kind. */
export class MalformedJson extends Error {}

const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const CHUNK = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const HEX4 = /[0-9a-fA-F]{4}/y;

/** The bytes of a file as text. */
export function decodeText(data: Uint8Array | string, what: string, sizeBytesMax: number): string {
  // A text takes at least as many bytes as it has UTF-16 units.
  const size = typeof data === "string" ? utf8Size(data) : data.length;
  if (size > sizeBytesMax) throw new LimitExceeded(`${what} bytes`, sizeBytesMax, size);
  if (typeof data === "string") return data;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw new MalformedJson("not UTF-8");
  }
}

function utf8Size(text: string): number {
  let size = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // Each half of a pair counts two of its four bytes.
    size += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
  }
  return size;
}

/** Read one JSON value that fills the whole text. */
export function parse(text: string): JsonTree {
  const reader = new Reader(text);
  return reader.whole();
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): JsonTree {
    const tree = this.#value(0);
    this.#space();
    if (this.#at !== this.#text.length) throw this.#malformed("something after the end");
    return tree;
  }

  #malformed(reason: string): MalformedJson {
    return new MalformedJson(`${reason} at character ${this.#at}`);
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  #space(): void {
    this.#match(SPACE);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #value(depth: number): JsonTree {
    this.#space();
    const first = this.#text[this.#at];
    if (first === "{" || first === "[") {
      if (depth === NESTING_MAX) throw this.#malformed(`nested more than ${NESTING_MAX} deep`);
      this.#at++;
      return first === "{" ? this.#object(depth + 1) : this.#list(depth + 1);
    }
    if (first === '"') return this.#string();
    for (const [word, value] of [
      ["null", null],
      ["true", true],
      ["false", false],
    ] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #object(depth: number): JsonObject {
    const members: JsonObject = new Map();
    this.#space();
    if (this.#take("}")) return members;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#malformed("a member's name is expected");
      const name = this.#string();
      this.#space();
      if (!this.#take(":")) throw this.#malformed("a colon is expected");
      if (members.has(name)) throw this.#malformed("a member occurs twice");
      members.set(name, this.#value(depth));
      this.#space();
    } while (this.#take(","));
    if (!this.#take("}")) throw this.#malformed("the end of an object is expected");
    return members;
  }

  #list(depth: number): JsonTree[] {
    const items: JsonTree[] = [];
    this.#space();
    if (this.#take("]")) return items;
    do {
      items.push(this.#value(depth));
      this.#space();
    } while (this.#take(","));
    if (!this.#take("]")) throw this.#malformed("the end of a list is expected");
    return items;
  }

  #string(): string {
    this.#at++;
    const parts: string[] = [];
    for (;;) {
      parts.push(this.#match(CHUNK)?.[0] ?? "");
      if (this.#take('"')) return parts.join("");
      if (!this.#take("\\")) throw this.#malformed("a text is not ended");
      const escaped = this.#text[this.#at++] ?? "";
      if (escaped === "u") {
        const digits = this.#match(HEX4)?.[0];
        if (digits === undefined) throw this.#malformed("an escape is malformed");
        parts.push(String.fromCharCode(Number.parseInt(digits, 16)));
      } else {
        const character = Object.hasOwn(ESCAPES, escaped) ? ESCAPES[escaped] : undefined;
        if (character === undefined) throw this.#malformed("an escape is malformed");
        parts.push(character);
      }
    }
  }

  #number(): bigint {
    const found = this.#match(NUMBER);
    if (found === null) throw this.#malformed("a value is expected");
    const [digits, fraction, exponent] = found;
    if (fraction !== undefined || exponent !== undefined) throw this.#malformed("not an integer");
    if (digits.length > INTEGER_CHARACTERS_MAX) throw this.#malformed("a number is too long");
    return BigInt(digits);
  }
}

/** The text of a tree: two spaces of indentation, characters as they are, a final newline. */
export function render(tree: Json): string {
  return `${write(tree, "\n")}\n`;
}

function write(tree: Json, newline: string): string {
  const deeper = `${newline}  `;
  if (Array.isArray(tree)) {
    return tree.length === 0
      ? "[]"
      : `[${deeper}${tree.map((item) => write(item, deeper)).join(`,${deeper}`)}${newline}]`;
  }
  if (tree !== null && typeof tree === "object") {
    const members = Object.entries(tree).map(
      ([name, item]) => `${JSON.stringify(name)}: ${write(item, deeper)}`,
    );
    return members.length === 0 ? "{}" : `{${deeper}${members.join(`,${deeper}`)}${newline}}`;
  }
  return typeof tree === "bigint" ? tree.toString() : JSON.stringify(tree);
}

/** Whether two JSON texts are the same but for white space between tokens; both have to be well-formed. */
export function sameButForSpace(one: string, other: string): boolean {
  let left = 0;
  let right = 0;
  let inString = false;
  for (;;) {
    if (!inString) {
      left = pastSpace(one, left);
      right = pastSpace(other, right);
    }
    const unit = one[left];
    if (unit !== other[right]) return false;
    if (unit === undefined) return true;
    if (inString && unit === "\\") {
      left++;
      right++;
      if (one[left] !== other[right]) return false;
    } else if (unit === '"') {
      inString = !inString;
    }
    left++;
    right++;
  }
}

function pastSpace(text: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.exec(text);
  return SPACE.lastIndex;
}

/**
 * Whether a tree that was read says the same as one that was made. Neither the order of members counts here nor
 * true for 1: what is written otherwise is found by its letters.
 */
export function sameTree(read: JsonTree, made: Json): boolean {
  if (read instanceof Map) {
    if (made === null || typeof made !== "object" || Array.isArray(made)) return false;
    const names = Object.keys(made);
    return (
      names.length === read.size &&
      names.every((name) => {
        const item = read.get(name);
        const other = made[name];
        return item !== undefined && other !== undefined && sameTree(item, other);
      })
    );
  }
  if (Array.isArray(read)) {
    return (
      Array.isArray(made) &&
      made.length === read.length &&
      read.every((item, at) => sameTree(item, made[at] ?? null))
    );
  }
  return typeof read === "boolean" && typeof made === "bigint" ? BigInt(read) === made : read === made;
}
