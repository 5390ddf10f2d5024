// Each reader of text or bytes from outside costs CPU in proportion to their size: twice the input costs at most 2.5
// times as much, whatever it holds. Least of five runs each, of process CPU time; what is cheap is repeated until there
// is something to measure.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { elementsIn } from '../../shared/asn1/reader.ts';
import { structureFault } from '../../shared/asn1/structure.ts';
import { readDistinguishedName } from '../../shared/x509/distinguished-name.ts';
import { splitJvmArgs } from '../../shared/settings/jvm-args.ts';
import { writeJks } from '../../shared/keystore/jks.ts';
import { openStore } from '../../shared/keystore/open.ts';
import { hasPemComments, removeFromPem } from '../../shared/keystore/pem.ts';
import { readPkcs7 } from '../../shared/keystore/pkcs7.ts';
import { writePkcs12 } from '../../shared/keystore/pkcs12.ts';
import type { StoreEntry } from '../../shared/keystore/material.ts';
import { derInPem, pemBlocks } from '../../shared/x509/pem.ts';
import { parseProperties } from '../../shared/settings/properties.ts';
import { EntryIndex } from '../../shared/truststore/entries.ts';
import { decodeFromAgent } from '../../shared/wire/codec.ts';
import { scanValue } from '../../shared/wire/json-text.ts';
import { alternativeNamesIn } from '../../shared/wire/names.ts';
import { readItem } from '../../shared/delivery/message.ts';
import { originOf } from '../../central/auth/address-rules.ts';
import { AddressSet } from '../../central/parameters/address-access.ts';
import { der, explicit, integer, octets, oid, sequence, set, TAG } from '../../shared/asn1/writer.ts';
import { BAITS, cpuMs, nestedDer, whateverComesOfIt } from '../bait.ts';

/** Doubling the input may cost this much more; linear work is 2, the rest is what the machine does besides. */
const MOST = 2.5;
/** Below this a run measures the clock, not the work. */
const LEAST_MS = 5;
const RUNS = 5;
const MOST_ROUNDS = 16;
const MOST_TIMES = 256;
const NO_LIMIT = { maxLength: Number.MAX_SAFE_INTEGER, maxBlocks: Number.MAX_SAFE_INTEGER };
const NO_DER_LIMIT = {
  maxBytes: Number.MAX_SAFE_INTEGER,
  maxDepth: Number.MAX_SAFE_INTEGER,
  maxElements: Number.MAX_SAFE_INTEGER,
  form: 'ber',
  octets: true,
} as const;

interface Reader {
  readonly name: string;
  /**
   * Units of the input; the double is measured against it. Frames are so long that V8 keeps both sizes in the same kind
   * of memory.
   */
  readonly size: number;
  /** Makes the input of a text, once. */
  readonly prepare?: (text: string) => string | Buffer;
  readonly read: (input: string | Buffer) => unknown;
}

const TEXT_READERS: readonly Reader[] = [
  {
    name: 'PEM',
    size: 100_000,
    read: (text) => derInPem(String(text), ['CERTIFICATE', 'CERTIFICATE REQUEST', 'X'], NO_LIMIT),
  },
  { name: 'blocks of PEM', size: 100_000, read: (text) => [...pemBlocks(String(text), NO_LIMIT)] },
  { name: 'a PEM store', size: 60_000, read: async (text) => await openStore({ bytes: Buffer.from(text), file: 'f' }) },
  {
    name: 'a PEM store that is changed',
    size: 60_000,
    read: (text) => [hasPemComments(Buffer.from(text), 'f'), removeFromPem(Buffer.from(text), 'f', new Set([0]))],
  },
  { name: 'a PKCS#7 bundle', size: 60_000, read: (text) => readPkcs7(Buffer.from(text), 'f') },
  { name: 'properties', size: 60_000, read: (text) => parseProperties(Buffer.from(text), 'f') },
  {
    name: 'properties of one key',
    size: 60_000,
    read: (text) => parseProperties(Buffer.from(`a=${String(text)}`), 'f'),
  },
  { name: 'a JVM command line', size: 60_000, read: (text) => splitJvmArgs(String(text)) },
  { name: 'alternative names', size: 60_000, read: (text) => [...alternativeNamesIn(String(text))] },
  { name: 'a distinguished name', size: 20_000, read: (text) => readDistinguishedName(String(text)) },
  {
    name: 'a JSON frame',
    size: 400_000,
    prepare: (text) => JSON.stringify({ type: 'messages', first: 1, items: [text] }),
    read: (text) => decodeFromAgent(String(text)),
  },
  {
    name: 'a JSON frame as it is',
    size: 400_000,
    prepare: (text) => Buffer.from(`{"type":"messages","first":1,"items":[${text}`).toString(),
    read: (text) => decodeFromAgent(String(text)),
  },
  {
    name: 'an item of a frame',
    size: 400_000,
    prepare: (text) => JSON.stringify({ specversion: '1.0', id: 'i', source: 's', type: 't', x: text, [text]: 1 }),
    read: (text) => readItem(scanValue(String(text)), Number.MAX_SAFE_INTEGER),
  },
  {
    name: 'forwarding headers',
    size: 60_000,
    read: (text) =>
      originOf(
        '127.0.0.1',
        'ws',
        { 'x-forwarded-for': String(text), 'x-forwarded-proto': String(text) },
        new AddressSet(['127.0.0.1']),
      ),
  },
  {
    name: 'a JKS store of this content',
    size: 60_000,
    read: async (text) =>
      await openStore({
        bytes: Buffer.concat([Buffer.from('feedfeed0000000200000fff', 'hex'), Buffer.from(text)]),
        file: 'f',
      }),
  },
  {
    name: 'a PKCS#12 store of this content',
    size: 60_000,
    prepare: (text) => pkcs12(Buffer.from(text)),
    read: async (input) => await openStore({ bytes: input as Buffer, file: 'f' }),
  },
];

/** A PKCS#12 without a MAC around the bytes of its content, so that nothing but the content is work. */
function pkcs12(content: Buffer): Buffer {
  return sequence(integer(3), sequence(oid(DATA), explicit(octets(content))));
}

/** The same with these bags, in one part that is not encrypted. */
function pkcs12Of(bags: readonly Buffer[]): Buffer {
  return pkcs12(sequence(sequence(oid(DATA), explicit(octets(sequence(...bags))))));
}

const DATA = '1.2.840.113549.1.7.1';
const BAG = '1.2.840.113549.1.12.10.1.';

function bag(type: '1' | '2' | '3' | '6', content: Buffer, attributes: readonly Buffer[]): Buffer {
  return sequence(oid(BAG + type), explicit(content), set(...attributes));
}

function attribute(type: string, value: Buffer): Buffer {
  return sequence(oid(type), set(value));
}

/** The name and the id of a bag. */
function namedBy(text: Buffer): readonly Buffer[] {
  return [attribute('1.2.840.113549.1.9.20', der(TAG.utf8, text)), attribute('1.2.840.113549.1.9.21', octets(text))];
}

function certificateBag(content: Buffer, named: Buffer): Buffer {
  return bag('3', sequence(oid('1.2.840.113549.1.9.22.1'), explicit(octets(content))), namedBy(named));
}

/** Bytes in pieces of this length. */
function piecesOf(bytes: Buffer, length: number): Buffer[] {
  return Array.from({ length: Math.floor(bytes.length / length) }, (_, i) =>
    bytes.subarray(i * length, (i + 1) * length),
  );
}

/** PKCS#12 that are read to their end: what is hostile is in them, and not in front of them. With their entries. */
const PKCS12: Readonly<Record<string, (content: Buffer) => Buffer>> = {
  'one certificate of this content': (content) => pkcs12Of([certificateBag(content, content)]),
  'certificates of this content': (content) =>
    pkcs12Of(piecesOf(content, 40).map((piece) => certificateBag(piece, piece))),
  // Each key looks for the certificate with its id, and for that one's issuer.
  'keys and certificates of this content': (content) =>
    pkcs12Of(
      piecesOf(content, 40).flatMap((piece) => [
        bag('2', sequence(octets(piece)), namedBy(piece)),
        certificateBag(piece, piece),
      ]),
    ),
  'keys of this content, and one certificate for all of them': (content) => {
    const certificate = Buffer.from(CERTIFICATE, 'base64');
    const id = content.subarray(0, 40);
    const keys = piecesOf(content, 40).map((piece) => bag('2', sequence(octets(piece)), namedBy(id)));
    return pkcs12Of([...keys, certificateBag(certificate, id)]);
  },
  'lists of bags in lists': (content) =>
    pkcs12Of(
      piecesOf(content, 40).map((piece) =>
        bag('6', sequence(bag('6', sequence(certificateBag(piece, piece)), [])), []),
      ),
    ),
  'one bag with attributes of this content': (content) =>
    pkcs12Of([
      bag(
        '3',
        sequence(oid('1.2.840.113549.1.9.22.1'), explicit(octets(content))),
        piecesOf(content, 40).flatMap((piece) => namedBy(piece)),
      ),
    ]),
};

const nothing = (): void => undefined;
/**
 * For what makes thousands of objects each time: a run begins without the garbage of the one before, so that it pays for
 * its own only.
 */
const collectGarbage = ((): (() => void) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;
  return () => collect({ type: 'minor' });
})();

type Input = string | Buffer;
/** An input of so many times the size. */
type InputOf = (factor: 0.5 | 1 | 2) => Input;

/**
 * How much more the double costs. What is superlinear is so at the half of both sizes as well; where only the larger
 * ones cost more, they do not fit into the processor's caches any more, which other work of the machine fills.
 */
async function growth(read: (input: Input) => unknown, inputOf: InputOf, collect = nothing): Promise<number> {
  const factor = await costOfDouble(read, [inputOf(1), inputOf(2)], collect);
  return factor <= MOST ? factor : Math.min(factor, await costOfDouble(read, [inputOf(0.5), inputOf(1)], collect));
}

/** Rounds are added until it is little enough: other work of the machine makes a run longer, never shorter. */
async function costOfDouble(
  read: (input: Input) => unknown,
  [one, double]: readonly [Input, Input],
  collect: () => void,
): Promise<number> {
  const work = (input: Input, times: number) => async () => {
    for (let i = 0; i < times; i += 1) await whateverComesOfIt(() => read(input));
  };
  const costOf = async (input: Input, times: number): Promise<number> => {
    collect();
    return await cpuMs(work(input, times));
  };
  // The first runs compile; then the number of repetitions that can be measured is found.
  await work(double, 2)();
  let times = 1;
  const leastOfThree = async (): Promise<number> =>
    Math.min(await costOf(double, times), await costOf(double, times), await costOf(double, times));
  // One run that other work has made longer would leave too few repetitions: the clock would be measured.
  while ((await leastOfThree()) < LEAST_MS) {
    // Refused at its first bytes, whatever its size.
    if (times === MOST_TIMES) return 1;
    times *= 4;
  }
  let [small, large] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    for (let run = 0; run < RUNS; run += 1) {
      small = Math.min(small, await costOf(one, times));
      large = Math.min(large, await costOf(double, times));
    }
    if (large <= MOST * small) break;
  }
  return large / small;
}

describe('the cost of reading grows with the size of the input and no faster', () => {
  test('a reader that is superlinear is noticed', { timeout: 60_000 }, async () => {
    const quadratic = (text: Input): number => {
      let found = 0;
      for (let at = 0; at < text.length; at += 1) found += text.indexOf('!', at);
      return found;
    };
    expect(await growth(quadratic, (times) => 'a'.repeat(times * 8_000))).toBeGreaterThan(MOST);
  });

  for (const { name, size, read, prepare = (text: string): string | Buffer => text } of TEXT_READERS) {
    test(`${name}, whatever text it is`, { timeout: 120_000 }, async () => {
      const superlinear: string[] = [];
      for (const [bait, textOf] of Object.entries(BAITS)) {
        const factor = await growth(read, (times) => prepare(textOf(times * size)));
        if (factor > MOST) superlinear.push(`${bait}: ${factor.toFixed(2)}`);
      }
      expect(superlinear).toEqual([]);
    });
  }

  for (const [name, make] of Object.entries(PKCS12)) {
    test(`a PKCS#12 store: ${name}, whatever text it is`, { timeout: 240_000 }, async () => {
      const superlinear: string[] = [];
      for (const [bait, textOf] of Object.entries(BAITS)) {
        const inputOf = (times: number): Buffer =>
          make(Buffer.from(textOf(times * 20_000)).subarray(0, times * 20_000));
        // No password, no MAC: nothing refuses it before its bags are read.
        const { entries, others } = await openStore({ bytes: inputOf(2), file: 'f' });
        expect(entries.length + others.length).toBeGreaterThan(0);
        const read = async (input: Input) => await openStore({ bytes: input as Buffer, file: 'f' });
        const factor = await growth(read, inputOf, collectGarbage);
        if (factor > MOST) superlinear.push(`${bait}: ${factor.toFixed(2)}`);
      }
      expect(superlinear).toEqual([]);
    });
  }

  test('DER: nested, flat, in octet strings, cut off, of indefinite length, zeros', { timeout: 120_000 }, async () => {
    const nested = (bytes: number): Buffer => {
      let content: Buffer = Buffer.alloc(0);
      for (let size = 4; content.length < bytes; size += 1)
        content = der(TAG.octets, content, Buffer.from([0x05, 0x00]));
      return content;
    };
    const inputs: Readonly<Record<string, (bytes: number) => Buffer>> = {
      nested: nestedDer,
      'nested and cut off': (bytes) => nestedDer(2 * bytes).subarray(0, bytes),
      flat: (bytes) => sequence(Buffer.alloc(bytes, Buffer.from('0500', 'hex'))),
      'octet strings': (bytes) => sequence(Buffer.alloc(bytes, Buffer.from('0404040205ff', 'hex'))),
      'nested octet strings': (bytes) => nested(Math.min(bytes, 4_000)),
      indefinite: (bytes) => Buffer.alloc(bytes, Buffer.from('3080', 'hex')),
      'indefinite, closed': (bytes) =>
        Buffer.concat([Buffer.alloc(bytes / 2, Buffer.from('3080', 'hex')), Buffer.alloc(bytes / 2)]),
      zeros: (bytes) => sequence(Buffer.alloc(bytes)),
      'long lengths': (bytes) => Buffer.alloc(bytes, Buffer.from('3084', 'hex')),
    };
    const superlinear: string[] = [];
    for (const [name, make] of Object.entries(inputs)) {
      const storeOf = async (input: Input) => await openStore({ bytes: input as Buffer, file: 'f' });
      const made = (times: number): Buffer => make(times * 60_000);
      const check = await growth((input) => structureFault(Buffer.from(input), NO_DER_LIMIT), made);
      const parts = await growth((input) => elementsIn(Buffer.from(input), 'der'), made);
      const store = await growth(storeOf, (times) => pkcs12(made(times)));
      const bags = await growth(storeOf, (times) => pkcs12Of([made(times)]));
      const head = Buffer.from('308006092a864886f70d010702a080', 'hex');
      const bundle = await growth((input) => readPkcs7(Buffer.concat([head, Buffer.from(input)]), 'f'), made);
      for (const [reader, factor] of Object.entries({ check, parts, store, bags, bundle }))
        if (factor > MOST) superlinear.push(`${reader} of ${name}: ${factor.toFixed(2)}`);
    }
    expect(superlinear).toEqual([]);
  });

  test('stores: thousands of entries of one name and one certificate', { timeout: 120_000 }, async () => {
    const certificate = Buffer.from(CERTIFICATE, 'base64');
    const entries = (count: number): StoreEntry[] =>
      Array.from({ length: count }, (_, place) => ({
        kind: 'trusted',
        alias: `a${place}`,
        created: new Date(0),
        certificates: [certificate],
      }));
    const keys = (count: number): StoreEntry[] =>
      Array.from({ length: count }, (_, place) => ({
        kind: 'key',
        alias: `k${place}`,
        created: new Date(0),
        certificates: [certificate, certificate],
        protection: 'pkcs8',
        key: Buffer.from('300a3000040600000000aabb', 'hex'),
      }));
    const open = async (bytes: Input): Promise<unknown> =>
      await openStore({ bytes: Buffer.from(bytes), file: 'f', password: 'changeit' });
    // Made before they are measured: it takes several times as long as the reading.
    const sizes = [0.5, 1, 2] as const;
    const made = async (make: (factor: number) => Buffer | Promise<Buffer>): Promise<InputOf> => {
      const inputs = new Map<number, Buffer>();
      for (const factor of sizes) inputs.set(factor, await make(factor));
      return (factor) => inputs.get(factor) ?? '';
    };
    const jks = await made((factor) => writeJks(entries(200 * factor), 'changeit'));
    const roots = await made((factor) => writePkcs12(entries(200 * factor), 'changeit'));
    const withKeys = await made((factor) => writePkcs12(keys(300 * factor), 'changeit'));
    expect(await growth(open, jks), 'JKS').toBeLessThan(MOST);
    expect(await growth(open, roots), 'PKCS#12').toBeLessThan(MOST);
    expect(await growth(open, withKeys), 'PKCS#12 with keys').toBeLessThan(MOST);
    const free = (count: string | Buffer): void => {
      const index = new EntryIndex([]);
      for (let i = 0; i < Number(count); i += 1)
        index.add({ kind: 'trusted', alias: index.freeAlias('root'), created: undefined, certificates: [certificate] });
    };
    expect(await growth(free, (factor) => String(2000 * factor)), 'free aliases').toBeLessThan(MOST);
  });
});

/** A self-signed certificate on P-256 (openssl req -x509 -subj /CN=root). */
const CERTIFICATE =
  'MIIBdDCCARugAwIBAgIUCnl6aWIygPu0/gJ32mIr/Lw7SWUwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcm9vdDAgFw0yNjExMjYxODQyMDNaGA8yMTI2MTEwMjE4NDIwM1owDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDw0jdmFmfNFjUB9f/Xph7TKl67pERQYbiXLeMp4n94/DWua7z2KJfL3jOhuOKd4xywa5Cc6nddoW+XohFiHrRmjUzBRMB0GA1UdDgQWBBSk6XOaWwV5qH8BwwDTpBagKhKYlTAfBgNVHSMEGDAWgBSk6XOaWwV5qH8BwwDTpBagKhKYlTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIHpKnk3JKHbaI3jakf3vcTtQqM48nYnORVwW/VmC1R42AiAnd3jFQScB3hVBn9CEnBSplIiULJI+hXHEAiJ75FVsDw==';
