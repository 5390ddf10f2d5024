// openapi.json: complete, valid OpenAPI 3.1, in the names of the API's rules; and its page. That answers are as
// described is checked at every request of the tests (test/described-answers.ts).
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describe, expect, it } from 'vitest';
import {
  codesOf,
  describedOperations,
  openApiDocument,
  operationOf,
  statusOf,
} from '../../../../central/admin/openapi/document.ts';
import { pageOf, PAGE_POLICY } from '../../../../central/admin/openapi/page.ts';
import type { Schema } from '../../../../central/admin/openapi/schema.ts';
import { openApiDocument as localDocument } from '../../../../agent/local-api/routes/openapi.ts';
import { ROUTES } from '../../../../agent/local-api/routes/table.ts';
import { ERROR_SUBJECTS } from '../../../../docs/error-subjects.ts';
import { CAMEL, enumFaults } from '../../../api-rules.ts';
import { registeredRoutes } from '../../../described-answers.ts';
import { startRest } from '../rest.ts';

/** Not of the API: what describes it. */
const OF_ITSELF = new Set(['GET /openapi.json', 'GET /docs']);

async function faultsOf(document: object): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended'] });
  const found = await lintFromString({ source: JSON.stringify(document), absoluteRef: '/openapi.json', config });
  return found.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer ?? ''}: ${message}`);
}

describe('the OpenAPI document', () => {
  it('describes every route that is registered, and no other', async () => {
    const registered = (await registeredRoutes()).map(({ key }) => key).filter((key) => !OF_ITSELF.has(key));
    expect(describedOperations().toSorted()).toEqual(registered.toSorted());
    const document = openApiDocument(await registeredRoutes());
    const ids = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );
    expect(ids.length).toBe(registered.length);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is valid OpenAPI 3.1, without an error or a warning of the linter; so is that of the local API', async () => {
    expect(await faultsOf(openApiDocument(await registeredRoutes()))).toEqual([]);
    expect(await faultsOf(localDocument(ROUTES))).toEqual([]);
  });

  it('a linter that finds nothing finds what is wrong', async () => {
    const broken = structuredClone(openApiDocument(await registeredRoutes())) as { paths: Record<string, unknown> };
    broken.paths['/api/v1/wrong'] = { get: { responses: { 200: { $ref: '#/components/responses/None' } } } };
    expect((await faultsOf(broken)).join(' ')).toContain('no-unresolved-refs');
  });

  it('names only codes that REST has, each with its status', async () => {
    const known = new Set(ERROR_SUBJECTS.flatMap(({ errors }) => Object.keys(errors)));
    for (const route of await registeredRoutes()) {
      const operation = operationOf(route.key);
      if (operation === undefined) continue;
      const codes = codesOf(route, operation);
      expect([route.key, codes.filter((code) => !known.has(code) || statusOf(code) === undefined)]).toEqual([
        route.key,
        [],
      ]);
    }
  });

  it('answers in camelCase, with times and units in their names, and enums in kebab-case', () => {
    const faults = describedOperations().flatMap((key) =>
      Object.values(operationOf(key)?.answers ?? {}).flatMap(({ schema }) => (schema ? memberFaults(key, schema) : [])),
    );
    expect([...new Set(faults)]).toEqual([]);
  });

  it('is public, compressed, and has a tag', async () => {
    const rest = await startRest();
    const response = await fetch(`${rest.url}/openapi.json`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
    const tag = response.headers.get('etag') ?? '';
    expect([response.headers.get('content-encoding'), tag.slice(0, 3)]).toEqual(['gzip', 'W/"']);
    const document = (await response.json()) as { readonly openapi: string; readonly paths: object };
    expect([document.openapi, Object.keys(document.paths).length > 80]).toEqual(['3.1.0', true]);
    const again = await fetch(`${rest.url}/openapi.json`, { headers: { 'if-none-match': tag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });
});

describe('the page /docs', () => {
  it('shows every operation and schema, without scripts and without anything from elsewhere', async () => {
    const document = openApiDocument(await registeredRoutes());
    const page = pageOf(document);
    for (const methods of Object.values(document.paths))
      for (const { operationId } of Object.values(methods)) expect(page).toContain(`id="${operationId}"`);
    expect(
      page.match(/<script|<img|<link|\s(?:href|src)="(?!#|openapi\.json)|url\(|<[^>]*\s(?:style|on\w+)=/g),
    ).toBeNull();
    const links = Array.from(page.matchAll(/href="#(\w+)"/g), ([, id]) => id);
    expect(links.filter((id) => !page.includes(`id="${id}"`))).toEqual([]);
  });

  it('is public, and allows its own style only', async () => {
    const rest = await startRest();
    const response = await fetch(`${rest.url}/docs`);
    expect(response.headers.get('content-security-policy')).toBe(PAGE_POLICY);
    expect(PAGE_POLICY).toMatch(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; /);
    expect(await response.text()).toContain('<title>Queuegate: the administration of Central</title>');
  });
});

/** Members whose names others fix: names of X.509 and of CloudEvents, and `from`, `to` of anything. */
const TIMES = new Set(['notBefore', 'notAfter']);
/** Numbers that need no unit, each with the reason. */
const PLAIN_NUMBERS = new Set([
  'attempt', // the first is 1
  'count', // of what the list is about
  'listenPort', // a port
  'appliedParameters', // a version
  'daysLeft', // its name has the unit
  'epoch', // of a session
  'exitCode', // of a program, as its system has it
  'errorCount',
  'generation', // of instructions
  'line', // of a file
  'maxUses', // counted by its name
  'next', // a position
  'number', // in a log
  'throughNumber',
  'port',
  'schema', // the version of one
  'share',
  'status', // of HTTP
  'wave', // the first is 1
]);
const COUNTED = new Set(['counts']);

function memberFaults(place: string, schema: Schema): string[] {
  const {
    properties = {},
    items,
    anyOf = [],
  } = schema as {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly items?: Schema;
    readonly anyOf?: readonly Schema[];
  };
  const isCounted = COUNTED.has(place.split('/').at(-1) ?? '');
  return [
    ...Object.entries(properties).flatMap(([name, member]) => {
      const at = `${place}/${name}`;
      const faults = CAMEL.test(name) ? [] : [`${at}: camelCase`];
      if (member['format'] === 'date-time' && !name.endsWith('At') && !TIMES.has(name))
        faults.push(`${at}: a time whose name does not end in At`);
      const isNumber = [member['type']].flat().some((type) => type === 'integer' || type === 'number');
      if (
        isNumber &&
        !isCounted &&
        !/(?:Seconds|[bB]ytes|[bB]ytesPerSecond|Count|Share)$/.test(name) &&
        !PLAIN_NUMBERS.has(name)
      )
        faults.push(`${at}: a number without its unit`);
      return [...faults, ...enumFaults(at, (member['enum'] ?? []) as string[]), ...memberFaults(at, member)];
    }),
    ...(items === undefined ? [] : memberFaults(place, items)),
    ...anyOf.flatMap((one) => memberFaults(place, one)),
  ];
}
