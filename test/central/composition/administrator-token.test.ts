import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { createApiTokens, type ApiTokens } from '../../../central/auth/api-tokens.ts';
import {
  AdministratorTokenRequests,
  createAdministratorToken,
} from '../../../central/composition/administrator-token.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { NO_DELAY } from '../fakes.ts';
import { openCentralStore } from '../../../central/store/open-store.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

let folder = '';
beforeEach(() => void (folder = temporaryFolder()));

const configOf = (dataFolder: string) => ({
  dataFolder,
  advertisedNames: ['central.test'] as const,
  centralName: 'central.test',
  hostName: 'central.test',
});

type Create = ApiTokens['createAdministrator'];

/** The part of a running Central that answers requests. */
async function centralOf(createAdministrator?: Create) {
  const created: string[] = [];
  const log: string[] = [];
  const requests = new AdministratorTokenRequests({
    folder,
    apiTokens: {
      createAdministrator:
        createAdministrator ??
        (async (name) => {
          created.push(name);
          return '';
        }),
    },
    log: { warn: (_: object, text: string) => void log.push(text) } as unknown as Pick<Logger, 'warn'>,
    now: Date.now,
  });
  return { requests, created, log };
}

async function runningCentral(refuse?: Create) {
  const store = await openCentralStore(configOf(folder), () => undefined);
  const apiTokens = createApiTokens({ tokens: store.tokens, attempts: NO_DELAY, now: Date.now });
  const { requests, log } = await centralOf(refuse ?? ((...call) => apiTokens.createAdministrator(...call)));
  const timer = setInterval(() => void requests.check(), 20);
  return { store, log, running: { stop: () => clearInterval(timer) } };
}

describe('an administrator token made on the host', () => {
  it('is in a 0600 file and in the audit log, and the tokens before stay', async () => {
    await (await openCentralStore(configOf(folder), () => undefined)).stop();
    await createAdministratorToken(configOf(folder));
    const first = readFileSync(join(folder, 'administrator-token'), 'utf8');
    const { file, isRunning } = await createAdministratorToken(configOf(folder));
    expect(isRunning).toBe(false);
    const token = readFileSync(file, 'utf8').trim();
    expect(token).toMatch(/^qg_[0-9a-f]{16}_[\w-]{43}$/);
    expect(first.trim()).not.toBe(token);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const store = await openCentralStore(configOf(folder), () => undefined);
    const tokens = await store.tokens.listApiTokens();
    expect(tokens.map(({ role, expiresAt }) => [role, expiresAt])).toEqual([
      ['administrator', null],
      ['administrator', null],
    ]);
    const [entry] = await store.audit.list({ limit: 1 });
    expect(entry).toMatchObject({ action: 'api-tokens.create', who: 'queuegate-central create-administrator-token' });
    await store.stop();
  });

  it('comes from the Central that runs, in the same file and with the same entry', async () => {
    const { running, log, store } = await runningCentral();
    const { file, isRunning } = await createAdministratorToken(configOf(folder));
    expect(isRunning).toBe(true);
    running.stop();
    expect(readFileSync(file, 'utf8')).toMatch(/^qg_[0-9a-f]{16}_[\w-]{43}\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const [entry] = await store.audit.list({ limit: 1 });
    expect(entry).toMatchObject({ action: 'api-tokens.create', who: 'queuegate-central create-administrator-token' });
    expect(log).toHaveLength(1);
    expect(readdirSync(folder).filter((name) => /request|answer/.test(name))).toEqual([]);
    await store.stop();
  });

  it('of a Central that runs fails with the reason of that Central', async () => {
    const { running, store } = await runningCentral(async () => {
      throw storeFault('api_tokens_full', { most: 1_000 });
    });
    await expect(createAdministratorToken(configOf(folder))).rejects.toMatchObject({
      code: 'administrator_token_refused',
      message: expect.stringContaining('1000 API tokens exist'),
      hint: expect.stringContaining('queuegate api-tokens delete'),
    });
    running.stop();
    await store.stop();
  });

  it('of a process that does not answer is given up, and the request is withdrawn', async () => {
    const store = await openCentralStore(configOf(folder), () => undefined);
    await expect(createAdministratorToken(configOf(folder), 50)).rejects.toMatchObject({
      code: 'administrator_token_unanswered',
      message: expect.stringContaining(`The process ${process.pid} uses`),
    });
    expect(readdirSync(folder).filter((name) => /request|answer/.test(name))).toEqual([]);
    await store.stop();
  });

  it.each([
    ['that other accounts can write', (file: string) => chmodSync(file, 0o666)],
    ['that has a second name', (file: string) => linkSync(file, `${file}.2`)],
    ['that is a link', (file: string) => (renameSync(file, `${file}.2`), symlinkSync(`${file}.2`, file))],
    ['that its command no longer waits for', (file: string) => utimesSync(file, 1, 1)],
    ['that is a folder', (file: string) => (unlinkSync(file), mkdirSync(file))],
    ['without an id', (file: string) => writeFileSync(file, '{}')],
  ])('is not created for a request %s', async (_, spoil) => {
    const { requests, created, log } = await centralOf();
    const file = join(folder, 'administrator-token.request');
    writeFileSync(file, '{"id":"0"}', { mode: 0o600 });
    spoil(file);
    await requests.check();
    await requests.check();
    expect(created).toEqual([]);
    expect(log).toEqual(['a request for an administrator token was ignored']);
    expect(existsSync(file)).toBe(false);
  });

  it('is refused for a folder without a store, and makes nothing there', async () => {
    const other = join(folder, 'other');
    await expect(createAdministratorToken(configOf(other))).rejects.toMatchObject({ code: 'data_folder_empty' });
    expect(existsSync(other)).toBe(false);
  });
});
