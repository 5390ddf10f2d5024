import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createApiTokens } from '../../../central/auth/api-tokens.ts';
import { beginFirstStart, type FirstStart } from '../../../central/composition/first-start.ts';
import { createEnrollmentTokens } from '../../../central/enrollment/tokens.ts';
import type { TokenStore } from '../../../central/store/token-store.ts';
import { memoryStore, NO_DELAY } from '../fakes.ts';

const folders: string[] = [];
afterEach(() => Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true }))));

const CUT = new Error('killed');

/** A store whose writes are cut at the n-th moment: before the first write, after it, before the second one, ... */
function cutAt(tokens: TokenStore, moment: number): TokenStore {
  let moments = 0;
  const passing = async <T>(write: () => Promise<T>): Promise<T> => {
    if (moments++ === moment) throw CUT;
    const done = await write();
    if (moments++ === moment) throw CUT;
    return done;
  };
  return {
    ...tokens,
    addApiToken: (...call) => passing(() => tokens.addApiToken(...call)),
    addEnrollmentToken: (...call) => passing(() => tokens.addEnrollmentToken(...call)),
    removeEnrollmentToken: (...call) => passing(() => tokens.removeEnrollmentToken(...call)),
  };
}

type Needs = ReturnType<typeof parts>;

function parts(tokens: TokenStore, dataFolder: string) {
  const options = { tokens, attempts: NO_DELAY, now: () => 1_000_000 };
  return {
    config: { dataFolder },
    apiTokens: createApiTokens(options),
    enrollmentTokens: createEnrollmentTokens(options),
    pki: { pin: () => 'sha256:00' },
    advertised: () => ({ host: 'central', port: 8443 }),
  };
}

async function setUp() {
  const folder = await mkdtemp(join(tmpdir(), 'first-start-'));
  folders.push(folder);
  return { folder, store: memoryStore() };
}

/** As central/main.ts does it; undefined where there was nothing to show. */
async function start(needs: ReturnType<typeof parts>): Promise<{ first: FirstStart; enrollment: string } | undefined> {
  const first = await beginFirstStart(needs);
  if (first === undefined) return undefined;
  const { token } = await first.enrollment();
  await first.finish();
  return { first, enrollment: token };
}

const fileOf = (folder: string): string => join(folder, 'administrator-token');

describe('the first start', () => {
  it('shows a token that is in its 0600 file, and one enrollment token; later starts show nothing', async () => {
    const { folder, store } = await setUp();
    const needs = parts(store.tokens, folder);
    const shown = await start(needs);
    expect(await readFile(fileOf(folder), 'utf8')).toBe(`${shown?.first.administratorToken}\n`);
    expect((await stat(fileOf(folder))).mode & 0o777).toBe(0o600);
    expect(await start(needs)).toBeUndefined();
    expect(await readdir(folder)).toEqual(['administrator-token']);
    expect(await needs.apiTokens.list()).toHaveLength(1);
    expect(await needs.enrollmentTokens.list()).toHaveLength(1);
  });

  it.each([0, 1, 2, 3])(
    'that is cut at moment %i is completed by the next one, cut at whatever moment',
    async (one) => {
      for (const two of [0, 1, 2, 3, 4, 5]) {
        const { folder, store } = await setUp();
        for (const moment of [one, two])
          await start(parts(cutAt(store.tokens, moment), folder)).catch((error: unknown) => {
            if (error !== CUT) throw error;
          });
        const needs = parts(store.tokens, folder);
        const shown = await start(needs);
        const token = (await readFile(fileOf(folder), 'utf8')).trim();
        expect(await needs.apiTokens.isValid(token)).toBe(true);
        expect([undefined, token]).toContain(shown?.first.administratorToken);
        const enrolls = shown === undefined || (await needs.enrollmentTokens.verify(shown.enrollment)) !== undefined;
        expect(enrolls).toBe(true);
        expect(await needs.apiTokens.list()).toHaveLength(1);
        expect(await needs.enrollmentTokens.list()).toHaveLength(1);
        expect(await readdir(folder)).toEqual(['administrator-token']);
      }
    },
  );

  it('of two nodes at once on one store makes one token and one enrollment: the other node shows nothing and keeps no file', async () => {
    const [one, other] = [await setUp(), await setUp()];
    const needs = [one, other].map(({ folder }) => parts(one.store.tokens, folder)) as [Needs, Needs];
    const shown = await Promise.all(needs.map(start));
    expect(shown.map((each) => each === undefined)).toContain(true);
    const [won, lost] = shown[0] === undefined ? [other, one] : [one, other];
    expect([await readdir(won.folder), await readdir(lost.folder)]).toEqual([['administrator-token'], []]);
    expect(await needs[0].apiTokens.isValid((await readFile(fileOf(won.folder), 'utf8')).trim())).toBe(true);
    expect(await needs[0].apiTokens.list()).toHaveLength(1);
    expect(await needs[0].enrollmentTokens.list()).toHaveLength(1);
  });

  it('makes another token where the file of a cut start was lost', async () => {
    const { folder, store } = await setUp();
    const needs = parts(store.tokens, folder);
    await beginFirstStart(needs);
    await writeFile(fileOf(folder), '');
    const shown = await start(needs);
    expect(await needs.apiTokens.isValid(shown?.first.administratorToken ?? '')).toBe(true);
    expect(await readFile(fileOf(folder), 'utf8')).toBe(`${shown?.first.administratorToken}\n`);
  });
});
