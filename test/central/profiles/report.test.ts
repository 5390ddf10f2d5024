// What Central reads of a profile: the truststore once for all who need it, and one truststore at a time.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { differences } from '../../../central/profiles/diff.ts';
import { ProfileReader } from '../../../central/profiles/report.ts';
import { manifestText } from '../../../shared/releases/manifest.ts';
import { CHUNK_BYTES, type DraftFile } from '../../../central/store/releases/release-store.ts';

const ROOT = readFileSync('test/fixtures/keystores/root-ec.crt');
const TRUSTSTORE = 'conf/security/trust.pem';

/** Content by its hash, and what was read of it, in order. */
class Contents {
  readonly #contents = new Map<string, Buffer>();
  readonly read: string[] = [];
  fault: Error | undefined;
  /** What of these is read waits until `ready`. */
  readonly slow = new Set<string>();
  ready: Promise<unknown> = Promise.resolve();

  file(path: string, content: string | Buffer): DraftFile {
    const bytes = Buffer.from(content);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.#contents.set(sha256, bytes);
    return { path, sha256, size: bytes.length, executable: false };
  }

  /** The files of a profile with this truststore. */
  profile(truststore: string | Buffer, password = 'changeit'): DraftFile[] {
    return [
      this.file('conf/agent.conf', `central.host=c\ntruststore=${TRUSTSTORE}\ntruststore.password=${password}\n`),
      this.file(TRUSTSTORE, truststore),
    ];
  }

  reader(): ProfileReader {
    const unused = (): never => {
      throw new Error('not for reading');
    };
    return new ProfileReader({
      beginBlob: unused,
      appendChunk: unused,
      finishBlob: unused,
      blobSize: async (sha256) => this.#contents.get(sha256)?.length,
      readChunk: async (sha256, index) => {
        this.read.push(sha256);
        if (this.slow.has(sha256)) await this.ready;
        if (this.fault !== undefined) throw this.fault;
        const content = this.#contents.get(sha256);
        return content && new Uint8Array(content.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES));
      },
    });
  }
}

describe('the truststore of a profile', () => {
  test('is read once for all who need it at the same time, and later as well', async () => {
    const contents = new Contents();
    const files = contents.profile(ROOT);
    const reader = contents.reader();
    const reports = await Promise.all(Array.from({ length: 10 }, () => reader.report(files)));
    reports.push(await reader.report(files));
    const ofTruststore = contents.read.filter((sha256) => sha256 === files[1]?.sha256);
    expect(ofTruststore).toHaveLength(1);
    expect(reports.map(({ truststore }) => truststore?.entries.length)).toEqual(Array.from({ length: 11 }, () => 1));
  });

  test('is read by itself: the next one when the one before is done', async () => {
    const contents = new Contents();
    const reader = contents.reader();
    const profiles = Array.from({ length: 5 }, (_, i) =>
      contents.profile(Buffer.concat([ROOT, Buffer.from(`# ${i}\n`)])),
    );
    for (const [, truststore] of profiles) contents.slow.add(String(truststore?.sha256));
    const [first, last] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    contents.ready = first.promise;
    const reports = profiles.map((files) => reader.report(files));
    const ofTruststores = (): number => contents.read.filter((sha256) => contents.slow.has(sha256)).length;
    await vi.waitFor(() => expect(ofTruststores()).toBe(1));
    await nextTurn();
    expect(ofTruststores()).toBe(1);
    contents.ready = last.promise;
    first.resolve(undefined);
    await reports[0];
    await vi.waitFor(() => expect(ofTruststores()).toBe(2));
    last.resolve(undefined);
    expect((await Promise.all(reports)).map(({ truststore }) => truststore?.entries.length)).toEqual([1, 1, 1, 1, 1]);
    expect(ofTruststores()).toBe(5);
  });

  test('that cannot be read is not tried again, unless the store was at fault', async () => {
    const contents = new Contents();
    const reader = contents.reader();
    const files = contents.profile('no certificates');
    const [first, second] = [await reader.report(files), await reader.report(files)];
    expect(first.problems.map(({ code }) => code)).toEqual(['keystore_is_text']);
    expect(second.problems).toEqual(first.problems);
    // Both files, each once.
    expect(contents.read).toHaveLength(2);
    const other = contents.profile(ROOT);
    contents.fault = new Error('the disk is away');
    await expect(reader.report(other)).rejects.toThrow('the disk is away');
    contents.fault = undefined;
    expect((await reader.report(other)).truststore?.entries).toHaveLength(1);
  });

  test('with another password or of more than 2 MiB is another matter', async () => {
    const contents = new Contents();
    const reader = contents.reader();
    const jks = readFileSync('test/fixtures/keystores/truststore.jks');
    expect((await reader.report(contents.profile(jks, 'wrong'))).problems).toHaveLength(1);
    expect((await reader.report(contents.profile(jks))).problems).toEqual([]);
    const large = await reader.report(contents.profile(Buffer.alloc(2 * 1024 * 1024 + 1, ROOT)));
    expect(large.problems.map(({ code }) => code)).toEqual(['profile_file_too_large']);
  });
});

test('a profile is read by two look-ups, and its agent.conf is parsed once', async () => {
  const contents = new Contents();
  const reader = contents.reader();
  const files = contents.profile(ROOT);
  const lookedUp: string[] = [];
  const fileOf = async (path: string): Promise<DraftFile | undefined> => {
    lookedUp.push(path);
    return files.find((file) => file.path === path);
  };
  const [first, second] = [await reader.facts(fileOf), await reader.facts(fileOf)];
  expect(lookedUp).toEqual(['conf/agent.conf', TRUSTSTORE, 'conf/agent.conf', TRUSTSTORE]);
  expect(second.conf).toBe(first.conf);
  expect(second.secrets).toEqual(new Map([['truststore.password', 'changeit']]));
  // The content of each is read once, too.
  expect(contents.read).toHaveLength(2);
});

test('an agent.conf that cannot be parsed is not tried again', async () => {
  const contents = new Contents();
  const reader = contents.reader();
  const files = [contents.file('conf/agent.conf', 'a=\\u12')];
  for (let i = 0; i < 3; i += 1)
    expect((await reader.report(files)).problems.map(({ code }) => code)).toEqual(['properties_bad_escape']);
  expect(contents.read).toHaveLength(1);
});

test('a manifest is read once, and profiles are read one after the other', async () => {
  const contents = new Contents();
  const reader = contents.reader();
  const text = manifestText({ kind: 'profile', name: 'p', files: contents.profile(ROOT) });
  const { sha256 } = contents.file('manifest', text);
  const all = await Promise.all([0, 1, 2].map(() => reader.filesOf(sha256)));
  expect(all.map((files) => files.length)).toEqual([2, 2, 2]);
  expect(contents.read).toEqual([sha256]);

  const ready = Promise.withResolvers<undefined>();
  const begun: number[] = [];
  const reads = [0, 1, 2].map((i) =>
    reader.inTurn(async () => {
      begun.push(i);
      if (i === 0) await ready.promise;
    }),
  );
  await nextTurn();
  expect(begun).toEqual([0]);
  ready.resolve(undefined);
  await Promise.all(reads);
  expect(begun).toEqual([0, 1, 2]);
});

test('certificates of two truststores are compared by their thumbprints', () => {
  const content = (from: number, to: number) => ({
    files: [{ path: TRUSTSTORE, sha256: String(from), size: 1, executable: false }],
    conf: { truststore: { path: TRUSTSTORE, named: TRUSTSTORE, password: undefined }, settings: [], values: undefined },
    truststore: {
      format: 'pem',
      hasDefaultPassword: false,
      entries: Array.from({ length: to - from }, (_, i) => ({
        alias: 'a',
        subject: `CN=${from + i}`,
        thumbprint: String(from + i),
        notAfter: null,
        der: ROOT,
      })),
    },
    secrets: new Map<string, string>(),
  });
  const found = differences(content(0, 10_000) as never, content(1, 10_001) as never);
  expect(found.map(({ text }) => text)).toEqual([
    'truststore: - CN=0',
    'truststore: + CN=10000, until an unreadable date',
  ]);
});
