import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkPassword, openBackup, sealBackup } from '../../../../central/store/backup/format.ts';

const PASSWORD = 'correct horse battery staple';
const FACTS = { created: '2026-11-22T10:00:00.000Z', central: 'central.test', version: '0.1.0' };
const KEY = randomBytes(32);
/** Three chunks and a bit. */
const store = randomBytes(3 * 64 * 1024 + 100);
let sealed: Buffer;

/** The least that is taken: each guess costs the test, too. */
const LIGHT = { N: 2 ** 14, r: 8, p: 1 };

async function seal(
  content: Buffer,
  password = PASSWORD,
  pieces = 10_000,
  cost: typeof LIGHT | undefined = LIGHT,
): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const chunk of sealBackup(
    { ...FACTS, bytes: content.length },
    password,
    { storeKey: KEY, store: inPieces(content, pieces) },
    cost,
  ))
    found.push(chunk);
  return Buffer.concat(found);
}

async function* inPieces(content: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function open(file: Buffer, password = PASSWORD): Promise<Buffer> {
  const { store: chunks } = await openBackup(inPieces(file, 7_777), password);
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(chunk);
  return Buffer.concat(found);
}

const headLength = (file: Buffer): number => 12 + file.readUInt32BE(8);

function withHead(change: (head: Record<string, unknown>) => void): Buffer {
  const head = JSON.parse(sealed.subarray(12, headLength(sealed)).toString()) as Record<string, unknown>;
  change(head);
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([sealed.subarray(0, 8), length, text, sealed.subarray(headLength(sealed))]);
}

beforeAll(async () => {
  sealed = await seal(store);
});

describe('a backup', { timeout: 120_000 }, () => {
  it('gives back what went in, and its facts, whatever the pieces', async () => {
    expect((await open(sealed)).equals(store)).toBe(true);
    expect(await openBackup(inPieces(sealed, 1_000), PASSWORD)).toMatchObject({
      facts: { ...FACTS, bytes: store.length },
      storeKey: KEY,
    });
    for (const size of [1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1]) {
      const content = store.subarray(0, size);
      expect((await open(await seal(content, PASSWORD, 999))).equals(content)).toBe(true);
    }
  });

  it('shows nothing of the store, and never the same bytes twice', async () => {
    const text = Buffer.from('-----BEGIN PRIVATE KEY----- '.repeat(100));
    const [one, other] = [await seal(text), await seal(text)];
    expect(one.includes('PRIVATE KEY')).toBe(false);
    expect(one.subarray(headLength(one)).equals(other.subarray(headLength(other)))).toBe(false);
  });

  it('names the key derivation and the cipher in its head', async () => {
    const { value: head } = await sealBackup({ ...FACTS, bytes: 1 }, PASSWORD, {
      storeKey: KEY,
      store: inPieces(Buffer.from('x'), 1),
    }).next();
    expect(JSON.parse(head?.subarray(12).toString() ?? '')).toMatchObject({
      format: 2,
      kdf: { name: 'scrypt', N: 131_072, r: 8, p: 1 },
      cipher: 'aes-256-gcm',
      chunkBytes: 65_536,
    });
  });

  it('opens with the same password, however its letters are composed', async () => {
    const file = await seal(Buffer.from('x'), 'Grüße an alle 123'.normalize('NFD'));
    expect((await open(file, 'Grüße an alle 123'.normalize('NFC'))).toString()).toBe('x');
  });

  it('refuses a wrong password before anything is read', async () => {
    await expect(open(sealed, `${PASSWORD}!`)).rejects.toMatchObject({
      code: 'backup_password_wrong',
      hint: expect.stringContaining(FACTS.created),
    });
  });

  it('refuses a short password', () => {
    expect(() => checkPassword('short')).toThrow(expect.objectContaining({ code: 'backup_password_short' }));
    expect(() => checkPassword(PASSWORD)).not.toThrow();
  });

  it.each([
    ['nothing', () => Buffer.alloc(0)],
    ['another file', () => Buffer.from('SQLite format 3\0 and more of it')],
    ['a head without end', () => Buffer.concat([sealed.subarray(0, 8), Buffer.from([255, 255, 255, 255]), sealed])],
    [
      'a head that is not JSON',
      () => Buffer.concat([sealed.subarray(0, 8), Buffer.from([0, 0, 0, 4]), Buffer.from('oops')]),
    ],
    [
      'a head that asks for a gigabyte',
      () => withHead((head) => (head['kdf'] = { name: 'scrypt', N: 2 ** 20, r: 32, p: 8, salt: 'A'.repeat(22) })),
    ],
    [
      'a head that asks for eight times the work',
      () => withHead((head) => (head['kdf'] = { name: 'scrypt', N: 2 ** 17, r: 8, p: 8, salt: 'A'.repeat(22) })),
    ],
    ['a head whose time is not one', () => withHead((head) => (head['created'] = 'yesterday'))],
    ['a head with a name that a terminal obeys', () => withHead((head) => (head['central'] = '\u001b]0;x\u0007'))],
    ['a head with another cipher', () => withHead((head) => (head['cipher'] = 'none'))],
  ])('says that %s is not a backup', async (_what, make) => {
    await expect(open(make())).rejects.toMatchObject({ code: 'backup_unknown' });
  });

  it('says that it was made by a newer version', async () => {
    await expect(open(withHead((head) => (head['format'] = 3)))).rejects.toMatchObject({ code: 'backup_newer' });
  });

  it('is found cut off at any place behind its head', async () => {
    const start = headLength(sealed);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: start, max: sealed.length - 1 }), async (end) => {
        await expect(open(sealed.subarray(0, end))).rejects.toMatchObject({ code: 'backup_truncated' });
      }),
      { numRuns: 8 },
    );
    const chunk = 64 * 1024 + 16;
    await expect(open(sealed.subarray(0, start + 2 * chunk))).rejects.toMatchObject({ code: 'backup_truncated' });
  });

  it('is found changed at any place behind its head', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: headLength(sealed), max: sealed.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const changed = Buffer.from(sealed);
          changed[at] = (changed[at] ?? 0) ^ by;
          await expect(open(changed)).rejects.toMatchObject({ code: 'backup_tampered' });
        },
      ),
      { numRuns: 8 },
    );
  });

  it('is found changed when chunks change places, are left out or added, or its facts are', async () => {
    const start = headLength(sealed);
    const chunk = 64 * 1024 + 16;
    const part = (n: number): Buffer => sealed.subarray(start + n * chunk, start + (n + 1) * chunk);
    const head = sealed.subarray(0, start);
    const rest = sealed.subarray(start + 3 * chunk);
    const files = [
      Buffer.concat([head, part(1), part(0), part(2), rest]),
      Buffer.concat([head, part(0), part(0), part(2), rest]),
      Buffer.concat([sealed, part(0)]),
      withHead((facts) => (facts['created'] = '1999-01-01T00:00:00.000Z')),
      // The end pretended where a chunk ends.
      withHead((facts) => (facts['bytes'] = 2 * 64 * 1024)),
    ];
    for (const file of files) await expect(open(file)).rejects.toMatchObject({ code: 'backup_tampered' });
    await expect(open(Buffer.concat([head, part(0), part(2), rest]))).rejects.toMatchObject({
      code: 'backup_tampered',
    });
  });
});
