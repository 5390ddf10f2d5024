// Holds the documents to the code: what is made from tables is what would be made now, what is written by hand names
// what is there, and every link, file and script that a document names exists.
import { createPublicKey } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fastify } from 'fastify';
import { describe, expect, it } from 'vitest';
import { COMMAND_NAMES } from '../central/cli/commands.ts';
import { adminRoutes } from '../central/admin/routes.ts';
import type { AdminServices } from '../central/admin/services.ts';
import { createMetrics } from '../central/metrics.ts';
import { readRequest } from '../central/pki/x509/csr.ts';
import { ERROR_SUBJECTS } from '../docs/error-subjects.ts';
import { openApiDocument } from '../central/admin/openapi/document.ts';
import { anchorOf, errorsMarkdown, madeDocuments } from '../docs/make.ts';
import { restMarkdown, restTexts } from '../docs/rest.ts';
import { linkOf } from '../shared/sqlite/logs/fingerprint.ts';
import { decodeFromAgent, decodeFromCentral } from '../shared/wire/codec.ts';
import {
  ENROLL_WITHOUT_TOKEN,
  ENROLL_BY_RECOVERY,
  ENROLL_WITH_PROOF,
  ENROLL_WITH_TOKEN,
  ENROLLED,
  ENROLLMENT_PENDING,
  proofKey,
  readEnrollmentToken,
  requestProof,
  type EnrollWithoutToken,
  type EnrollByRecovery,
  type EnrollWithProof,
} from '../shared/wire/enrollment.ts';
import { validate, type JsonSchema } from '../shared/wire/json-schema.ts';
import {
  BEGIN,
  CHALLENGE,
  FROM_AGENT,
  FROM_CENTRAL,
  HELLO,
  LIMITS,
  MAX_HELLO_BYTES,
  type Challenge,
  type Hello,
  type Welcome,
} from '../shared/wire/messages.ts';
import { helloTranscript, readPublicKey, verifyTranscript, welcomeTranscript } from '../shared/wire/proof.ts';
import { readRecoveryCode, recoveryKey, recoveryProof } from '../shared/wire/recovery.ts';
import { REFUSALS } from '../shared/wire/refusals.ts';
import { registeredRoutes } from './described-answers.ts';
import { commandsOf, SECURE_TURN } from './long/secure-turn.ts';

const root = resolve(import.meta.dirname, '..');

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

const sources = ['central', 'agent', 'shared'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
);

const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `test/${name}`);

/** All that `pattern` finds, with the document it is in. */
function findings(
  pattern: RegExp,
  files: readonly string[] = documents,
): { readonly file: string; readonly found: string }[] {
  return files.flatMap((file) =>
    Array.from(read(file).matchAll(pattern), ([whole, group]) => ({ file, found: group ?? whole })),
  );
}

/** The text under a heading, up to the next heading of the same level or above. */
function section(markdown: string, heading: string): string {
  const lines = markdown.split('\n');
  const start = lines.indexOf(heading);
  if (start === -1) throw new Error(`no heading "${heading}"`);
  const level = heading.indexOf(' ');
  const length = lines.slice(start + 1).findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level);
  return lines.slice(start + 1, length === -1 ? undefined : start + 1 + length).join('\n');
}

/** Prose with its lines joined, so that a phrase is found wherever it was wrapped. */
function unwrapped(markdown: string): string {
  return markdown.replaceAll(/(?<=\S)\n[ ]*(?=[^\s|#-])/g, ' ');
}

function headings(markdown: string): string[] {
  return Array.from(
    markdown.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm),
    ([, heading]) => heading ?? '',
  );
}

describe('documents that are made', () => {
  it.each([...madeDocuments()])('%s is what "npm run docs" would write now', (path, text) => {
    expect(read(path)).toBe(text);
  });

  it('ERRORS.md has every error table of the source', () => {
    const calls = findings(
      /\bdefineErrors\(([^)]*)/g,
      sources.filter((file) => file !== 'shared/errors.ts'),
    );
    // A table that is written into the call cannot be documented: give it a name and export it.
    expect(calls.map(({ found }) => found).toSorted()).toEqual(ERROR_SUBJECTS.map(({ table }) => table).toSorted());
  });

  it('ERRORS.md gives every code a heading of its own: no code is in two tables, except facts that close a session and that REST answers', () => {
    const codes = ERROR_SUBJECTS.flatMap(({ errors }) => Object.keys(errors));
    expect(codes.filter((code, i) => codes.indexOf(code) !== i)).toEqual([
      'address_denied',
      'agent_unknown',
      'agent_name_taken',
      'agent_revoked',
      'agent_disabled',
    ]);
    const found = headings(errorsMarkdown());
    expect(codes.filter((code) => found.filter((heading) => heading === code).length !== 1)).toEqual([]);
  });

  it('every error says in a sentence what happened and what to do', () => {
    for (const { errors } of ERROR_SUBJECTS) {
      for (const [code, { text, hint }] of Object.entries(errors)) {
        expect([code, text.length > 0, hint.length > 0]).toEqual([code, true, true]);
      }
    }
  });
});

describe('what documents name', () => {
  it('every command of queuegate exists, in documents, error texts and hints', () => {
    const named = findings(/(?<![\w./-])queuegate (?:-- )?([a-z][a-z-]*(?: [a-z][a-z-]*){0,2})/g, [
      ...documents,
      ...sources.filter((file) => file.endsWith('errors.ts')),
    ]);
    expect(named.length).toBeGreaterThan(50);
    const names = [...COMMAND_NAMES, 'help'];
    expect(named.filter(({ found }) => !names.some((name) => `${found} `.startsWith(`${name} `)))).toEqual([]);
  });

  it('every relative link resolves, with its anchor', () => {
    const broken = findings(/\]\(([^)\s]+)\)/g).filter(({ file, found }) => {
      if (/^[a-z]+:/.test(found)) return false;
      const [path = '', anchor] = found.split('#', 2);
      const target = path === '' ? file : relative(root, resolve(root, dirname(file), path));
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !headings(read(target)).some((heading) => anchorOf(heading) === anchor);
    });
    expect(broken).toEqual([]);
  });

  it('no source, test or document cites a document outside the repository', () => {
    const cited = findings(/\bDESIGN(?:\.md)? section\b|\bdesign\/[\w-]+\.md/g, [...documents, ...sources, ...tests]);
    expect(cited).toEqual([]);
  });

  it('no document cites line numbers', () => {
    expect(findings(/\.(?:ts|md|json|js):\d+|#L\d+|\b(?:at|see) line \d+/gi)).toEqual([]);
  });

  it('every npm script exists', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = findings(/\bnpm (?:run (?:-s |--silent )?([a-z:-]+)|(?:start|test)\b)/g).map(({ file, found }) => ({
      file,
      found: found.replace(/^npm /, ''),
    }));
    expect(named.filter(({ found }) => !Object.hasOwn(scripts, found))).toEqual([]);
  });

  it('every file under docs that a document or the source names exists', () => {
    const named = findings(/\bdocs\/[A-Za-z-]+\.(?:md|ts)\b/g, [...documents, ...sources]);
    expect(named.filter(({ found }) => !existsSync(join(root, found)))).toEqual([]);
  });

  it('every source file that a document names exists', () => {
    const named = findings(/`((?:central|agent|shared|profiles|test|docs|bench|deploy)\/[\w./-]+\.\w+)`/g);
    expect(named.filter(({ found }) => !existsSync(join(root, found)))).toEqual([]);
  });

  it.each([
    ['SECURITY.md', 20],
    ['TESTING.md', 15],
  ] as const)('every test that %s calls as a proof exists under that title', (document, atLeast) => {
    const text = unwrapped(read(`docs/${document}`));
    const cited = Array.from(text.matchAll(/`(test\/[\w./-]+\.ts)` ((?:"[^"]+"(?:, )?)+)/g));
    expect(cited.length).toBeGreaterThan(atLeast);
    const missing = cited.flatMap(([, file = '', titles = '']) =>
      Array.from(titles.matchAll(/"([^"]+)"/g), ([, title = '']) => ({ file, title })).filter(
        ({ title }) =>
          !existsSync(join(root, file)) ||
          !read(file)
            .replaceAll(String.raw`\'`, "'")
            .includes(title),
      ),
    );
    expect(missing).toEqual([]);
  });
});

describe('PROTOCOL.md', () => {
  const text = read('docs/PROTOCOL.md');
  const jsonIn = (part: string): string[] =>
    Array.from(part.matchAll(/```json\n([\s\S]*?)\n```/g), ([, json]) => json ?? '');
  const example = (type: string): unknown => JSON.parse(jsonIn(section(text, `### ${type}`))[0] ?? '');

  /** The kinds of values that PROTOCOL.md defines once, under "Frames". */
  const KINDS: readonly (readonly [string, JsonSchema])[] = [
    ['id', HELLO.properties.id],
    ['nonce', CHALLENGE.properties.nonce],
    ['base64', HELLO.properties.key],
    ['position', HELLO.properties.logs.properties.down],
    ['range', BEGIN.properties.missing.anyOf[1]],
    ['number', FROM_AGENT.ack.properties.through],
    ['number, at least 1', BEGIN.properties.next],
  ];

  function kindOf(schema: JsonSchema): string | undefined {
    return KINDS.find(([, known]) => JSON.stringify(known) === JSON.stringify(schema))?.[0];
  }

  /** What the column "form" must contain for a member of this schema. */
  function formsOf(schema: JsonSchema): string[] {
    const kind = kindOf(schema);
    return kind === undefined ? boundsOf(schema) : [kind];
  }

  function boundsOf(schema: JsonSchema): string[] {
    if ('const' in schema) return [`\`${schema.const}\``];
    if ('enum' in schema) return schema.enum.map((word) => `\`${word}\``);
    if ('anyOf' in schema) return schema.anyOf.flatMap((option) => formsOf(option));
    if (!('type' in schema)) return [];
    switch (schema.type) {
      case 'null':
        return ['null'];
      case 'integer':
        return [`${schema.minimum} to ${schema.maximum}`];
      case 'string':
        return [
          schema.minLength === undefined
            ? `at most ${schema.maxLength}`
            : schema.minLength === schema.maxLength
              ? String(schema.maxLength)
              : `${schema.minLength} to ${schema.maxLength}`,
        ];
      case 'array':
        return [`at most ${schema.maxItems.toLocaleString('en')}`, ...formsOf(schema.items)];
      default:
        return [schema.type];
    }
  }

  /** The faults of a table of members against a schema. */
  function faultsOf(part: string, schema: JsonSchema, prefix = ''): string[] {
    if (!('properties' in schema)) return [];
    return Object.entries(schema.properties).flatMap(([name, member]) => {
      const row = part
        .split('\n')
        .find((line) => line.startsWith('| ') && line.split(' | ')[0]?.includes(`\`${prefix}${name}\``));
      if (row === undefined) return [`${prefix}${name} has no row`];
      if (name === 'logs')
        return Object.keys('properties' in member ? member.properties : {}).filter(
          (log) => !row.includes(`\`${log}\``),
        );
      // A string may happen to have the bounds of a kind: its bounds written out will do as well.
      const missing = boundsOf(member).every((form) => row.includes(form))
        ? []
        : formsOf(member).filter((form) => !row.includes(form));
      return [
        ...missing.map((form) => `${prefix}${name} does not say "${form}"`),
        ...faultsOf(part, member, `${name}.`),
      ];
    });
  }

  it.each(Object.entries({ ...FROM_AGENT, ...FROM_CENTRAL }))(
    'tells each member of %s with its form and bounds',
    (type, schema) => {
      expect(faultsOf(section(text, `### ${type}`), schema)).toEqual([]);
    },
  );

  it('tells each member of an enrollment with its form and bounds', () => {
    const [token, proof, answer] = [
      '### Over wss: the token',
      '### Over ws: a proof of the token',
      '### The answer',
    ].map((heading) => section(text, heading));
    const ofRequest = (schema: JsonSchema, part = ''): string[] =>
      faultsOf(part, schema).filter((fault) => !fault.startsWith('name does not say'));
    expect(ofRequest(ENROLL_WITH_TOKEN, token)).toEqual([]);
    expect(
      ofRequest(
        {
          ...ENROLL_WITH_PROOF,
          properties: { tokenId: ENROLL_WITH_PROOF.properties.tokenId, proof: ENROLL_WITH_PROOF.properties.proof },
        },
        proof,
      ),
    ).toEqual([]);
    expect(ofRequest(ENROLLED, answer)).toEqual([]);
    const [withoutToken, recovery] = ['### Without a token', '### With a recovery code'].map((heading) =>
      section(text, heading),
    );
    expect([
      ...ofRequest(ENROLL_WITHOUT_TOKEN, withoutToken),
      ...ofRequest(ENROLLMENT_PENDING, withoutToken),
      ...ofRequest(ENROLL_BY_RECOVERY, recovery),
    ]).toEqual([]);
  });

  it('has an example of each frame that the schemas take', () => {
    for (const type of Object.keys(FROM_AGENT))
      expect(decodeFromAgent(jsonIn(section(text, `### ${type}`))[0] ?? '')?.type).toBe(type);
    for (const type of Object.keys(FROM_CENTRAL))
      expect(decodeFromCentral(jsonIn(section(text, `### ${type}`))[0] ?? '')?.type).toBe(type);
  });

  it('shows what is signed, and its signatures verify', () => {
    const [challenge, hello, welcome] = [
      example('challenge') as Challenge,
      example('hello') as Hello,
      example('welcome') as Welcome,
    ];
    const [signedHello, signedWelcome, signingKey] = Array.from(
      section(text, '## Signatures').matchAll(/```text\n(.*)\n```/g),
      ([, shown]) => shown ?? '',
    );
    expect(signedHello).toBe(helloTranscript(challenge, hello));
    expect(signedWelcome).toBe(welcomeTranscript(hello, challenge.centralName, welcome));
    const [agentKey, centralKey] = [readPublicKey(hello.key), readPublicKey(signingKey ?? '')];
    if (agentKey === undefined || centralKey === undefined) throw new Error('a key of the examples cannot be read');
    expect(verifyTranscript(signedHello ?? '', hello.signature, agentKey)).toBe(true);
    expect(verifyTranscript(signedWelcome ?? '', welcome.signature, centralKey)).toBe(true);
  });

  it('shows enrollments that the schemas take, with a proof that fits its token', () => {
    const [withToken, withProof] = jsonIn(section(text, '## Enrollment')).map((json) => JSON.parse(json) as unknown);
    expect(validate(ENROLL_WITH_TOKEN, withToken)).toBeUndefined();
    expect(validate(ENROLL_WITH_PROOF, withProof)).toBeUndefined();
    const { csr, name, tokenId, proof } = withProof as EnrollWithProof;
    const token = readEnrollmentToken(/with the token `(qge_[\w-]+)`/.exec(text)?.[1] ?? '');
    const csrDer = Buffer.from(csr.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
    expect(token?.id).toBe(tokenId);
    expect(requestProof(proofKey(token?.secret ?? ''), { tokenId, name, id: undefined, csrDer })).toBe(proof);
  });

  it('shows a request without a token, with the name of its certificate request, and a recovery whose proof fits its code', async () => {
    const [withoutToken, pending] = jsonIn(section(text, '### Without a token')).map(
      (json) => JSON.parse(json) as unknown,
    );
    expect([validate(ENROLL_WITHOUT_TOKEN, withoutToken), validate(ENROLLMENT_PENDING, pending)]).toEqual([
      undefined,
      undefined,
    ]);
    const asked = withoutToken as EnrollWithoutToken;
    expect(readRequest(asked.csr)).toMatchObject({ name: asked.name, id: undefined });
    const recovery = JSON.parse(jsonIn(section(text, '### With a recovery code'))[0] ?? '') as EnrollByRecovery;
    expect(validate(ENROLL_BY_RECOVERY, recovery)).toBeUndefined();
    const code = readRecoveryCode(/with the code `([\w-]+)`/.exec(text)?.[1] ?? '');
    const { name, pin, csr } = recovery;
    expect(recoveryProof(recoveryKey(code ?? ''), { name, id: undefined, pin, csrDer: readRequest(csr).der })).toBe(
      recovery.proof,
    );
  });

  it('lists every close code', () => {
    const part = section(text, '## Refusals and close codes');
    for (const [code, { close }] of Object.entries(REFUSALS)) {
      expect(
        part.split('\n').some((line) => line.startsWith(`| ${close} |`) && line.includes(`[\`${code}\`]`)),
        code,
      ).toBe(true);
    }
  });

  it('says the defaults of the limits', () => {
    expect(LIMITS).toEqual({
      maxFrameBytes: 1024 ** 2,
      maxMessageBytes: 256 * 1024,
      windowItems: 2000,
      windowBytes: 4 * 1024 ** 2,
    });
    expect(unwrapped(text)).toContain('1 MiB for a frame, 256 KiB for a message, 2,000 items and 4 MiB for the window');
    expect(section(text, '### hello')).toContain(`At most ${MAX_HELLO_BYTES.toLocaleString('en')} bytes`);
  });

  it('shows the fingerprint of a log, and the hello has it in its position', () => {
    const one = linkOf('', { source: '/central', id: 'c-0016' });
    const two = linkOf(one, { source: '/central', id: 'c-0017' });
    expect(unwrapped(section(text, '## Ordered logs'))).toContain(`it is \`${one}\`, then \`${two}\``);
    expect((example('hello') as Hello).logs.down).toMatchObject({ number: 2, id: two });
  });

  it('uses public keys only in its examples', () => {
    expect(text).not.toContain('PRIVATE KEY');
    expect(() =>
      createPublicKey({ key: Buffer.from((example('hello') as Hello).key, 'base64'), format: 'der', type: 'spki' }),
    ).not.toThrow();
  });
});

describe('RELEASES.md', () => {
  it('shows what the commands of the turn to wss printed, each of them, and says how many they are', () => {
    const [, page = ''] = /^(## From ws to wss\n.*?)^## /ms.exec(read('docs/RELEASES.md')) ?? [];
    const commands = commandsOf(page);
    expect(commands).toEqual(Object.values(SECURE_TURN));
    expect(page).toContain(`These ${commands.length} commands`);
    // Each printed something.
    expect(page).not.toMatch(/^\$ queuegate .*\n(?:\$|```)/m);
  });
});

describe('REST.md', () => {
  it('has exactly the routes that the administration registers, with the role that each needs', async () => {
    const registered: string[] = [];
    const app = fastify();
    app.addHook('onRoute', ({ method, url, config }) => {
      for (const name of [method].flat())
        if (name !== 'HEAD')
          registered.push(`${name} ${url.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}')} ${config?.role}`);
    });
    // Nothing is asked of the services before a request comes.
    await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
    await app.ready();
    await app.close();
    const documented = Array.from(
      read('docs/REST.md').matchAll(/^### `([A-Z]+ \S+)`\n+Role: ([a-z]+)/gm),
      ([, route, role]) => `${route} ${role}`,
    );
    expect(documented.toSorted()).toEqual(registered.toSorted());
  });

  it('is what the description of the interface and the texts make of it (npm run docs)', async () => {
    expect(restMarkdown(restTexts(), await registeredRoutes())).toBe(read('docs/REST.md'));
  });

  it('is not made if a route has no place in the texts, or if a text is about a route that does not exist', async () => {
    const routes = await registeredRoutes();
    expect(() => restMarkdown(restTexts().slice(1, -1), routes)).toThrow('no heading for GET /api/v1/audit');
    expect(() => restMarkdown([...restTexts(), '### `GET /api/v1/nothing`\n\n'], routes)).toThrow(
      'GET /api/v1/nothing is not a route',
    );
  });

  it('explains each parameter of a query and each member of a body in the section of its route', async () => {
    const routes = await registeredRoutes();
    const { paths } = openApiDocument(routes);
    const sections = new Map(
      Array.from(read('docs/REST.md').matchAll(/^### `([A-Z]+ \S+)`\n([^]*?)(?=^##|$(?![^]))/gm), ([, route, body]) => [
        route,
        body,
      ]),
    );
    // Once for all routes: the terms of an act, and pages.
    const common = new Set([
      'after',
      'comment',
      'confirmShare',
      'confirmWithinSeconds',
      'dryRun',
      'force',
      'limit',
      'stage',
      'ticket',
    ]);
    const missing = routes.flatMap(({ key, method, path, body }) => {
      const parameters = paths[path]?.[method.toLowerCase()]?.parameters ?? [];
      const query = parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name);
      const names = [
        ...query,
        ...Object.keys(body !== undefined && 'properties' in body ? (body.properties as object) : {}),
      ];
      const section = sections.get(`${method} ${path}`) ?? '';
      return names
        .filter((name) => !common.has(name) && !section.includes(`\`${name}\``))
        .map((name) => `${key}: ${name}`);
    });
    expect(missing).toEqual([]);
  });
});
