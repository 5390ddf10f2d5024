// Holds every name that users see to the rules of test/api-rules.ts, which CONTRIBUTING.md explains ("Add a route").
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { describe, expect, it } from 'vitest';
import { adminRoutes } from '../central/admin/routes.ts';
import type { AdminServices } from '../central/admin/services.ts';
import type { Command } from '../central/cli/command.ts';
import { createMetrics, METRICS } from '../central/metrics.ts';
import { DEFINITIONS } from '../central/parameters/definitions.ts';
import { ERROR_SUBJECTS } from '../docs/make.ts';
import {
  answerFaults,
  codeFaults,
  commandFaults,
  enumFaults,
  metricFaults,
  parameterFaults,
  routeFaults,
  schemaFaults,
} from './api-rules.ts';

const root = join(import.meta.dirname, '..');

interface Route {
  readonly method: string;
  readonly url: string;
  readonly schemas: readonly unknown[];
}

async function routes(): Promise<Route[]> {
  const found: Route[] = [];
  const app = fastify();
  app.addHook('onRoute', ({ method, url, config }) => {
    const readers = [config?.query, config?.terms, config?.body];
    const schemas = readers.flatMap((reader) => (typeof reader === 'function' ? [reader.schema] : []));
    for (const name of [method].flat()) if (name !== 'HEAD') found.push({ method: name, url, schemas });
  });
  await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
  await app.ready();
  await app.close();
  return found;
}

async function commands(): Promise<readonly Command[]> {
  const folder = join(root, 'central/cli/commands');
  const modules = await Promise.all(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map(async (name) => (await import(join(folder, name))) as Record<string, unknown>),
  );
  return modules
    .flatMap((module) => Object.values(module))
    .filter(Array.isArray)
    .flat() as Command[];
}

/** The JSON examples of REST.md, each with its route. Shortened ones are not JSON, and are left out. */
function examples(): { readonly place: string; readonly value: unknown }[] {
  const text = readFileSync(join(root, 'docs/REST.md'), 'utf8');
  return text.split(/^### /m).flatMap((section) =>
    Array.from(section.matchAll(/^```json\n([\s\S]*?)^```/gm), ([, json = '']) => json).flatMap((json) => {
      try {
        return [{ place: section.slice(0, section.indexOf('\n')), value: JSON.parse(json) as unknown }];
      } catch {
        return [];
      }
    }),
  );
}

describe('every name that users see keeps the rules', () => {
  it('routes, and the members and enums of their requests', async () => {
    const all = await routes();
    expect(all.length).toBeGreaterThan(40);
    expect(all.flatMap(({ method, url }) => routeFaults(method, url))).toEqual([]);
    const schemas = all.flatMap(({ method, url, schemas: of }) => of.map((schema) => [`${method} ${url}`, schema]));
    expect(schemas.length).toBeGreaterThan(20);
    expect(schemas.flatMap(([place, schema]) => schemaFaults(String(place), schema))).toEqual([]);
  });

  it('answers, as REST.md shows them', () => {
    const all = examples();
    expect(all.length).toBeGreaterThan(15);
    expect(all.flatMap(({ place, value }) => answerFaults(place, value))).toEqual([]);
  });

  it('codes', () => {
    const errorsMarkdown = readFileSync(join(root, 'docs/ERRORS.md'), 'utf8');
    const codes = ERROR_SUBJECTS.flatMap(({ errors }) => Object.keys(errors));
    expect(codes.flatMap(codeFaults)).toEqual([]);
    expect(codes.filter((code) => !errorsMarkdown.includes(`#### ${code}\n`))).toEqual([]);
    // One namespace; a refusal of a session has the code that REST has for the same fact.
    const once = ERROR_SUBJECTS.filter(({ table }) => table !== 'REFUSALS').flatMap(({ errors }) =>
      Object.keys(errors),
    );
    expect(once.filter((code, i) => once.indexOf(code) !== i)).toEqual([]);
  });

  it('commands and flags', async () => {
    const all = await commands();
    expect(all.length).toBeGreaterThan(40);
    expect(all.flatMap(({ name, options }) => commandFaults(name, Object.keys(options)))).toEqual([]);
  });

  it('parameters, their enums, and metrics', () => {
    const parameters = Object.entries(DEFINITIONS);
    expect(
      parameters.flatMap(([name, definition]) => [
        ...parameterFaults(name, 'unit' in definition ? definition.unit : undefined),
        ...enumFaults(name, definition.type === 'enum' ? definition.allowed : []),
      ]),
    ).toEqual([]);
    expect(Object.entries(METRICS).flatMap(([name, { kind }]) => metricFaults(name, kind))).toEqual([]);
  });
});

describe('a wrong name is found', () => {
  it.each([
    ['GET', '/api/v1/agent'],
    ['GET', '/api/v1/agents/:id'],
    ['GET', '/api/v1/Agents'],
    ['GET', '/api/v1/enrolment-tokens'],
    ['GET', '/api/v1/agents/:agent/revoke'],
    ['POST', '/api/v1/agents/:agent/undo'],
    ['POST', '/api/v1/parameters/confirm/:parameter'],
    ['GET', '/api/v1/agents/:agent/commands/:command/changes'],
    ['GET', '/v1/status'],
    ['POST', '/metrics'],
  ])('in the route %s %s', (method, url) => {
    expect(routeFaults(method, url)).not.toEqual([]);
  });

  it.each([
    { properties: { max_uses: { type: 'string' } } },
    { properties: { lifetime: { type: 'integer' } } },
    { properties: { reason: { type: 'string', enum: ['key_compromise'] } } },
    { properties: { enrolmentId: { type: 'string' } } },
    { type: 'object', properties: {} },
    { properties: { confirm: { properties: { share_: { type: 'string' } } } } },
  ])('in a schema: %j', (schema) => {
    expect(schemaFaults('x', schema)).not.toEqual([]);
  });

  it.each([
    { items: [] },
    { created_at: null },
    { started: '2026-11-22T10:00:00.000Z' },
    { createdAt: '2026-11-22T10:00:00Z' },
    { items: [{ Name: 1 }], next: null },
  ])('in an answer: %j', (answer) => {
    expect(answerFaults('x', answer)).not.toEqual([]);
  });

  it('in a code, a command, a flag, a parameter, an enum and a metric', () => {
    for (const faults of [
      codeFaults('agent-unknown'),
      codeFaults('enrolment_closed'),
      commandFaults('agents remove', []),
      commandFaults('agent list', []),
      commandFaults('frobnicate', []),
      commandFaults('agents list', ['dryRun']),
      parameterFaults('agents.Max', undefined),
      parameterFaults('agents.enrolment', undefined),
      parameterFaults('agents.timeout', 'seconds'),
      enumFaults('x', ['Online']),
      metricFaults('agents_total', 'counter'),
      metricFaults('queuegate_commits', 'counter'),
      metricFaults('queuegate_certificate_days_left', 'gauge'),
    ])
      expect(faults).not.toEqual([]);
  });
});
