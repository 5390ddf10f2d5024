import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runCli } from '../../../../central/cli/run.ts';
import { temporaryFolder } from '../../pki/folder.ts';
import { secretsFrom } from '../../../shared/secrets.ts';

const TOKEN = 'qg_aa01bb02cc03dd04_secret';
const WHO = { id: 'aa01bb02cc03dd04', name: 'chief', role: 'administrator', expiresAt: null };

/** An account on the host of a Central that knows one token. */
async function account() {
  const folder = temporaryFolder().path('.');
  const server = createServer((request, response) => {
    const isKnown = request.headers.authorization === `Bearer ${TOKEN}` && request.url === '/api/v1/login';
    const type = 'urn:queuegate:error:unauthenticated';
    const answer = isKnown ? WHO : { type, code: 'unauthenticated', detail: 'Wrong token.', hint: 'Use another.' };
    response.writeHead(isKnown ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  const socket = createNetServer((connection) => server.emit('connection', connection));
  onTestFinished(() => void socket.close());
  mkdirSync(join(folder, 'data/central'), { recursive: true });
  await once(socket.listen(join(folder, 'data/central/central.sock')), 'listening');
  const config = join(folder, 'xdg/queuegate');
  return {
    folder,
    config,
    contexts: (): unknown => JSON.parse(readFileSync(join(config, 'config.json'), 'utf8')),
    queuegate: async (typed: string, ...line: string[]) => {
      const [out, error]: [string[], string[]] = [[], []];
      const status = await runCli(line, {
        environment: { XDG_CONFIG_HOME: join(folder, 'xdg') },
        workingFolder: folder,
        out: (text) => out.push(text),
        error: (text) => error.push(text),
        readStdin: async () => '',
        terminal: true,
        secrets: secretsFrom(typed),
        canPrompt: typed !== '',
        signal: new AbortController().signal,
      });
      return { status, out: out.join('\n'), error: error.join('\n') };
    },
  };
}

describe('login', () => {
  it('keeps a token that Central accepts in a file of its own (0600), and makes its context the current one', async () => {
    const { queuegate, config, contexts } = await account();
    const tokenFile = join(config, 'tokens/home');
    const done = await queuegate(`${TOKEN}\n`, 'login', 'home');
    expect(done).toMatchObject({
      status: 0,
      out: 'Logged in as chief, administrator; the token does not expire. The current context is home.',
    });
    expect(readFileSync(tokenFile, 'utf8')).toBe(`${TOKEN}\n`);
    expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
    expect(contexts()).toEqual({
      current: 'home',
      contexts: { home: { url: null, caFile: null, tokenFile, readOnly: false } },
    });
    expect(JSON.stringify([done, contexts()])).not.toContain(TOKEN);
  });

  it('reads the token from a file too, and keeps none that Central refuses, or that is not one', async () => {
    const { queuegate, folder, config } = await account();
    writeFileSync(join(folder, 'right'), `${TOKEN}\n`);
    writeFileSync(join(folder, 'wrong'), 'qg_aa01bb02cc03dd04_other\n');
    expect(await queuegate('', 'login', '--token-file', 'wrong')).toMatchObject({
      status: 4,
      error: expect.stringContaining('(unauthenticated)'),
    });
    expect(await queuegate('password\n', 'login')).toMatchObject({
      status: 4,
      error: expect.stringContaining('(token_malformed)'),
    });
    expect(await queuegate('', 'login')).toMatchObject({ status: 2 });
    expect(await queuegate('', 'login', '--url', 'http://central.bank')).toMatchObject({ status: 3 });
    expect(existsSync(config)).toBe(false);
    expect(await queuegate('', 'login', '--token-file', 'right', '-o', 'json')).toMatchObject({ status: 0 });
    expect(existsSync(join(config, 'tokens/default'))).toBe(true);
  });
});

describe('logout', () => {
  it('deletes the file that login wrote, and no other', async () => {
    const { queuegate, folder, config, contexts } = await account();
    await queuegate(`${TOKEN}\n`, 'login', 'home');
    expect(await queuegate('', 'logout')).toMatchObject({ status: 0, out: 'Logged out of home.' });
    expect(existsSync(join(config, 'tokens/home'))).toBe(false);
    expect(contexts()).toMatchObject({ current: 'home', contexts: { home: { tokenFile: null } } });

    const own = join(folder, 'own');
    writeFileSync(own, TOKEN);
    await queuegate('', 'contexts', 'set', 'prod', '--url', 'https://prod.bank', '--token-file', own);
    expect(await queuegate('', 'logout', 'prod')).toMatchObject({
      status: 0,
      out: `Logged out of prod; ${own} stays.`,
    });
    expect([existsSync(own), await queuegate('', 'logout', 'none')]).toMatchObject([true, { status: 5 }]);
  });
});
