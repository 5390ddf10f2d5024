// No private key leaves the place where it belongs. A real Central with its own agent and an enrolled one do all that
// touches keys, then everything that they wrote, answered and logged is searched for every key that there is, in all
// the forms a key can have.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fastify } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { adminRoutes } from '../../central/admin/routes.ts';
import type { AdminServices } from '../../central/admin/services.ts';
import { createMetrics } from '../../central/metrics.ts';
import { openKeyMaterial } from '../../central/pki/keys/key-material.ts';
import { keyMaterialOf } from '../central/fakes.ts';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';
import { makeBank } from '../central/pki/server/bank.ts';
import { openssl } from '../central/pki/folder.ts';
import { foundIn, type Secret } from './key-forms.ts';
import { agentFlags, AgentProcess, CentralProcess, Cleanup, runNode, until, type Ended } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const PASSWORD = 'a password for the test';

/** Everything that is searched: where it is, and what it is. */
type Places = Map<string, Buffer>;

/** The one file of an agent in which its key may be. */
function isKeyFile(place: string): boolean {
  return /\/agent-key(?:\.next)?\.pem \(/.test(place);
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Every route of REST that only reads, as Central registers them. */
async function readingRoutes(): Promise<string[]> {
  const found: string[] = [];
  const app = fastify();
  app.addHook('onRoute', ({ method, url }) => {
    if ([method].flat().includes('GET')) found.push(url);
  });
  // Nothing is asked of the services before a request comes.
  await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
  await app.ready();
  await app.close();
  return found;
}

/** Asks all of them, and each thing that they list. */
/** The whole body; of a stream without an end what it begins with. */
async function bodyOf(answer: Response): Promise<Buffer> {
  if (answer.headers.get('content-type')?.startsWith('text/event-stream') !== true)
    return Buffer.from(await answer.arrayBuffer());
  const reader = answer.body?.getReader();
  const first = (await reader?.read())?.value;
  await reader?.cancel();
  return Buffer.from(first ?? []);
}

async function askAll(central: CentralProcess, when: string, places: Places): Promise<void> {
  const ids: Readonly<Record<string, string[]>> = {
    ':agent': ((await central.rest('GET', '/agents?limit=1000')).body.items as { id: string }[]).map(({ id }) => id),
    ':parameter': ((await central.rest('GET', '/parameters?limit=1000')).body.items as { name: string }[]).map(
      ({ name }) => name,
    ),
    ':thumbprint': ((await central.rest('GET', '/ca')).body.generations as { thumbprint: string }[]).map(
      ({ thumbprint }) => thumbprint,
    ),
    ':node': ((await central.rest('GET', '/nodes')).body.items as { name: string }[]).map(({ name }) => name),
    // There are none of these: 404.
    ...Object.fromEntries(
      [
        ':change',
        ':drain',
        ':token',
        ':request',
        ':profile',
        ':rollout',
        ':command',
        ':incident',
        ':deadLetter',
        ':release',
        ':subscription',
        ':exposure',
        ':task',
      ].map((hole) => [hole, ['0']]),
    ),
  };
  const paths = (await readingRoutes()).flatMap((url) => {
    const hole = /:\w+/.exec(url)?.[0];
    if (hole === undefined) return [url];
    const values = ids[hole] ?? [];
    expect(values.length, `a value for ${hole} of ${url}`).toBeGreaterThan(0);
    // What is in another thing goes with it: a release of a profile.
    return values.map((value) =>
      url.replace(hole, encodeURIComponent(value)).replaceAll(/:\w+/g, '0').replace('*', '0'),
    );
  });
  let answered = 0;
  for (const path of paths) {
    const answer = await fetch(`http://127.0.0.1:${central.ports.http}${path}`, {
      headers: { authorization: `Bearer ${central.token}` },
    });
    const body = await bodyOf(answer);
    // 404: there is none of it yet; 400: "0" cannot be the name of one.
    expect([path, answer.status, body.toString()]).toEqual([
      path,
      expect.toSatisfy((status: number) => [200, 400, 404].includes(status)),
      expect.any(String),
    ]);
    if (answer.status === 200) answered += 1;
    places.set(`GET ${path} (${when})`, Buffer.concat([Buffer.from(JSON.stringify([...answer.headers])), body]));
  }
  expect(answered).toBeGreaterThan(20);
}

function keepFiles(folder: string, when: string, places: Places): void {
  for (const file of filesIn(folder))
    places.set(`${basename(folder)}/${relative(folder, file)} (${when})`, readFileSync(file));
}

/** The keys of a stopped Central, opened with its key-encryption key, and the entries of its audit log. */
async function openStore(folder: string): Promise<{ secrets: Secret[]; audit: Buffer }> {
  const store = await openSqliteStore({ folder, deduplicationMs: 0, onFailure: (error) => console.error(error) });
  try {
    const none = { file: undefined, previousFile: undefined, environment: undefined, credentialsFolder: undefined };
    const material = await openKeyMaterial({
      store: store.keyMaterial,
      sources: { dataFolder: folder, ...none },
      log: { info: () => undefined, warn: () => undefined },
      now: Date.now,
    });
    const secrets: Secret[] = [];
    for (const name of (await material.names()).filter((name) => name.endsWith('.key')))
      secrets.push({ name, pem: (await keyMaterialOf(material, name)) ?? '' });
    const entries: unknown[] = [];
    for (let before: number | undefined; ;) {
      const page = await store.audit.list({ limit: 1000, ...(before === undefined ? {} : { before }) });
      if (page.length === 0) break;
      entries.push(...page);
      before = page.at(-1)?.number;
    }
    return { secrets, audit: Buffer.from(JSON.stringify(entries)) };
  } finally {
    await store.stop();
  }
}

describe('the search', () => {
  const { privateKey: ec } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });

  it.each([
    ['P-256', ec],
    ['RSA', rsa],
  ] as const)('finds a key of %s in each form, wherever it begins', (_kind, key) => {
    const pem = key.export({ format: 'pem', type: 'pkcs8' });
    const secrets = [{ name: 'it', pem }];
    const own = key.export({ format: 'pem', type: key === ec ? 'sec1' : 'pkcs1' });
    const der = key.export({ format: 'der', type: 'pkcs8' });
    const d = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url');
    const hidden: Readonly<Record<string, Buffer | string>> = {
      'PEM with line breaks': pem,
      'PEM with line breaks of Windows': pem.replaceAll('\n', '\r\n'),
      'PEM in one line': pem.replaceAll('\n', ''),
      'PEM in JSON': JSON.stringify({ key: pem }),
      'PEM as older tools write it': own,
      'PEM in the base64 of something': Buffer.from(`x ${pem}`).toString('base64'),
      DER: der,
      'DER in base64': der.toString('base64'),
      'DER in hex': der.toString('hex'),
      'the number in bytes': d,
      'the number in hex': d.toString('hex'),
      'the number in hex of capitals': d.toString('hex').toUpperCase(),
      'the number in base64': d.toString('base64'),
      'the number in base64url': d.toString('base64url'),
      'the number in the base64 of something, one byte later': Buffer.concat([
        Buffer.from('1'),
        d,
        Buffer.from('after'),
      ]).toString('base64'),
      'the number in the base64 of something, two bytes later': Buffer.concat([
        Buffer.from('12'),
        d,
        Buffer.from('after'),
      ]).toString('base64'),
    };
    for (const [form, value] of Object.entries(hidden)) {
      const bytes = Buffer.concat([Buffer.from('before '), Buffer.from(value), Buffer.from(' after')]);
      expect([form, foundIn(bytes, secrets).length > 0]).toEqual([form, true]);
    }
    const another = key === ec ? rsa : ec;
    expect(foundIn(Buffer.from(another.export({ format: 'pem', type: 'pkcs8' })), secrets)).toEqual([]);
  });
});

/** Truststores hold certificates, which everybody is shown. */
function openToOthers(files: readonly string[]): string[] {
  return files.filter((file) => basename(file) !== 'truststore.jks' && (statSync(file).mode & 0o077) !== 0);
}

describe('private keys', () => {
  it('are in no file, log, answer, audit entry, export or backup, but sealed; an agent has its own in one file that only it may read', async () => {
    const folder = await cleanup.folder();
    const data = join(folder, 'central');
    // What is written beside the data folders would be found here.
    const temporary = join(folder, 'tmp');
    mkdirSync(temporary);
    const [places, given]: [Places, Secret[]] = [new Map(), []];
    const heard: Ended[] = [];
    const start = async (): Promise<CentralProcess> =>
      await CentralProcess.start(cleanup, data, ['--central-agent', '--log-level', 'trace'], {
        TMPDIR: temporary,
        QUEUE_AGENT_LOCAL_API_PORT: '0',
        QUEUE_AGENT_LOG_LEVEL: 'trace',
      });
    const said = (title: string, { code, stdout, stderr }: Ended, expected = 0): void => {
      expect([title, code, stdout + stderr]).toEqual([title, expected, expect.any(String)]);
      places.set(`queuegate ${title}`, Buffer.from(stdout + stderr));
    };

    // --- a first life: all keys are Central's own; a request is out
    // -----------------------------------------------------------
    const first = await start();
    const agent = await AgentProcess.enrolled(cleanup, first, 'branch-1', ['--log-level', 'trace']);
    await first.online('branch-1');
    await first.online('central-agent');
    await agent.local('POST', '/api/v1/events', { id: 'e1', type: 'tick' });
    await until(async () => ((await first.events()).length > 0 ? true : undefined));
    const csr = join(folder, 'central.csr');
    said(
      'certificate request',
      await first.cli('server-certificate', 'request', 'create', '--out', csr, '--key-algorithm', 'rsa', '--json'),
    );
    await askAll(first, 'own keys', places);
    keepFiles(data, 'first, running', places);
    heard.push(await first.stop());
    const own = await openStore(data);
    expect(own.secrets.map(({ name }) => name.replace(/[0-9a-f]{64}/, '*')).toSorted()).toEqual([
      'authority.*.key',
      'release-tickets.key',
      'server.key',
      'server.request.key',
      'signing.key',
    ]);

    // --- a second one: keys come from elsewhere, and some are refused
    // ---------------------------------------------------------
    const central = await start();
    const bank = makeBank(['localhost']);
    const above = bank.intermediate.certificate + bank.root.certificate;
    const password = bank.folder.write('password', PASSWORD);
    const answer = bank.folder.write('answer.pem', bank.sign(readFileSync(csr, 'utf8')) + above);
    said(
      'certificate install',
      await central.cli('server-certificate', 'install', answer, '--force', '--yes', '--json'),
    );
    const server = bank.issue('central');
    said(
      'certificate import',
      await central.cli(
        'server-certificate',
        'import',
        bank.folder.write('central.pem', server.key + server.certificate + above),
        '--force',
        '--yes',
        '--json',
      ),
    );
    const staged = bank.issue('staged');
    openssl(
      'pkcs12',
      '-export',
      '-in',
      staged.files.certificate,
      '-inkey',
      staged.files.key,
      '-certfile',
      bank.intermediate.files.certificate,
      '-passout',
      `pass:${PASSWORD}`,
      '-out',
      bank.folder.path('central.p12'),
    );
    said(
      'certificate import of PKCS#12',
      await central.cli(
        'server-certificate',
        'import',
        bank.folder.path('central.p12'),
        '--password-file',
        password,
        '--stage',
        '--json',
      ),
    );

    const refused = bank.issue('refused', { key: ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] });
    const wrong = bank.folder.write('wrong', 'another password');
    const pkcs8 = createPrivateKey(refused.key).export({ format: 'der', type: 'pkcs8' });
    const bad: Readonly<Record<string, string>> = {
      'another key': refused.key + server.certificate + above,
      'no certificate': refused.key,
      'a chain that is not complete': refused.key + refused.certificate,
      'a key without its end': refused.key.replace(/-----END[^]*/, '') + refused.certificate + above,
      'a key with a line less': refused.key.replace(/\n[^\n]+\n/, '\n') + refused.certificate + above,
      'a key in a line': refused.key.replaceAll('\n', ' ') + refused.certificate + above,
    };
    for (const [title, text] of Object.entries(bad))
      said(
        `certificate import: ${title}`,
        await central.cli('server-certificate', 'import', bank.folder.write('bad.pem', text)),
        6,
      );
    for (const [title, text] of Object.entries(bad)) {
      const ended = await central.cli('server-certificate', 'install', bank.folder.write('bad.pem', text));
      const isOfNoRequest = ended.stderr.includes('(certificate_not_requested)');
      said(`certificate install: ${title}`, ended, isOfNoRequest ? 7 : 6);
    }
    said(
      'certificate import: wrong password',
      await central.cli('server-certificate', 'import', bank.folder.path('central.p12'), '--password-file', wrong),
      4,
    );
    said(
      'certificate import: no such password',
      await central.cli('server-certificate', 'import', bank.folder.path('central.p12')),
      4,
    );
    said(
      'ca import: a key that may not sign',
      await central.cli('ca', 'import', bank.folder.write('bad.pem', refused.key + refused.certificate + above)),
      6,
    );
    // What a script does that takes the wrong field: keys where none belong.
    for (const [path, body] of [
      ['/server-certificate/import', { content: refused.key }],
      ['/server-certificate/import', { content: pkcs8.toString('base64'), fileName: 'key.der' }],
      ['/server-certificate/install', { content: pkcs8.toString('base64') }],
      ['/server-certificate/request', { keyAlgorithm: refused.key }],
      ['/ca/import', { content: Buffer.from(refused.key).toString('base64'), password: PASSWORD }],
      ['/enrollment-tokens', { name: refused.key }],
    ] as const) {
      const { status, body: problem, headers } = await central.rest('POST', path, body);
      expect([path, status]).toEqual([path, expect.toSatisfy((found: number) => found >= 400 && found < 500)]);
      places.set(
        `POST ${path} with ${JSON.stringify(body).slice(0, 40)}`,
        Buffer.from(JSON.stringify([problem, ...headers])),
      );
    }

    said(
      'ca import',
      await central.cli(
        'ca',
        'import',
        bank.folder.write('ca.pem', bank.intermediate.key + above),
        '--force',
        '--yes',
        '--json',
      ),
    );
    const [exported, backup] = [join(folder, 'authority.p12'), join(folder, 'central.backup')];
    said('ca export', await central.cli('ca', 'export', '--out', exported, '--password-file', password, '--json'));
    said('backup', await central.cli('store', 'backup', '--out', backup, '--password-file', password));
    const newcomer = await AgentProcess.enrolled(cleanup, central, 'branch-2', ['--log-level', 'trace']);
    await central.online('branch-2');
    for (const [i, { folders }] of [agent, newcomer].entries())
      places.set(
        `queue-agent doctor ${i}`,
        Buffer.from(JSON.stringify(await runNode('agent/cli.ts', ['doctor', ...agentFlags(folders, 'x'), '--json']))),
      );
    await askAll(central, "the bank's keys", places);
    keepFiles(data, 'second, running', places);
    // While they run: local-api.json and the write-ahead logs are there.
    const dataFolders = [data, agent.folders.data, newcomer.folders.data];
    const running = dataFolders.flatMap(filesIn);
    for (const [name, times] of Object.entries({
      'administrator-token': 1,
      'key-encryption-key': 1,
      'central.db': 1,
      'agent-key.pem': 3,
      'identity.json': 3,
      'local-api.json': 3,
      'agent.db': 3,
    }))
      expect([name, running.filter((file) => basename(file) === name).length]).toEqual([name, times]);
    expect(openToOthers([...running, exported, backup])).toEqual([]);
    for (const inside of dataFolders) expect([inside, statSync(inside).mode & 0o777]).toEqual([inside, 0o700]);
    for (const [i, { folders }] of [agent, newcomer].entries()) keepFiles(folders.data, `agent ${i}, running`, places);
    given.push(
      { name: 'refused.key', pem: refused.key },
      { name: 'bank server.key', pem: server.key },
      { name: 'bank staged.key', pem: staged.key },
      { name: 'bank intermediate.key', pem: bank.intermediate.key },
    );

    heard.push(await agent.stop(), await newcomer.stop(), await central.stop());
    const last = await openStore(data);
    keepFiles(data, 'stopped', places);
    keepFiles(temporary, 'temporary', places);
    for (const [i, { folders }] of [agent, newcomer].entries()) {
      keepFiles(folders.data, `agent ${i}, stopped`, places);
      keepFiles(folders.profile, `agent ${i}, stopped`, places);
    }
    for (const [i, { stdout, stderr }] of heard.entries()) places.set(`log ${i}`, Buffer.from(stdout + stderr));
    for (const [i, { audit }] of [own, last].entries()) places.set(`audit entries ${i}`, audit);
    for (const file of [exported, backup]) places.set(basename(file), readFileSync(file));
    expect(places.get('audit entries 1')?.toString()).toMatch(
      /server-certificate\.import[^]*\bca\.(import|rotation\.switch)|\bca\.(import|rotation\.switch)[^]*server-certificate\.import/,
    );
    expect(places.get('log 0')?.toString()).toContain('"msg"');

    // --- what is looked for, and where it may be
    // ------------------------------------------------------------------------------
    const kept = [...filesIn(data), ...[agent, newcomer].flatMap(({ folders }) => filesIn(folders.data))];
    const keyFiles = kept.filter((file) => basename(file) === 'agent-key.pem');
    // Of agents that renew their certificates now (agent/renewal/renewal.ts).
    const nextKeys = kept
      .filter((file) => basename(file) === 'agent-key.next.pem')
      .map((file) => ({ name: `next key in ${file}`, pem: readFileSync(file, 'utf8') }));
    expect(keyFiles).toHaveLength(3);
    const agents = keyFiles.map((file, i) => ({ name: `agent ${i}`, pem: readFileSync(file, 'utf8') }));
    const secrets = [...own.secrets, ...last.secrets, ...given, ...agents, ...nextKeys];
    expect(new Set(secrets.map(({ pem }) => pem.trim())).size).toBeGreaterThanOrEqual(10);
    // What was given is kept, and is among what is looked for in any case.
    const derOf = (pem: string): string =>
      pem.startsWith('-----') ? createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' }).toString('hex') : pem;
    expect(last.secrets.map(({ pem }) => derOf(pem))).toEqual(
      expect.arrayContaining([server.key, staged.key, bank.intermediate.key].map(derOf)),
    );
    const found = [...places].flatMap(([place, bytes]) =>
      isKeyFile(place) ? [] : foundIn(bytes, secrets).map((what) => `${place}: ${what}`),
    );
    expect(found).toEqual([]);
    // In its file each agent has its own key, and no other one.
    for (const [i, file] of keyFiles.entries()) {
      const others = secrets.filter(({ name }) => name !== `agent ${i}`);
      expect([
        statSync(file).mode & 0o777,
        foundIn(readFileSync(file), others),
        foundIn(readFileSync(file), [agents[i] ?? { name: '', pem: '' }]).length > 0,
      ]).toEqual([0o600, [], true]);
    }
    // The words around any key, the passwords that were given, and the key that seals the others are nowhere else
    // either.
    const sealing = readFileSync(join(data, 'key-encryption-key'), 'utf8').trim();
    const words: Readonly<Record<string, readonly string[]>> = {
      'a password': [PASSWORD, 'another password'],
      'the key-encryption key': [
        sealing,
        Buffer.from(sealing, 'base64').toString('latin1'),
        Buffer.from(sealing, 'base64').toString('hex'),
      ],
    };
    const spoken = [...places].flatMap(([place, bytes]) => {
      const text = bytes.toString('latin1');
      const said = Object.keys(words).filter((word) => words[word]?.some((form) => text.includes(form)));
      // An error may name the line at which a key begins or ends, not what follows it.
      if (/PRIVATE KEY-----(\\[rn]|\s)*[A-Za-z0-9+/]{8}/.test(text)) said.push('an open key');
      return said.map((word) => `${place}: ${word}`);
    });
    expect(
      spoken.filter(
        (line) =>
          // While an agent renews its certificate, its next key is beside the present one (agent/renewal/renewal.ts).
          !/\/agent-key(?:\.next)?\.pem \(.*: an open key$|^central\/key-encryption-key \(.*: the key-encryption key$/.test(
            line,
          ),
      ),
    ).toEqual([]);
    // They are there, sealed: else this would look for what is not there at all.
    expect(places.get('central/central.db (stopped)')?.includes('qgk1:')).toBe(true);
    expect(openToOthers(dataFolders.flatMap(filesIn))).toEqual([]);
  }, 120_000);
});
