import { execFile } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import { runCli } from '../../../central/cli/run.ts';
import { openAuthority } from '../../../central/pki/authority/authority.ts';
import { openServerIdentity } from '../../../central/pki/server/server-identity.ts';
import { startRest, type Rest } from '../admin/rest.ts';
import { agentRecord, memoryStore } from '../fakes.ts';
import { temporaryFolder } from '../pki/folder.ts';
import { secretsFrom } from '../../shared/secrets.ts';
import { socketTo } from './over-socket.ts';
import { cursorAt } from '../../event-cursors.ts';

interface Result {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

async function run(
  line: readonly string[],
  environment: Record<string, string> = {},
  more: {
    stdin?: string;
    workingFolder?: string;
    signal?: AbortSignal;
    terminal?: boolean;
    typed?: string;
    out?: (text: string) => void;
    columns?: number;
  } = {},
): Promise<Result> {
  const out: string[] = [];
  const error: string[] = [];
  const status = await runCli(line, {
    environment,
    workingFolder: more.workingFolder ?? '/nonexistent',
    out(text, hasHeader) {
      out.push(hasHeader === true && more.columns !== undefined ? `[header] ${text}` : text);
      more.out?.(text);
    },
    error: (text) => error.push(text),
    readStdin: async () => more.stdin ?? '',
    columns: more.columns,
    terminal: more.terminal ?? true,
    secrets: secretsFrom(more.typed ?? more.stdin ?? ''),
    canPrompt: more.typed !== undefined,
    signal: more.signal ?? new AbortController().signal,
  });
  return { status, out: out.join('\n'), error: error.join('\n') };
}

async function start(): Promise<{
  rest: Rest;
  queuegate: (...line: string[]) => Promise<Result>;
  environment: { QUEUEGATE_DATA_FOLDER: string; QUEUEGATE_TOKEN: string };
}> {
  const rest = await startRest();
  const environment = { QUEUEGATE_DATA_FOLDER: await socketTo(rest.url), QUEUEGATE_TOKEN: rest.tokens.administrator };
  return { rest, environment, queuegate: async (...line) => await run(line, environment) };
}

describe('parameters', () => {
  test('are listed, set, shown and reset', async () => {
    const { queuegate } = await start();
    const set = await queuegate(
      'parameters',
      'set',
      'agents.max=500',
      'websocket.trustedProxies=10.0.0.0/8,::1',
      '--comment',
      'pilot',
    );
    expect(set).toMatchObject({ status: 0, error: '' });
    expect(set.out).toContain('agents.max: 10000 -> 500');
    expect(set.out).toContain('websocket.trustedProxies: (empty) -> 10.0.0.0/8,::1');
    expect((await queuegate('parameters', 'list')).out).toMatch(/^agents\.max +500 +changed/m);
    expect((await queuegate('parameters', 'show', 'websocket.enabled')).out).toContain('the port is not closed');
    await queuegate('parameters', 'reset', 'agents.max');
    expect((await queuegate('parameters', 'show', 'agents.max')).out).toContain('agents.max = 10000');
    await queuegate('parameters', 'set', 'websocket.trustedProxies=');
    expect((await queuegate('parameters', 'show', 'websocket.trustedProxies')).out).toContain('(empty)');
  });

  test('--if-match refuses a change that was made for another version', async () => {
    const { queuegate } = await start();
    const changed = await queuegate('parameters', 'set', 'agents.max=500', '--if-match', '"99"');
    expect(changed).toMatchObject({ status: 7, error: expect.stringContaining('(version_conflict)') });
  });

  test('faults are printed all at once, with the hint, and the status is 6', async () => {
    const { queuegate } = await start();
    const { status, out, error } = await queuegate(
      'parameters',
      'set',
      'websocket.port=9150',
      'agents.max=many',
      'nonsense=1',
    );
    expect({ status, out }).toEqual({ status: 6, out: '' });
    expect(error).toContain('websocket.port is 9150; allowed: a port other than that of websocket.secure.port.');
    expect(error).toContain('agents.max is "many"; allowed: a whole number from 1 to 100000');
    expect(error).toContain('There is no parameter "nonsense"');
    expect(error).toContain('(parameters_invalid)');
  });

  test('a dry run names who would be cut off; the change itself is refused unless forced', async () => {
    const { rest, queuegate } = await start();
    rest.online.push({
      agentId: 'a',
      name: 'branch-7',
      listener: 'wss',
      transport: 'wss',
      address: '10.0.0.7',
      loopback: false,
      since: 0,
    });
    const off = ['parameters', 'set', 'websocket.secure.enabled=false'];
    const dry = await queuegate(...off, '--dry-run');
    expect(dry.out).toContain('Would cut off:\n  branch-7: It speaks wss from 10.0.0.7; it reconnects only');
    expect(await queuegate(...off)).toMatchObject({
      status: 6,
      error: expect.stringContaining('would cut off 1 agent: branch-7'),
    });
    expect((await queuegate(...off, '--force', '--yes')).out).toContain('Cut off:');
  });

  test('a change that awaits its confirmation is shown, and is confirmed or rolled back', async () => {
    const { queuegate } = await start();
    const set = await queuegate(
      'parameters',
      'set',
      'websocket.port=8788',
      '--confirm-within',
      '60s',
      '--confirm-share',
      '50%',
    );
    expect(set.out).toMatch(
      /rolled back at .*Z unless "queuegate changes confirm" follows before; "queuegate changes show \w{16}" counts/,
    );
    expect((await queuegate('changes', 'list')).out).toMatch(
      /^\S+ +parameters +pending +administrator +\S+Z +0 of 0; required: 50 %$/m,
    );
    expect((await queuegate('changes', 'show')).out).toMatch(/^state +pending$/m);
    expect((await queuegate('changes', 'rollback')).out).toBe('Rolled back: parameters.');
    expect((await queuegate('changes', 'list', '--state', 'pending')).out).toBe('No changes.');
    expect((await queuegate('changes', 'list')).out).toMatch(/^\S+ +parameters +rolled-back /m);
    expect(await queuegate('changes', 'confirm')).toMatchObject({
      status: 5,
      error: expect.stringContaining('change_missing'),
    });
  });

  test('--wait returns when the change is confirmed, fails when it is rolled back, and ends with 8 when the time is up', async () => {
    const { rest, queuegate } = await start();
    const set = async (max: number, wait: string) =>
      await queuegate('parameters', 'set', `agents.max=${max}`, '--confirm-within', '10m', wait);
    const ended = async (verb: 'confirm' | 'rollback') => {
      const pending = async (): Promise<string> => {
        const answer = await rest.request('GET', '/changes?state=pending');
        const { items } = (await answer.json()) as { readonly items: readonly { readonly id: string }[] };
        return items[0]?.id ?? '';
      };
      await vi.waitFor(async () => expect(await pending()).not.toBe(''));
      await rest.request('POST', `/changes/${await pending()}/${verb}`);
    };
    const [confirmed] = await Promise.all([set(700, '--wait'), ended('confirm')]);
    expect(confirmed.status).toBe(0);
    expect(confirmed.out).toMatch(/agents.max: \d+ -> 700\n[^]*\nConfirmed\.$/);
    expect(confirmed.error).toMatch(/^Pending: rolled back at /);
    const [back] = await Promise.all([set(800, '--wait=5m'), ended('rollback')]);
    expect(back).toMatchObject({ status: 1, out: expect.stringContaining('Rolled back: all is as it was before.') });
    const late = await set(900, '--wait=1s');
    expect([late.status, late.out]).toEqual([8, '']);
    expect(late.error).toContain('(wait_timeout)');
    expect((await queuegate('parameters', 'set', 'agents.max=9', '--wait')).error).toContain(
      '--wait has no effect without --confirm-within',
    );
  });
});

describe('agents, messages, events and tokens', () => {
  test('an agent is found by id or by name', async () => {
    const { rest, queuegate } = await start();
    rest.agents.push(agentRecord({ name: 'Branch-7', id: 'thumb' }));
    expect((await queuegate('agents', 'list')).out).toMatch(/^NAME +STATE.*\nBranch-7 +enrolled/);
    for (const word of ['thumb', 'branch-7'])
      expect((await queuegate('agents', 'show', word)).out).toMatch(/^id +thumb$/m);
    expect(await queuegate('agents', 'show', 'no-such')).toMatchObject({
      status: 5,
      error: expect.stringContaining('agent_unknown'),
    });
    expect((await queuegate('agents', 'delete', 'branch-7', '--yes')).out).toBe('Deleted Branch-7.');
  });

  test('a word for an agent goes to Central as it was typed; several that fit are printed', async () => {
    const { rest, queuegate } = await start();
    rest.agents.push(
      agentRecord({ name: 'one.bank.example', id: '0123456789ab' }),
      agentRecord({ name: 'two', id: '01234567ffff' }),
      agentRecord({ name: 'three', id: 'a/b%2F c' }),
    );
    for (const word of ['one.bank.example', 'ONE.bank.example', '012345678'])
      expect((await queuegate('agents', 'show', word)).out).toMatch(/^id +0123456789ab$/m);
    expect((await queuegate('agents', 'show', 'a/b%2F c')).out).toMatch(/^name +three$/m);
    for (const line of [
      ['agents', 'show'],
      ['agents', 'delete'],
      ['agents', 'revoke'],
      ['agents', 'recovery-code', 'create'],
      ['commands', 'send', '--type', 'x'],
      ['events', 'list', '--agent'],
      ['events', 'list', '--follow', '--agent'],
      ['incidents', 'list', '--agent'],
      ['dead-letters', 'list', '--agent'],
    ]) {
      const ambiguous = await queuegate(...line, '01234567');
      expect(ambiguous, line.join(' ')).toMatchObject({
        status: 7,
        out: '',
        error: expect.stringContaining('(agent_ambiguous)'),
      });
      expect(ambiguous.error.split('\n').slice(-2)).toEqual([
        '  - one.bank.example  0123456789ab',
        '  - two  01234567ffff',
      ]);
      expect(await queuegate(...line, 'no-such'), line.join(' ')).toMatchObject({
        status: 5,
        out: '',
        error: expect.stringContaining('(agent_unknown)'),
      });
    }
    expect(rest.agents).toHaveLength(3);
  });

  test('what cannot be undone is asked first: with yes or no, or for the name; --yes answers, and without a terminal it is required', async () => {
    const { rest, queuegate, environment } = await start();
    rest.agents.push(agentRecord({ name: 'branch-7', id: 'thumb' }));
    const asked = async (typed: string, ...line: string[]): Promise<Result> => await run(line, environment, { typed });
    const own = /^qg_([0-9a-f]+)_/.exec(rest.tokens.administrator)?.[1] ?? '';
    for (const line of [
      ['agents', 'delete', 'branch-7'],
      ['agents', 'revoke', 'branch-7'],
      ['api-tokens', 'delete', own],
      ['enrollment-tokens', 'delete', 'x'],
      ['ca', 'delete-key', 'x'],
      ['ca', 'rotation', 'switch', '--force'],
      ['ca', 'rotation', 'retire', '--force'],
      ['ca', 'rotation', 'rollback', '--force'],
      ['server-certificate', 'discard'],
    ]) {
      expect(await queuegate(...line), line.join(' ')).toMatchObject({
        status: 2,
        out: '',
        error: expect.stringContaining('--yes is required without a terminal, since the command cannot ask'),
      });
      for (const answer of ['n\n', '\n', 'branch-8\n'])
        expect(await asked(answer, ...line), line.join(' ')).toMatchObject({
          status: 1,
          error: expect.stringContaining('(not_confirmed)'),
        });
    }
    // Only its name deletes an agent, and a dry run asks nothing.
    expect((await asked('y\n', 'agents', 'delete', 'branch-7')).error).toContain('allowed: branch-7');
    expect((await queuegate('agents', 'delete', 'branch-7', '--dry-run')).out).toContain('would be deleted');
    expect((await queuegate('agents', 'revoke', 'branch-7', '--dry-run')).out).toContain('would be revoked');
    expect(rest.agents).toHaveLength(1);
    expect((await asked('y\n', 'agents', 'revoke', 'branch-7')).out).toContain('Revoked branch-7');
    expect((await asked('BRANCH-7\n', 'agents', 'delete', 'branch-7')).out).toBe('Deleted branch-7.');
    await queuegate('api-tokens', 'create', '--name', 'second', '--role', 'administrator');
    expect(await asked('yes\n', 'api-tokens', 'delete', own)).toMatchObject({ status: 0 });
    expect((await queuegate('status')).error).toContain('(unauthenticated)');
  });

  test('a value that is not allowed is named with those that are, once', async () => {
    const { queuegate } = await start();
    const { status, error } = await queuegate('agents', 'list', '--state', 'offline');
    expect(status).toBe(6);
    expect(error.match(/enrolled, online, degraded, disconnected, .*, quarantined, disabled, revoked/g)).toHaveLength(
      1,
    );
  });

  test('an agent is revoked with reason and comment, and shown with its certificate', async () => {
    const { rest, queuegate } = await start();
    const certificate = {
      thumbprint: 'ab'.repeat(32),
      serial: '5C1F',
      issuer: 'cd'.repeat(32),
      keyThumbprint: 'k',
      notBefore: 0,
      notAfter: Date.parse('2027-01-01'),
      issuedAt: 0,
      installedAt: null,
      revoked: null,
    };
    rest.agents.push({
      ...agentRecord({ name: 'Branch-7', id: 'thumb' }),
      certificate,
      next: { publicKey: 'p', keyThumbprint: 'ef'.repeat(32), certificate },
    });
    expect((await queuegate('agents', 'show', 'thumb')).out).toMatch(
      /^certificate +until 2027-01-01T00:00:00\.000Z, serial 5C1F[^]*^SHA-256 +AB:AB:[^]*^next key +sha256:ef.*not installed yet$/m,
    );
    expect(
      (await queuegate('agents', 'revoke', 'branch-7', '--reason', 'keyCompromise', '--comment', 'stolen', '--yes'))
        .out,
    ).toMatch(/^Revoked Branch-7/);
    expect(rest.revoked).toEqual([{ id: 'thumb', reason: 'keyCompromise', comment: 'stolen' }]);
    expect((await queuegate('agents', 'show', 'thumb')).out).toMatch(/^revoked +.*: keyCompromise$/m);
    expect(await queuegate('agents', 'revoke', 'thumb', '--reason', 'superseded', '--yes')).toMatchObject({
      status: 6,
      error: expect.stringContaining('request_invalid'),
    });
  });

  test('control characters of a name never reach the terminal', async () => {
    const { rest, queuegate } = await start();
    rest.agents.push(agentRecord({ name: 'a', id: '\u{1b}[2Jx' }));
    expect((await queuegate('agents', 'list')).out).not.toContain('\u{1b}');
  });

  test('messages are sent from options, a file or the standard input', async () => {
    const { rest, environment, queuegate } = await start();
    const folder = temporaryFolder();
    rest.agents.push(agentRecord({ name: 'a' }));
    expect((await queuegate('commands', 'send', 'a', '--type', 'call', '--data', '{"n":1}')).out).toMatch(
      /^stored: number 1 for a, id /,
    );
    const file = folder.write('batch.json', '[{"type":"x"},{"type":"y"}]');
    await queuegate('commands', 'send', 'a', '--file', file);
    await run(['commands', 'send', 'a', '--file', '-'], environment, { stdin: '{"type":"z"}' });
    expect(rest.sent.flatMap(({ messages }) => messages.map(({ type }) => type))).toEqual(['call', 'x', 'y', 'z']);
    expect(await queuegate('commands', 'send', 'a', '--type', 'x', '--data', '{')).toMatchObject({
      status: 6,
      error: expect.stringContaining('json_bad'),
    });
    expect(await queuegate('commands', 'send', 'a')).toMatchObject({
      status: 2,
      error: expect.stringContaining('Usage: queuegate commands send (AGENT'),
    });
  });

  test('payloads are sent and shown as the text that they are, and what a terminal would act on is escaped', async () => {
    const { rest, environment, queuegate } = await start();
    const folder = temporaryFolder();
    rest.agents.push(agentRecord({ name: 'a' }));
    const data = String.raw`{"n":9007199254740993, "amount":1e400,"z":"\u00e9\/","a":1,"a":2}`;
    await queuegate('commands', 'send', 'a', '--type', 'x', '--data', data);
    await queuegate('commands', 'send', 'a', '--file', folder.write('one.json', `{"type":"x","data":${data}}`));
    await run(['commands', 'send', 'a', '--file', '-'], environment, { stdin: `[{"type":"x","data":${data}}]` });
    expect(rest.sent.map(({ messages }) => messages[0]?.json.slice(messages[0].json.indexOf('"type"')))).toEqual(
      Array.from({ length: 3 }, () => `"type":"x","data":${data}}`),
    );
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    const kept = rest.events.all[0];
    const json = `{"specversion":"1.0","id":"1","source":"/s","type":"t",\n"data":${data},"more":"\u0085\u202e"}`;
    if (kept !== undefined) rest.events.all[0] = { ...kept, json };
    expect((await queuegate('events', 'list')).out).toContain(data);
    expect((await queuegate('events', 'list', '--json')).out).toContain(
      `"event":${json.replace('\n', ' ').replace('\u0085\u202e', String.raw`\u0085\u202e`)}}`,
    );
  });

  test('events are listed, and followed until interrupted', async () => {
    const { rest, environment, queuegate } = await start();
    rest.events.push('a', { id: '1', source: '/s', type: 'old' });
    expect((await queuegate('events', 'list')).out).toContain(`Next: --after ${cursorAt(1)}`);
    const interrupted = new AbortController();
    const seen: string[] = [];
    const following = run(['events', 'list', '--follow', '--json'], environment, {
      signal: interrupted.signal,
      out: (text) => seen.push(text),
    });
    while (rest.events.waiting === 0) await new Promise(setImmediate);
    rest.events.push('a', { id: '2', source: '/s', type: 'new' });
    while (seen.length === 0) await new Promise(setImmediate);
    interrupted.abort();
    await following;
    expect(seen.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ cursor: cursorAt(2), event: expect.objectContaining({ type: 'new' }) }),
    ]);
  });

  test('on a terminal secrets are shown, the enrollment line as it is to be copied', async () => {
    const { queuegate } = await start();
    expect((await queuegate('enrollment-tokens', 'create', '--agent-name', 'branch-7')).out).toMatch(
      /^ {2}queue-agent enroll https:\/\/central\.test:9150 --token qge_\w+\S+ --pin sha256:00$/m,
    );
    const made = JSON.parse(
      (await queuegate('api-tokens', 'create', '--name', 'monitor', '--role', 'viewer', '--json')).out,
    ) as { id: string; token: string };
    expect(made.token).toMatch(/^qg_/);
    expect((await queuegate('api-tokens', 'list')).out).toMatch(new RegExp(`^${made.id} +monitor +viewer `, 'm'));
    const { items } = JSON.parse((await queuegate('enrollment-tokens', 'list', '--json')).out) as {
      items: { id: string }[];
    };
    expect(await queuegate('api-tokens', 'delete', items[0]?.id ?? '', '--yes')).toMatchObject({
      status: 5,
      error: expect.stringContaining('token_unknown'),
    });
    expect((await queuegate('api-tokens', 'delete', made.id, '--yes')).status).toBe(0);
    expect((await queuegate('enrollment-tokens', 'delete', items[0]?.id ?? '', '--yes')).status).toBe(0);
  });

  test('lists that are empty say so', async () => {
    const { queuegate } = await start();
    for (const line of [
      ['incidents', 'list'],
      ['dead-letters', 'list'],
      ['agents', 'list'],
    ])
      expect((await queuegate(...line)).out).toMatch(/^No /);
  });
});

describe('without a terminal', () => {
  const SECRET = /qge?_[0-9a-f]{16}_[\w-]{43}/;
  const CREATE = [
    ['api-tokens', 'create', '--name', 'monitor', '--role', 'viewer'],
    ['enrollment-tokens', 'create'],
  ];

  test('no secret is on the standard output, not in JSON either: it is in a new file for this account, which the output names', async () => {
    const { environment } = await start();
    const folder = temporaryFolder();
    for (const line of CREATE) {
      for (const json of [[], ['--json']]) {
        const { status, out, error } = await run(
          [...line, ...json],
          { ...environment, XDG_STATE_HOME: folder.path('state') },
          { terminal: false },
        );
        expect({ status, error }).toEqual({ status: 0, error: '' });
        expect(out).not.toMatch(SECRET);
        const file =
          new RegExp(`${folder.path('state')}/queuegate/(?:api|enrollment)-token-[\\w-]+`).exec(out)?.[0] ?? '';
        expect(readFileSync(file, 'utf8')).toMatch(new RegExp(`^${SECRET.source}\\n$`));
        expect(lstatSync(file).mode & 0o7777).toBe(0o600);
      }
    }
    expect(lstatSync(folder.path('state/queuegate')).mode & 0o7777).toBe(0o700);
  });

  test('with -o name it is in a new file, which the standard error names, on a terminal too', async () => {
    const { environment } = await start();
    const folder = temporaryFolder();
    for (const line of CREATE) {
      for (const terminal of [false, true]) {
        const { status, out, error } = await run(
          [...line, '-o', 'name'],
          { ...environment, XDG_STATE_HOME: folder.path('state') },
          { terminal },
        );
        const file = /^The secret is in (\S+) \(mode 0600\)\.$/.exec(error)?.[1] ?? '';
        expect({ status, words: out.split(/\s/).length, isShown: SECRET.test(out) }).toEqual({
          status: 0,
          words: 1,
          isShown: false,
        });
        expect(readFileSync(file, 'utf8')).toMatch(new RegExp(`^${SECRET.source}\n$`));
        expect(lstatSync(file).mode & 0o7777).toBe(0o600);
      }
    }
  });

  test('--out names the file, on a terminal too, and the enrollment line takes it from there', async () => {
    const { environment } = await start();
    const folder = temporaryFolder();
    const place = { terminal: true, workingFolder: folder.path('.') };
    const { out } = await run(['enrollment-tokens', 'create', '--out', 'token'], environment, place);
    expect(out).toMatch(/^ {2}queue-agent enroll https:\/\/central\.test:9150 --token-file token --pin sha256:00$/m);
    expect(out).not.toMatch(SECRET);
    expect(readFileSync(folder.path('token'), 'utf8')).toMatch(/^qge_\S+\n$/);
    expect((await run(['enrollment-tokens', 'create', '--out', 'a b'], environment, place)).out).toContain(
      "--token-file 'a b' --pin",
    );
  });

  test('no token is made that cannot be kept', async () => {
    const { rest, environment } = await start();
    const folder = temporaryFolder();
    const before = (await rest.store.tokens.listApiTokens()).length;
    const victim = folder.write('victim', 'untouched');
    symlinkSync(victim, folder.path('link'));
    mkdirSync(folder.path('open'));
    chmodSync(folder.path('open'), 0o777);
    for (const [out, status] of [
      ['victim', 7],
      ['link', 7],
      ['open/token', 6],
      ['none/token', 1],
    ] as const) {
      expect(
        await run(['api-tokens', 'create', '--name', 'm', '--role', 'viewer', '--out', folder.path(out)], environment),
      ).toMatchObject({ status, out: '', error: expect.stringMatching(/secret_file_|file_unwritable/) });
    }
    writeFileSync(folder.path('state'), 'a file');
    expect(
      await run(
        ['api-tokens', 'create', '--name', 'm', '--role', 'viewer'],
        { ...environment, XDG_STATE_HOME: folder.path('state') },
        { terminal: false },
      ),
    ).toMatchObject({ status: 1, out: '', error: expect.stringContaining('secret_place_missing') });
    expect([
      (await rest.store.tokens.listApiTokens()).length,
      readFileSync(victim, 'utf8'),
      readdirSync(folder.path('open')),
    ]).toEqual([before, 'untouched', []]);
  });
});

describe('text from elsewhere', () => {
  /**
   * ESC and a C1 control; right-to-left override and isolate (UAX #9); a line and a carriage return; a half of a pair.
   */
  const HOSTILE = 'a\u001b[2J\u009b1m\u202eb\u2066c\r\nerror: forged\ud800';
  const ACTS =
    // oxlint-disable-next-line no-control-regex
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|(?<![\ud800-\udbff])[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])/;

  /** A Central that answers everything with this. */
  async function hostile(status: number, body: unknown, type = 'application/json'): Promise<Record<string, string>> {
    const server = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': type }).end(typeof body === 'string' ? body : JSON.stringify(body)),
    );
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return {
      QUEUEGATE_TOKEN: 'x',
      QUEUEGATE_DATA_FOLDER: await socketTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    };
  }

  test('is escaped in tables and facts, and begins no line of its own', async () => {
    const agent = { id: HOSTILE, name: HOSTILE, state: HOSTILE, stateChangedAt: HOSTILE, session: {}, logs: {} };
    const answers: Readonly<Record<string, unknown>> = {
      items: [agent],
      next: null,
      problems: [{ code: HOSTILE, detail: HOSTILE, hint: HOSTILE, startedAt: HOSTILE }],
      listeners: [{ listener: HOSTILE, text: HOSTILE }],
      central: HOSTILE,
      certificate: null,
    };
    const environment = await hostile(200, answers);
    for (const line of [['agents', 'list'], ['api-tokens', 'list'], ['status']]) {
      for (const json of [[], ['--json']]) {
        const { status, out } = await run([...line, ...json], environment);
        expect([line, status]).toEqual([line, 0]);
        expect(out).not.toMatch(ACTS);
        expect(out).not.toMatch(/^error: forged/m);
        expect(out).toContain(String.raw`\u202e`);
      }
    }
    // Escaped, JSON is the same JSON.
    expect(JSON.parse((await run(['agents', 'list', '--json'], environment)).out)).toEqual(answers);
  });

  test('is escaped in refusals and their hints', async () => {
    const environment = await hostile(
      409,
      {
        type: 'urn:queuegate:error:forged',
        title: HOSTILE,
        detail: HOSTILE,
        hint: HOSTILE,
        errors: [{ detail: HOSTILE }, { detail: `x${HOSTILE}` }],
      },
      'application/problem+json',
    );
    const { status, out, error } = await run(['status'], environment);
    expect([status, out]).toEqual([7, '']);
    expect(error).not.toMatch(ACTS);
    expect(error).not.toMatch(/^error: forged/m);
    expect(error).toContain(String.raw`a\u001b[2J\u009b1m\u202eb\u2066c\u000d\u000aerror: forged`);
  });

  test('is escaped where a whole text is printed', async () => {
    const { out } = await run(['ca', 'trust-bundle'], await hostile(200, HOSTILE, 'application/x-pem-file'));
    expect(out).not.toMatch(ACTS);
  });
});

describe('passwords', () => {
  test('come from a file, the standard input, the environment or a prompt; no command takes one as a flag', async () => {
    const { environment } = await start();
    const folder = temporaryFolder();
    const password = 'a long enough password';
    const file = folder.write('password', `${password}\n`);
    const ways: [string[], Record<string, string>, Parameters<typeof run>[2]][] = [
      [['--password-file', file], {}, {}],
      [['--password-file', '-'], {}, { stdin: `${password}\n` }],
      [[], { QUEUEGATE_BACKUP_PASSWORD: password }, {}],
      [[], {}, { typed: `${password}\r` }],
    ];
    for (const [i, [flags, variables, more]] of ways.entries()) {
      const ended = await run(
        ['store', 'backup', '--out', folder.path(`${i}.qgb`), ...flags],
        { ...environment, ...variables },
        more,
      );
      expect(ended.error).not.toContain('backup_password_missing');
    }
    expect((await run(['store', 'backup', '--out', folder.path('none')], environment)).error).toContain(
      'backup_password_missing',
    );
    for (const line of [
      ['store', 'backup', '--password', password, '--out', 'x'],
      ['api-tokens', 'list', '--token', 'x'],
    ])
      expect(await run(line, environment)).toMatchObject({ status: 2 });
  });
});

describe('store backup', () => {
  test('takes --keep with a folder and a whole number only', async () => {
    const { queuegate } = await start();
    const folder = temporaryFolder();
    for (const words of [
      ['--out', folder.path('file.qgbackup'), '--keep', '3'],
      ['--out', folder.path('.'), '--keep', '0'],
      ['--out', folder.path('.'), '--keep', 'all'],
    ])
      expect(await queuegate('store', 'backup', ...words)).toMatchObject({
        status: 2,
        error: expect.stringContaining('--keep'),
      });
  });
});

describe('status and certificate authority', () => {
  test('status says in words what listens where', async () => {
    const { queuegate } = await start();
    expect((await queuegate('status')).out).toMatch(/^ws +unencrypted, this host only$/m);
  });

  test('the root is written to a file or printed', async () => {
    const { queuegate } = await start();
    const file = temporaryFolder().path('root.pem');
    expect((await queuegate('ca', 'trust-bundle', '--out', file)).out).toBe(`Written to ${file}.`);
    expect(readFileSync(file, 'utf8')).toContain('BEGIN CERTIFICATE');
    expect((await queuegate('ca', 'trust-bundle')).out).toContain('BEGIN CERTIFICATE');
    expect(await queuegate('ca', 'trust-bundle', '--out', '/nonexistent/x')).toMatchObject({
      status: 1,
      error: expect.stringContaining('file_not_written'),
    });
  });
});

describe('the exit status', () => {
  async function answering(status: number): Promise<Record<string, string>> {
    const server = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': 'application/problem+json' }).end(
        JSON.stringify({
          type: 'urn:queuegate:error:some_code',
          code: 'some_code',
          title: 'T',
          detail: 'D.',
          hint: 'H.',
        }),
      ),
    );
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return {
      QUEUEGATE_TOKEN: 'x',
      QUEUEGATE_DATA_FOLDER: await socketTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    };
  }

  test.each([
    [1, [500, 501, 502, 504]],
    [3, [429, 503]],
    [4, [401, 403]],
    [5, [404, 410]],
    [6, [400, 413, 415, 422]],
    [7, [409, 412, 428]],
  ])('is %i for HTTP %j', async (expected, statuses) => {
    for (const status of statuses)
      expect([status, (await run(['status'], await answering(status))).status]).toEqual([status, expected]);
  });

  test('with --json an error is its problem document on the standard error, as Central sent it', async () => {
    const ended = await run(['agents', 'list', '--json'], await answering(404));
    expect([ended.status, ended.out]).toEqual([5, '']);
    expect(JSON.parse(ended.error)).toEqual({
      type: 'urn:queuegate:error:some_code',
      code: 'some_code',
      title: 'T',
      detail: 'D.',
      hint: 'H.',
    });
    expect(JSON.parse((await run(['agnts', '--json'])).error)).toMatchObject({
      type: 'urn:queuegate:error:command_unknown',
      code: 'command_unknown',
      detail: 'Unknown command "agnts".',
      hint: expect.stringContaining('Did you mean'),
    });
  });

  test('is 6 for a dry run that finds agents which the act would cut off', async () => {
    const { rest, queuegate } = await start();
    const off = ['parameters', 'set', 'websocket.secure.enabled=false', '--dry-run'];
    expect(await queuegate(...off)).toMatchObject({ status: 0, error: '' });
    rest.online.push({
      agentId: 'a',
      name: 'b',
      listener: 'wss',
      transport: 'wss',
      address: '10.0.0.7',
      loopback: false,
      since: 0,
    });
    expect(await queuegate(...off)).toMatchObject({ status: 6, error: '', out: expect.stringContaining('cut off') });
  });

  test('is 130 after Ctrl-C', async () => {
    const { rest, environment } = await start();
    const interrupted = new AbortController();
    const following = run(['events', 'list', '--follow'], environment, { signal: interrupted.signal });
    while (rest.events.waiting === 0) await new Promise(setImmediate);
    interrupted.abort();
    expect(await following).toMatchObject({ status: 130, error: '' });
  });
});

describe('the output', () => {
  async function withAgents(count: number): Promise<Awaited<ReturnType<typeof start>>> {
    const started = await start();
    for (let i = 0; i < count; i += 1)
      started.rest.agents.push(
        agentRecord({
          name: `branch-${String(i).padStart(4, '0')}`,
          id: `${String(i).padStart(8, '0')}${'a'.repeat(56)}`,
        }),
      );
    return started;
  }

  test('is a table, a wide one, JSON, a line of JSON for each item, or their names', async () => {
    const { queuegate, environment } = await withAgents(2);
    expect((await queuegate('agents', 'list')).out).toMatch(/^NAME +STATE [^]*^branch-0001 +enrolled .* 00000001$/m);
    for (const wide of [['--wide'], ['-o', 'wide'], ['--output=wide']])
      expect((await queuegate('agents', 'list', ...wide)).out).toContain(`00000001${'a'.repeat(56)}`);
    expect((await queuegate('agents', 'list', '-o', 'name')).out).toBe('branch-0000\nbranch-0001');
    const lines = (await queuegate('-o', 'ndjson', 'agents', 'list')).out.split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { name: string }).name)).toEqual(['branch-0000', 'branch-0001']);
    for (const line of [['--json'], ['-o', 'json'], ['-ojson']])
      expect(JSON.parse((await queuegate('agents', 'list', ...line)).out)).toMatchObject({
        items: [{ name: 'branch-0000' }, { name: 'branch-0001' }],
        next: null,
      });
    expect((await run(['agents', 'list'], { ...environment, QUEUEGATE_OUTPUT: 'name' })).out).toContain('branch-0001');
    expect(await queuegate('agents', 'list', '-o', 'yaml')).toMatchObject({
      status: 2,
      error: expect.stringContaining('allowed are table, wide, json, ndjson, name'),
    });
    expect((await queuegate('api-tokens', 'list', '-o', 'name', '--limit', '0')).status).toBe(6);
  });

  test('on a terminal fits its width, with the header emphasized unless color is off', async () => {
    const { environment } = await withAgents(1);
    const shown = async (line: string[], variables = {}): Promise<string[]> =>
      (
        await run(['agents', 'list', ...line], { ...environment, ...variables }, { terminal: true, columns: 40 })
      ).out.split('\n');
    const lines = await shown([]);
    expect(lines[0]).toMatch(/^\[header\] NAME +STATE/);
    expect(lines[1]).toMatch(/^branch-0000 .*\u2026$/);
    expect(lines[1]?.length).toBeLessThanOrEqual(40);
    for (const plain of [
      await shown(['--no-color']),
      await shown([], { NO_COLOR: '1' }),
      await shown([], { TERM: 'dumb' }),
    ])
      expect(plain[0]).toMatch(/^NAME/);
    expect((await shown(['--json']))[0]).toBe('{');
  });

  test('a list has 100 items unless --limit or --all says otherwise; a line on the standard error says when there is more', async () => {
    const { queuegate } = await withAgents(1203);
    const names = async (...line: string[]): Promise<{ names: string[]; error: string }> => {
      const { out, error } = await queuegate('agents', 'list', '-o', 'name', ...line);
      return { names: out.split('\n'), error };
    };
    const first = await names();
    expect(first.names).toHaveLength(100);
    const [, after = ''] =
      /^There is more: --after (\S+) shows what follows, --all everything\.$/.exec(first.error) ?? [];
    expect((await names('--after', after, '--limit', '2')).names).toEqual(['branch-0100', 'branch-0101']);
    expect((await names('--limit', '1100')).names).toHaveLength(1100);
    const all = await names('--all');
    expect([new Set(all.names).size, all.error]).toEqual([1203, '']);
    expect((await names('-q')).error).toBe('');
    expect(await queuegate('agents', 'list', '--all', '--limit', '5')).toMatchObject({ status: 2 });
  });
});

describe('the command line itself', () => {
  test('helps: all commands, one group, one command', async () => {
    expect(await run(['help'])).toMatchObject({ status: 0, out: expect.stringMatching(/^ {2}parameters  /m) });
    expect((await run(['help', 'parameters'])).out).toMatch(/^ {2}set /m);
    expect((await run(['help', 'api-tokens'])).out).not.toMatch(/^ {2}revoke /m);
    expect((await run(['help', 'parameters', 'set'])).out).toContain('--confirm-within');
    expect((await run(['parameters', 'set', '--help'])).out).toContain('--confirm-within');
    expect(await run([])).toMatchObject({ status: 2, out: '' });
  });

  test('what it does not know is status 2, with the usage', async () => {
    const { queuegate } = await start();
    expect(await queuegate('paramters', 'list')).toMatchObject({
      status: 2,
      error: expect.stringContaining('command_unknown'),
    });
    expect(await queuegate('parameters', 'lst')).toMatchObject({
      status: 2,
      error: expect.stringContaining('parameters list'),
    });
    expect(await queuegate('status', '--jsn')).toMatchObject({
      status: 2,
      error: expect.stringContaining('Usage: queuegate status'),
    });
    expect(await queuegate('agents', 'show')).toMatchObject({ status: 2 });
    expect(await queuegate('status', 'now')).toMatchObject({ status: 2 });
    expect(await queuegate('status', '--token', 'x')).toMatchObject({ status: 2 });
  });

  test('takes the token from the file that Central wrote, or from another one', async () => {
    const {
      rest,
      environment: { QUEUEGATE_DATA_FOLDER },
    } = await start();
    const folder = temporaryFolder();
    const file = folder.write('token', `${rest.tokens.administrator}\n`);
    expect((await run(['status', '--token-file', file], { QUEUEGATE_DATA_FOLDER })).status).toBe(0);
    expect(await run(['status'], { QUEUEGATE_DATA_FOLDER })).toMatchObject({
      status: 4,
      error: expect.stringContaining('token_missing'),
    });
    writeFileSync(join(QUEUEGATE_DATA_FOLDER, 'administrator-token'), rest.tokens.administrator);
    expect((await run(['status'], { QUEUEGATE_DATA_FOLDER })).status).toBe(0);
  });

  test('a token never goes over plain HTTP to another host', async () => {
    expect(await run(['status', '--url', 'http://192.0.2.1:8080'], { QUEUEGATE_TOKEN: 'x' })).toMatchObject({
      status: 3,
      error: expect.stringContaining('token_over_plain_http'),
    });
  });

  test('a token never goes over plain HTTP to this host either: another process may hold the port', async () => {
    const received: string[] = [];
    const thief = createServer((request, response) => {
      received.push(JSON.stringify(request.headers));
      response.setHeader('content-type', 'application/json').end('{}');
    });
    onTestFinished(() => void thief.close());
    await once(thief.listen(0, '127.0.0.1'), 'listening');
    const { port } = thief.address() as AddressInfo;
    for (const url of [`http://127.0.0.1:${port}`, `http://localhost:${port}/`, `HTTP://[::ffff:127.0.0.1]:${port}`]) {
      for (const given of [
        await run(['status', '--url', url], { QUEUEGATE_TOKEN: 'x' }),
        await run(['status'], { QUEUEGATE_URL: url, QUEUEGATE_TOKEN: 'x' }),
      ]) {
        expect(given).toMatchObject({
          status: 3,
          error: expect.stringMatching(/leave out --url[^]*token_over_plain_http/),
        });
      }
    }
    expect(received).toEqual([]);
  });

  test('a Central that is not there says what to do', async () => {
    const folder = temporaryFolder();
    expect(await run(['status'], { QUEUEGATE_TOKEN: 'x', QUEUEGATE_DATA_FOLDER: folder.path('.') })).toMatchObject({
      status: 3,
      error: expect.stringMatching(/Start Central[^]*local_socket_missing/),
    });
    expect(await run(['status', '--url', 'https://127.0.0.1:1'], { QUEUEGATE_TOKEN: 'x' })).toMatchObject({
      status: 3,
      error: expect.stringMatching(/administration_unreachable/),
    });
  });

  test('a server that is not a Central, and one that redirects, get one request and no second', async () => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      if (request.url?.endsWith('/status') === true) return void response.end('<html>');
      // A redirect with a body that would do for an answer.
      response.writeHead(302, { location: '/api/v1/stolen', 'content-type': 'application/json' }).end('{"tokens":[]}');
    });
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const environment = {
      QUEUEGATE_TOKEN: 'x',
      QUEUEGATE_DATA_FOLDER: await socketTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    };
    for (const line of [['status'], ['ca', 'show'], ['ca', 'trust-bundle']])
      expect(await run(line, environment)).toMatchObject({
        status: 3,
        out: '',
        error: expect.stringContaining('no_administration'),
      });
    expect(asked).toEqual(['/api/v1/status', '/api/v1/ca', '/api/v1/ca/trust-bundle.pem']);
  });

  test('environment variables that weaken TLS are refused before a token is sent', async () => {
    for (const [name, value] of [
      ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
      ['NODE_OPTIONS', '--max-old-space-size=64 --tls-min-v1.0'],
      ['NODE_OPTIONS', '--tls-keylog=/tmp/keys'],
    ] as const) {
      expect(
        await run(['status', '--url', 'https://127.0.0.1:1'], { QUEUEGATE_TOKEN: 'x', [name]: value }),
      ).toMatchObject({ status: 3, error: expect.stringMatching(new RegExp(`${name}[^]*tls_weakened`)) });
    }
  });

  test('HTTPS is verified: without the root it is refused, with --ca-file it works', async () => {
    const folder = temporaryFolder();
    const { keyMaterial } = memoryStore();
    const authority = await openAuthority({ keyMaterial, central: 'central.test', now: Date.now });
    const identity = await openServerIdentity({ keyMaterial, authority, now: Date.now });
    await identity.adopt(
      await identity.stage({
        names: ['central.test'],
        subjectAlternativeNames: [],
        distinguishedName: '',
        lifetimeDays: 30,
      }),
      CENTRAL,
    );
    const { key, chain } = identity.current() ?? { key: '', chain: '' };
    const server = createHttpsServer({ key, cert: chain }, (_request, response) =>
      response.setHeader('content-type', 'application/json').end('{"version":"9","problems":[],"certificate":null}'),
    );
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `https://localhost:${(server.address() as AddressInfo).port}`;
    const ca = folder.write('root.pem', authority.pem);
    expect(await run(['status', '--url', url], { QUEUEGATE_TOKEN: 'x' })).toMatchObject({
      status: 3,
      error: expect.stringContaining('central_not_trusted'),
    });
    expect(await run(['status', '--url', url, '--ca-file', ca], { QUEUEGATE_TOKEN: 'x' })).toMatchObject({
      status: 0,
      out: expect.stringMatching(/version +9/),
    });
  });

  test('as a program: an error goes to the standard error with its hint, without a stack', async () => {
    const failed: unknown = await promisify(execFile)(
      process.execPath,
      ['central/cli.ts', 'status', '--url', 'https://127.0.0.1:1'],
      { env: { ...process.env, QUEUEGATE_TOKEN: 'x' } },
    ).catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringMatching(/^error: Central cannot be reached/),
    });
    expect((failed as { stderr: string }).stderr).not.toContain('    at ');
  });
});
