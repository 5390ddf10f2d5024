// Scans JSON text (RFC 8259, strictly) in one linear pass without building values: says where the members of an object
// and the items of a list begin and end, so that a payload can be stored and sent as the very text that came. Nesting
// costs no recursion: what a peer nests deeply is counted, not followed.

type JsonKind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';

/** A member of an object; `from` and `to` are the span of its value, in UTF-16 units of the whole text. */
export interface JsonMember {
  readonly name: string;
  readonly kind: JsonKind;
  readonly from: number;
  readonly to: number;
  /** How deeply arrays and objects are nested in the value: 0 for a scalar, 1 for `[]`. */
  readonly levels: number;
  /** Of a string: it holds no escape, so the text between its quotation marks is its value. */
  readonly isPlain: boolean;
}

/** A value within a text, and its members when it is an object. */
export interface JsonNode {
  readonly text: string;
  readonly kind: JsonKind;
  readonly from: number;
  readonly to: number;
  /** Empty for what is not an object. */
  readonly members: readonly JsonMember[];
  /** A name that is given twice or a member too many: the JSON pointer and a sentence about it. */
  readonly fault: { readonly pointer: string; readonly found: string } | undefined;
}

/** An array whose items were looked at. At most `maxItems` of them are in `items`; `count` is how many there are. */
interface JsonList {
  readonly items: readonly JsonNode[];
  readonly count: number;
}

/** What is not JSON, with its place in UTF-16 units. */
export class JsonSyntaxError extends Error {
  readonly offset: number;

  constructor(text: string, offset: number, expected: string) {
    const byte = Buffer.byteLength(text.slice(0, offset));
    super(`unexpected ${foundAt(text, offset)} at byte ${byte}; expected: ${expected}`);
    this.offset = offset;
  }
}

/** An event has some ten attributes. One with more is refused: each costs memory many times its length. */
export const MAX_MEMBERS = 256;
/** Up to here a name is looked for among the others one by one, which is faster than a set. */
const SMALL_OBJECT = 16;
/** A string that has not ended by then is searched by a pattern, which sets out more slowly and runs faster. */
const LONG_STRING = 32;
/** The longest name that is allowed anywhere has 255 characters, each an escape; what is longer is compared as it is written. */
const LONGEST_NAME = 6 * 255;
/** Characters of a string that stand for themselves. */
// oxlint-disable-next-line no-control-regex -- control characters end the run (RFC 8259 section 7)
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const NO_MEMBERS: readonly JsonMember[] = [];

/** Scans a text that is one value. Throws JsonSyntaxError. */
export function scanValue(text: string): JsonNode {
  const scanner = new Scanner(text);
  const node = scanner.node();
  scanner.end();
  return node;
}

/** Scans a text that is one value or an array of them, as a batch of events is. Throws JsonSyntaxError. */
export function scanBatch(text: string, maxItems: number): { readonly isArray: boolean } & JsonList {
  const scanner = new Scanner(text);
  const isArray = scanner.next() === OPEN_ARRAY;
  const list = isArray ? scanner.list(maxItems) : { items: [scanner.node()], count: 1 };
  scanner.end();
  return { isArray, ...list };
}

/** A value, and the items of one of its members. */
export interface JsonNodeWithList extends JsonNode {
  /** Undefined when the member is missing or not an array. */
  readonly list: JsonList | undefined;
}

/** Scans a text that is one value, and the items of its member `listName`. Throws JsonSyntaxError. */
export function scanObjectWithList(text: string, listName: string, maxItems: number): JsonNodeWithList {
  const scanner = new Scanner(text);
  const node = scanner.node(listName, maxItems);
  scanner.end();
  return { ...node, list: scanner.found };
}

/** The string that a member of kind `string` is. */
export function stringOf(text: string, { from, to, isPlain }: JsonMember): string {
  return isPlain ? text.slice(from + 1, to - 1) : stringAt(text, from, to);
}

/** The string at this place with its quotation marks. */
export function stringAt(text: string, from: number, to: number): string {
  const raw = text.slice(from + 1, to - 1);
  // The scanner has found it well formed: what is left are its escapes.
  return raw.includes('\\') ? (JSON.parse(text.slice(from, to)) as string) : raw;
}

/** A name as a token of a JSON pointer (RFC 6901 section 3), cut to what fits into a message. */
export function pointerToken(name: string): string {
  return name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1');
}

/**
 * Names that most members have, with the text before their values, by their first letter: found so, a name needs no
 * text of its own, and look-ups and comparisons use its hash and its identity. Any other name is read.
 */
const COMMON_NAMES = commonNames(
  [
    'specversion',
    'source',
    'subject',
    'type',
    'time',
    'id',
    'items',
    'data',
    'datacontenttype',
    'dataschema',
    'data_base64',
  ],
  ['expirytime', 'first', 'through', 'crc32'],
);

function commonNames(...names: readonly (readonly string[])[]): readonly (readonly CommonName[] | undefined)[] {
  const byLetter: CommonName[][] = [];
  for (const name of names.flat()) (byLetter[name.charCodeAt(0)] ??= []).push({ name, written: `"${name}":` });
  return Array.from({ length: 128 }, (_, letter) => byLetter[letter]);
}

interface CommonName {
  readonly name: string;
  readonly written: string;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;

class Scanner {
  readonly #text: string;
  #at = 0;
  /** How deeply the value skipped last is nested. */
  #levels = 0;
  /** The string passed last holds no escape. */
  #isPlain = true;
  /** The closing brackets that are due; kept for the next value. */
  readonly #open: number[] = [];
  /** The array that `node` was to look at. */
  found: JsonList | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** The code of the next character that is not white space; NaN at the end. */
  next(): number {
    const text = this.#text;
    const first = text.charCodeAt(this.#at);
    if (first > 0x20) return first;
    for (let at = this.#at; ; at += 1) {
      const code = text.charCodeAt(at);
      if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) continue;
      this.#at = at;
      return code;
    }
  }

  end(): void {
    this.next();
    if (this.#at < this.#text.length) this.#fail('the end of the text');
  }

  /** One value, with its members when it is an object. */
  node(listName?: string, maxItems = 0): JsonNode {
    const opening = this.next();
    const from = this.#at;
    if (opening === OPEN_OBJECT) return this.#object(listName, maxItems);
    const kind = this.#skip();
    return { text: this.#text, kind, from, to: this.#at, members: NO_MEMBERS, fault: undefined };
  }

  /** An array, which begins here. */
  list(maxItems: number): JsonList {
    const items: JsonNode[] = [];
    this.#at += 1;
    if (this.next() === CLOSE_ARRAY) {
      this.#at += 1;
      return { items, count: 0 };
    }
    for (let count = 1; ; count += 1) {
      if (count <= maxItems) items.push(this.node());
      else this.#skip();
      const code = this.next();
      if (code !== COMMA && code !== CLOSE_ARRAY) this.#fail('"," or "]"');
      this.#at += 1;
      if (code === CLOSE_ARRAY) return { items, count };
    }
  }

  #object(listName: string | undefined, maxItems: number): JsonNode {
    const text = this.#text;
    const from = this.#at;
    const members: JsonMember[] = [];
    let names: Set<string> | undefined;
    let fault: JsonNode['fault'];
    this.#at += 1;
    if (this.next() === CLOSE_OBJECT) this.#at += 1;
    else {
      for (let code = COMMA; code === COMMA; this.#at += 1) {
        const name = this.#name();
        const opening = this.next();
        const valueFrom = this.#at;
        let kind: JsonKind = 'array';
        if (name === listName && opening === OPEN_ARRAY) this.found = this.list(maxItems);
        else kind = this.#skip();
        if (members.length === SMALL_OBJECT) names ??= new Set(members.map((member) => member.name));
        const isRepeated = names === undefined ? isAmong(members, name) : names.has(name);
        if (isRepeated) fault ??= { pointer: `/${pointerToken(name)}`, found: 'is given twice' };
        else if (members.length === MAX_MEMBERS)
          fault ??= { pointer: '', found: `has more than ${MAX_MEMBERS} members` };
        else {
          members.push({ name, kind, from: valueFrom, to: this.#at, levels: this.#levels, isPlain: this.#isPlain });
          names?.add(name);
        }
        code = this.next();
        if (code !== COMMA && code !== CLOSE_OBJECT) this.#fail('"," or "}"');
      }
    }
    return { text, kind: 'object', from, to: this.#at, members, fault };
  }

  /** A member's name and the colon behind it. */
  #name(): string {
    if (this.next() !== QUOTE) this.#fail('a name in quotation marks');
    const text = this.#text;
    const from = this.#at;
    const common = COMMON_NAMES[text.charCodeAt(from + 1)];
    if (common !== undefined) {
      for (const { name, written } of common) {
        if (!text.startsWith(written, from)) continue;
        this.#at = from + written.length;
        return name;
      }
    }
    this.#string();
    const name =
      this.#at - from - 2 > LONGEST_NAME ? text.slice(from + 1, this.#at - 1) : stringAt(text, from, this.#at);
    if (this.next() !== COLON) this.#fail('":"');
    this.#at += 1;
    return name;
  }

  /** Passes one value, however deep, and says what it is. */
  #skip(): JsonKind {
    if (this.next() === QUOTE) {
      this.#levels = 0;
      this.#string();
      return 'string';
    }
    const open = this.#open;
    open.length = 0;
    let deepest = 0;
    const kind = this.#scalarOrOpening();
    for (let opened = kind === 'array' || kind === 'object'; ;) {
      // An array or object that has just begun is either empty or holds a value now.
      if (opened) {
        deepest = Math.max(deepest, open.length);
        const closing = open[open.length - 1];
        if (this.next() !== closing) {
          if (closing === CLOSE_OBJECT) this.#pastName();
          opened = isContainer(this.#scalarOrOpening());
          if (opened) continue;
        }
      }
      // Behind a value: the next one, or the end of the value that contains it.
      const closing = open[open.length - 1];
      if (closing === undefined) break;
      const code = this.next();
      if (code === closing) {
        this.#at += 1;
        open.pop();
        opened = false;
      } else if (code === COMMA) {
        this.#at += 1;
        if (closing === CLOSE_OBJECT) this.#pastName();
        opened = isContainer(this.#scalarOrOpening());
      } else this.#fail(closing === CLOSE_OBJECT ? '"," or "}"' : '"," or "]"');
    }
    this.#levels = deepest;
    return kind;
  }

  #pastName(): void {
    if (this.next() !== QUOTE) this.#fail('a name in quotation marks');
    this.#string();
    if (this.next() !== COLON) this.#fail('":"');
    this.#at += 1;
  }

  /** Passes a scalar, or the opening bracket of what is none. */
  #scalarOrOpening(): JsonKind {
    const code = this.next();
    switch (code) {
      case QUOTE:
        this.#string();
        return 'string';
      case OPEN_OBJECT:
        this.#at += 1;
        this.#open.push(CLOSE_OBJECT);
        return 'object';
      case OPEN_ARRAY:
        this.#at += 1;
        this.#open.push(CLOSE_ARRAY);
        return 'array';
      case 0x74:
        return this.#word('true', 'boolean');
      case 0x66:
        return this.#word('false', 'boolean');
      case 0x6e:
        return this.#word('null', 'null');
      default:
        if (code !== MINUS && !isDigit(code)) this.#fail('a value');
        this.#number();
        return 'number';
    }
  }

  #word(word: string, kind: JsonKind): JsonKind {
    if (!this.#text.startsWith(word, this.#at)) this.#fail(`"${word}"`);
    this.#at += word.length;
    return kind;
  }

  /** Passes a string, which begins here (RFC 8259 section 7). */
  #string(): void {
    const text = this.#text;
    const long = this.#at + LONG_STRING;
    this.#isPlain = true;
    for (let at = this.#at + 1; ; at += 1) {
      if (at === long) {
        PLAIN.lastIndex = at;
        PLAIN.test(text);
        at = PLAIN.lastIndex;
      }
      const code = text.charCodeAt(at);
      if (code === QUOTE) {
        this.#at = at + 1;
        return;
      }
      if (code === BACKSLASH) {
        this.#isPlain = false;
        at = this.#escape(at + 1);
      }
      // The end of the text is NaN, which is not "at least" anything.
      else if (!(code >= 0x20)) {
        this.#at = at;
        this.#fail('a character of a string or its end');
      }
    }
  }

  /** Returns the last character of the escape whose letter is at `at`. */
  #escape(at: number): number {
    const text = this.#text;
    switch (text.charCodeAt(at)) {
      case QUOTE:
      case BACKSLASH:
      case 0x2f:
      case 0x62:
      case 0x66:
      case 0x6e:
      case 0x72:
      case 0x74:
        return at;
      case 0x75:
        for (let digit = at + 1; digit <= at + 4; digit += 1) {
          if (isHexDigit(text.charCodeAt(digit))) continue;
          this.#at = digit;
          this.#fail('a hexadecimal digit');
        }
        return at + 4;
      default:
        this.#at = at;
        return this.#fail('the letter of an escape');
    }
  }

  /** Passes a number (RFC 8259 section 6). */
  #number(): void {
    const text = this.#text;
    if (text.charCodeAt(this.#at) === MINUS) this.#at += 1;
    if (text.charCodeAt(this.#at) === 0x30) this.#at += 1;
    else this.#digits();
    if (text.charCodeAt(this.#at) === POINT) {
      this.#at += 1;
      this.#digits();
    }
    if ((text.charCodeAt(this.#at) | 0x20) !== 0x65) return;
    this.#at += 1;
    const sign = text.charCodeAt(this.#at);
    if (sign === PLUS || sign === MINUS) this.#at += 1;
    this.#digits();
  }

  #digits(): void {
    const text = this.#text;
    let at = this.#at;
    while (isDigit(text.charCodeAt(at))) at += 1;
    if (at === this.#at) this.#fail('a digit');
    this.#at = at;
  }

  #fail(expected: string): never {
    throw new JsonSyntaxError(this.#text, this.#at, expected);
  }
}

/** Not `some`: this runs for every member of every message. */
function isAmong(members: readonly JsonMember[], name: string): boolean {
  for (const member of members) if (member.name === name) return true;
  return false;
}

function isContainer(kind: JsonKind): boolean {
  return kind === 'array' || kind === 'object';
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isHexDigit(code: number): boolean {
  return isDigit(code) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x66);
}

function foundAt(text: string, offset: number): string {
  const point = text.codePointAt(offset);
  if (point === undefined) return 'end of the text';
  if (point === 0xfeff) return 'byte order mark';
  const isPrintable = point > 0x20 && point < 0x7f;
  return isPrintable ? `"${String.fromCodePoint(point)}"` : `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}
