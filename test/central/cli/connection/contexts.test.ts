import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { configFile, readContexts } from '../../../../central/cli/connection/contexts.ts';
import { chooseContext, readToken, targetOf } from '../../../../central/cli/connection/target.ts';
import { runCli } from '../../../../central/cli/run.ts';
import { temporaryFolder } from '../../pki/folder.ts';
import { secretsFrom } from '../../../shared/secrets.ts';

interface Account {
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  queuegate(...line: string[]): Promise<{ status: number; out: string; error: string }>;
}

function account(more: Readonly<Record<string, string>> = {}): Account {
  const folder = temporaryFolder().path('.');
  const environment = { XDG_CONFIG_HOME: join(folder, 'xdg'), ...more };
  return {
    environment,
    folder,
    async queuegate(...line) {
      const [out, error]: [string[], string[]] = [[], []];
      const status = await runCli(line, {
        environment,
        workingFolder: folder,
        out: (text) => out.push(text),
        error: (text) => error.push(text),
        readStdin: async () => '',
        terminal: false,
        secrets: secretsFrom(''),
        canPrompt: true,
        signal: new AbortController().signal,
      });
      return { status, out: out.join('\n'), error: error.join('\n') };
    },
  };
}

/** What a line with these options and this environment uses. */
async function used(
  { environment, folder }: Account,
  options: Readonly<Record<string, string>>,
  more: Readonly<Record<string, string>> = {},
): Promise<{ url: string | undefined; token: string }> {
  const request = {
    text: (name: string) => options[name],
    environment: { ...environment, ...more },
    workingFolder: folder,
  };
  const context = await chooseContext(request);
  const { target } = await targetOf({ ...request, context });
  const token = await readToken({ ...request, context }).catch(() => 'none');
  return { url: 'url' in target ? target.url.host : undefined, token };
}

async function withTwo(): Promise<Account> {
  const made = account();
  for (const name of ['prod', 'pilot']) {
    writeFileSync(join(made.folder, `${name}.token`), `token of ${name}\n`);
    const line = ['contexts', 'set', name, '--url', `https://${name}.bank`, '--token-file', `${name}.token`];
    expect(await made.queuegate(...line)).toMatchObject({ status: 0 });
  }
  return made;
}

describe('contexts', () => {
  it('are set, listed, shown, used and deleted, in one 0600 file without any token', async () => {
    const made = await withTwo();
    const file = configFile({ environment: made.environment, workingFolder: '/' });
    expect(file).toBe(join(made.folder, 'xdg/queuegate/config.json'));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      current: 'prod',
      contexts: {
        prod: {
          url: 'https://prod.bank',
          caFile: null,
          tokenFile: join(made.folder, 'prod.token'),
          readOnly: false,
        },
        pilot: {
          url: 'https://pilot.bank',
          caFile: null,
          tokenFile: join(made.folder, 'pilot.token'),
          readOnly: false,
        },
      },
    });
    expect((await made.queuegate('contexts', 'list')).out).toMatch(
      /^prod +current +https:\/\/prod\.bank [^]*^pilot +- /m,
    );
    await made.queuegate('contexts', 'use', 'pilot');
    expect((await made.queuegate('context', 'show')).out).toMatch(/^name +pilot$/m);
    await made.queuegate('contexts', 'set', 'pilot', '--read-only');
    expect(JSON.parse((await made.queuegate('contexts', 'show', '--json')).out)).toMatchObject({
      url: 'https://pilot.bank',
      readOnly: true,
    });
    await made.queuegate('contexts', 'remove', 'pilot', '--yes');
    expect((await readContexts({ environment: made.environment, workingFolder: '/' })).current).toBe(null);
    expect((await made.queuegate('contexts', 'list', '-o', 'name')).out).toBe('prod');
  });

  it('are refused with a wrong name or address, and when the file is damaged', async () => {
    const made = await withTwo();
    for (const [line, status, code] of [
      [['contexts', 'use', 'none'], 5, 'context_unknown'],
      [['status', '--context', 'none'], 5, 'context_unknown'],
      [['contexts', 'set', '-x y', '--url', 'https://a'], 2, 'usage'],
      [['contexts', 'set', 'x y', '--url', 'https://a'], 2, 'context_name_invalid'],
      [['contexts', 'set', 'x', '--url', 'ftp://a'], 2, 'url_invalid'],
      [['contexts', 'set', 'x', '--url', 'http://a'], 3, 'token_over_plain_http'],
      [['status', '--context', 'prod', '--url', 'https://a'], 2, 'usage'],
    ] as const)
      expect([line, await made.queuegate(...line)]).toMatchObject([
        line,
        { status, error: expect.stringContaining(`(${code})`) },
      ]);
    writeFileSync(configFile({ environment: made.environment, workingFolder: '/' }), '{"contexts":[]}');
    expect(await made.queuegate('status')).toMatchObject({
      status: 1,
      error: expect.stringContaining('(contexts_unreadable)'),
    });
  });

  it('count behind flag and environment, and before the data folder', async () => {
    const made = await withTwo();
    expect(await used(made, {})).toEqual({ url: 'prod.bank', token: 'token of prod' });
    expect(await used(made, { context: 'pilot' })).toEqual({ url: 'pilot.bank', token: 'token of pilot' });
    expect(await used(made, {}, { QUEUEGATE_CONTEXT: 'pilot' })).toMatchObject({ url: 'pilot.bank' });
    expect(await used(made, {}, { QUEUEGATE_TOKEN: 'own' })).toEqual({ url: 'prod.bank', token: 'own' });
    // A context that a flag names counts before the environment.
    expect(
      await used(made, { context: 'pilot' }, { QUEUEGATE_TOKEN: 'own', QUEUEGATE_URL: 'https://other.bank' }),
    ).toEqual({ url: 'pilot.bank', token: 'token of pilot' });
  });

  it('give their token to no other Central', async () => {
    const made = await withTwo();
    expect(await used(made, { url: 'https://other.bank' })).toEqual({ url: 'other.bank', token: 'none' });
    expect(await used(made, {}, { QUEUEGATE_URL: 'https://other.bank' })).toEqual({ url: 'other.bank', token: 'none' });
    expect(await used(made, {}, { QUEUEGATE_DATA_FOLDER: 'data' })).toEqual({ url: undefined, token: 'none' });
  });

  it('that are read-only send nothing that changes anything', async () => {
    const methods: string[] = [];
    const made = account({ QUEUEGATE_TOKEN: 'x' });
    const server = createServer((request, response) => {
      methods.push(request.method ?? '');
      response.setHeader('content-type', 'application/json').end('{"items":[],"next":null}');
    });
    const socket = createNetServer((connection) => server.emit('connection', connection));
    onTestFinished(() => void socket.close());
    mkdirSync(join(made.folder, 'data/central'), { recursive: true });
    await once(socket.listen(join(made.folder, 'data/central/central.sock')), 'listening');
    await made.queuegate('contexts', 'set', 'look', '--read-only');
    const listed = await made.queuegate('agents', 'list', '--verbose');
    expect(listed).toMatchObject({
      status: 0,
      error: expect.stringMatching(/^GET \/api\/v1\/agents\?limit=100: 200, request -$/),
    });
    expect(await made.queuegate('api-tokens', 'create', '--name', 'a', '--role', 'viewer')).toMatchObject({
      status: 6,
      error: expect.stringContaining('(context_read_only)'),
    });
    expect(methods).toEqual(['GET']);
    expect(await made.queuegate('agents', 'list', '--timeout', '0s')).toMatchObject({ status: 2 });
  });
});
