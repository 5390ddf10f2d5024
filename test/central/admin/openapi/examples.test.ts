// Each example of openapi.json is sent to a running Central, and is done: what it names was made before.
import { generateKeyPairSync } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRequest } from '../../../../agent/enrollment/csr.ts';
import {
  openApiDocument,
  type OpenApiDocument,
  type OperationObject,
} from '../../../../central/admin/openapi/document.ts';
import type { RunningCentral } from '../../../../central/composition/lifecycle.ts';
import { registeredRoutes } from '../../../described-answers.ts';
import { Cleanup } from '../../../flow/processes.ts';
import { sendTo, startInProcess } from '../../in-process.ts';

const cleanup = new Cleanup();
let central: RunningCentral;
let document: OpenApiDocument;
/** Ids that Central makes, to be used for those in the examples. */
const ids = new Map<string, string>();

async function createAgent(name: string): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { pem: csr } = await makeRequest({ privateKey, pem: '', publicKey: '', thumbprint: '' }, name);
  const made = await sendTo(central, { method: 'POST', path: '/api/v1/agents', body: { csr, name } });
  if (made.status !== 201) throw new Error(`${name}: ${made.status} ${await made.text()}`);
}

beforeAll(async () => {
  document = openApiDocument(await registeredRoutes());
  const folder = await cleanup.folder();
  central = await startInProcess(folder, '--central-name', 'central.test');
  await createAgent('branch-0042');
  await createAgent('branch-0099');
  const token = await sendTo(central, {
    method: 'POST',
    path: '/api/v1/api-tokens',
    body: { name: 'of a program', role: 'operator' },
  });
  ids.set('/api/v1/api-tokens/{token}', ((await token.json()) as { readonly id: string }).id);
  const nodes = await sendTo(central, { method: 'GET', path: '/api/v1/nodes' });
  const [node] = ((await nodes.json()) as { readonly items: readonly { readonly name: string }[] }).items;
  ids.set('/api/v1/nodes/{node}/drain', node?.name ?? '');
  const exposed = await sendTo(central, {
    method: 'POST',
    path: '/api/v1/service-exposures',
    body: { agent: 'branch-0042', service: 'jobs', listenPort: 24_446, allow: [{ address: '127.0.0.1' }] },
  });
  ids.set('/api/v1/service-exposures/{exposure}', ((await exposed.json()) as { readonly id: string }).id);
  const archive = execFileSync('tar', ['-C', 'profiles/default', '-cf', '-', '.']);
  const imported = await fetch(`http://127.0.0.1:${central.port('http')}/api/v1/profiles?name=branch`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${central.firstStart?.administratorToken ?? ''}`,
      'content-type': 'application/x-tar',
    },
    body: archive,
  });
  if (imported.status !== 201) throw new Error(`${imported.status} ${await imported.text()}`);
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

interface Example {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** The request of an operation as its examples say; undefined: it has no example of its own. */
function exampleOf(method: string, path: string, { parameters, requestBody }: OperationObject): Example | undefined {
  const body = Object.values(requestBody?.content ?? {}).find((content) => 'example' in content);
  const query = parameters.filter((parameter) => parameter.in === 'query' && 'example' in parameter);
  if (body === undefined && query.length === 0) return undefined;
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const named = parameters.find((parameter) => parameter.name === name);
    return ids.get(path) ?? String(named !== undefined && 'example' in named ? named.example : '');
  });
  const search = new URLSearchParams(
    query.map((parameter) => [parameter.name, String('example' in parameter ? parameter.example : '')]),
  );
  const value = body !== undefined && 'example' in body ? body.example : undefined;
  return {
    method: method.toUpperCase(),
    path: search.size === 0 ? filled : `${filled}?${search.toString()}`,
    body: value,
  };
}

describe('each example of the document', () => {
  it('is done by a running Central, with an answer that is described', async () => {
    const examples = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, operation]) => exampleOf(method, path, operation) ?? []),
    );
    expect(examples.length).toBeGreaterThan(30);
    for (const example of examples) {
      const response = await sendTo(central, example);
      const problem = response.ok ? '' : await response.text();
      expect([example.method, example.path, response.ok, problem]).toEqual([example.method, example.path, true, '']);
      await response.body?.cancel().catch(() => undefined);
    }
  });

  it('and whatever else can be read of this Central answers as described', async () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      if (methods['get'] === undefined) continue;
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
        const found = methods['get']?.parameters.find((parameter) => parameter.name === name);
        return ids.get(path) ?? String(found !== undefined && 'example' in found ? found.example : '');
      });
      // sendTo compares it with the description.
      const { status, body } = await sendTo(central, { method: 'GET', path: filled });
      // Some are streams without an end.
      await body?.cancel();
      expect([path, status]).toEqual([path, expect.toBeOneOf([200, 404])]);
    }
  });
});
