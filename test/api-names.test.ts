// Holds every name that users see to the rules of test/api-rules.ts, which CONTRIBUTING.md explains ("Add a route").
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { describe, expect, it } from 'vitest';
import { COMMANDS as AGENT_COMMANDS } from '../agent/cli/commands.ts';
import { AGENT_PREFIX, AGENT_SCHEMA } from '../shared/settings/agent-settings.ts';
import { CONSUMER_KEYS } from '../agent/consumer-settings.ts';
import { adminRoutes } from '../central/admin/routes.ts';
import type { AdminServices } from '../central/admin/services.ts';
import type { Command } from '../central/cli/command.ts';
import { CENTRAL_COMMANDS } from '../central/composition/command-line.ts';
import { CENTRAL_PREFIX, CENTRAL_SCHEMA } from '../central/config.ts';
import { createMetrics, METRICS } from '../central/metrics.ts';
import { DEFINITIONS } from '../central/parameters/definitions.ts';
import { ERROR_SUBJECTS } from '../docs/error-subjects.ts';
import { settingsTable, type Schema } from '../shared/settings/settings.ts';
import { TRUSTSTORE_COMMANDS } from '../shared/truststore/command.ts';
import * as enrollment from '../shared/wire/enrollment.ts';
import { FROM_AGENT, FROM_CENTRAL } from '../shared/wire/messages.ts';
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
import {
  frameFaults,
  GROUPS,
  layerFaults,
  PROGRAMS,
  programFaults,
  settingFaults,
  wireFaults,
} from './daemon-rules.ts';

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

/** What is wrong with the keys of a configuration, and with what follows from them. */
function faultsOf(schema: Schema, prefix: string, groups: ReadonlySet<string>): string[] {
  return [
    ...schema.flatMap(({ name, alias, format }) =>
      [name, ...(alias === undefined ? [] : [alias])].flatMap((key) => settingFaults(key, format.name, groups)),
    ),
    ...settingsTable(schema, prefix).flatMap(({ name, environment, flag }) =>
      layerFaults(name, prefix, environment, flag),
    ),
  ];
}

describe('every name of both daemons keeps the rules', () => {
  it('keys of agent.conf and central.conf, with their variables and flags', () => {
    expect(faultsOf(AGENT_SCHEMA, AGENT_PREFIX, GROUPS.agent)).toEqual([]);
    expect(CONSUMER_KEYS.flatMap((key) => settingFaults(`consumer.NAME.${key}`, 'text', GROUPS.agent))).toEqual([]);
    expect(faultsOf(CENTRAL_SCHEMA, CENTRAL_PREFIX, GROUPS.central)).toEqual([]);
  });

  it('frames with their members, and the bodies of an enrollment', () => {
    const frames = [...Object.entries(FROM_AGENT), ...Object.entries(FROM_CENTRAL)];
    const types = frames.map(([type]) => type);
    expect(frames.length).toBeGreaterThan(20);
    expect(frames.flatMap(([type, schema]) => frameFaults(type, schema, types))).toEqual([]);
    const bodies = Object.entries(enrollment).filter(([, value]) => typeof value === 'object' && 'properties' in value);
    expect(bodies.length).toBeGreaterThan(5);
    expect(bodies.flatMap(([name, schema]) => wireFaults(name, schema as object as Record<string, unknown>))).toEqual(
      [],
    );
  });

  it('commands and flags of queue-agent, queuegate-central and truststore', () => {
    const found = {
      'queue-agent': AGENT_COMMANDS.map(({ name, options }) => ({ name, options })),
      'queuegate-central': Object.keys(CENTRAL_COMMANDS).map((name) => ({ name, options: {} })),
      truststore: TRUSTSTORE_COMMANDS,
    } as const;
    for (const program of ['queue-agent', 'queuegate-central', 'truststore'] as const) {
      expect(found[program].map(({ name }) => name).toSorted()).toEqual([...PROGRAMS[program]].toSorted());
      expect(found[program].flatMap(({ name, options }) => programFaults(program, name, Object.keys(options)))).toEqual(
        [],
      );
    }
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

  it.each([
    // As they were before: a group for one word, kebab-case, British spelling, no unit.
    ['outbox.max.bytes', 'whole number 1-2'],
    ['local-api.socket', 'text 0-64'],
    ['enrolment.file', 'text 0-64'],
    ['outbox.limit', 'whole number 1-2'],
    ['log.level', 'one of Debug info'],
    ['agent.renewal.FreshKey.', 'true or false'],
  ])('in the key %s', (name, format) => {
    expect(settingFaults(name, format, GROUPS.agent)).not.toEqual([]);
  });

  it.each([
    ['key.encryption.previous.file', 'text 0-64'],
    ['central.agents.max', 'whole number 1-2'],
    ['node_name', 'text 0-64'],
  ])('in the key %s of central.conf', (name, format) => {
    expect(settingFaults(name, format, GROUPS.central)).not.toEqual([]);
  });

  it.each([
    ['agent.freshKey', 'P_AGENT_FRESHKEY', '--agent-fresh-key'],
    ['agent.freshKey', 'P_AGENT_FRESH_KEY', '--agent-freshKey'],
    ['log.level', 'P_LOG.LEVEL', '--log-level'],
  ])('in the layers of the key %s: %s, %s', (name, variable, flag) => {
    expect(layerFaults(name, 'P_', variable, flag)).not.toEqual([]);
  });

  it.each(['renewal-refused', 'trustRefused', 'enrol', 'Trust'])('in the type of the frame %s', (type) => {
    const schema = { type: 'object', required: ['type'], properties: { type: { const: type } } };
    expect(frameFaults(type, schema, ['renew', 'trust', 'enrol', 'Trust'])).not.toEqual([]);
  });

  it.each([
    { time: { type: 'string' } },
    { certificates: { type: 'string' } },
    { thumbprint: { type: 'array', items: {} } },
    { retryAfter: { anyOf: [{ type: 'null' }, { type: 'integer' }] } },
    { text: { type: 'string' } },
    { sessionId: { type: 'object' } },
    { boot_id: { type: 'string' } },
    { logs: { type: 'object', properties: { maxAge: { type: 'integer' } } } },
    { consumers: { type: 'array', items: { properties: { Name: { type: 'string' } } } } },
    { transport: { enum: ['ws', 'WSS'] } },
  ])('in the members of a frame: %j', (properties) => {
    const all = { type: { const: 'ack' }, ...properties };
    expect(frameFaults('ack', { required: Object.keys(all), properties: all }, ['ack'])).not.toEqual([]);
  });

  it.each([
    ['queue-agent', 'rescue', []],
    ['queue-agent', 'consumers remove', []],
    ['queue-agent', 'enrol', []],
    ['queue-agent', 'enroll', ['again']],
    ['queue-agent', 'doctor', ['tokenFile']],
    ['queue-agent', 'doctor', ['enrol']],
    ['queuegate-central', 'run', []],
    ['queuegate-central', 'create-admin-token', []],
    ['queuegate-central', 'start', ['dryRun']],
    ['truststore', 'remove', []],
    ['truststore', 'convert', ['output-file']],
    ['truststore', 'import', ['allow_leaf']],
  ] as const)('in the command %s %s %j', (program, name, flags) => {
    expect(programFaults(program, name, flags)).not.toEqual([]);
  });
});
