// The parameters on the real store: what is on disk after each step is what the next start finds.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ParameterService } from '../../../central/parameters/service.ts';
import { ParameterState } from '../../../central/parameters/state.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import { aloneAgreement, makeChanges } from '../fakes.ts';

const log = { info() {}, error() {} };
const ANNA = { who: 'anna', from: '10.0.0.5' };

async function start(folder: string) {
  const store = await openSqliteStore({ folder, deduplicationMs: 86_400_000, onFailure: () => {} });
  const changes = makeChanges();
  const state = await ParameterState.open({ store: store.parameters, overrides: [], log, now: Date.now });
  const parameters = new ParameterService({
    state,
    applier: { check: async () => [], hold: async () => [], release() {}, apply: async () => {}, describe: () => [] },
    changes,
    agents: { online: async () => [] },
    agreement: aloneAgreement(),
    node: 'n1',
    onChanged: () => undefined,
    log,
    now: Date.now,
    after: () => () => {},
  });
  return {
    store,
    parameters,
    changes,
    async stop() {
      parameters.stop();
      await changes.stop();
      await store.stop();
    },
  };
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'queuegate-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('a change outlives a restart, with its audit entry', async () => {
  const path = folder();
  const first = await start(path);
  await first.parameters.change(
    { values: { 'agents.max': 500, 'websocket.trustedProxies': ['10.0.0.0/8'] } },
    { ...ANNA, comment: 'pilot' },
  );
  await first.stop();
  const second = await start(path);
  expect(second.parameters.values()).toMatchObject({ 'agents.max': 500, 'websocket.trustedProxies': ['10.0.0.0/8'] });
  expect(await second.store.audit.list({ limit: 1 })).toMatchObject([
    { who: 'anna', action: 'parameters.set', comment: 'pilot' },
  ]);
  await second.stop();
});

test('a change that was not confirmed is rolled back by the next start, and stays so', async () => {
  const path = folder();
  const first = await start(path);
  await first.parameters.change({ values: { 'agents.max': 500 } }, ANNA);
  await first.parameters.change(
    { values: { 'agents.max': 7, 'websocket.port': 8788 }, confirm: { withinSeconds: 60, share: 1 } },
    ANNA,
  );
  await first.stop();
  for (const expected of [{ pending: null }, { pending: null }]) {
    const next = await start(path);
    expect(next.parameters.values()).toMatchObject({ 'agents.max': 500, 'websocket.port': 8787 });
    expect({ pending: next.changes.pending('parameters') }).toEqual(expected);
    await next.stop();
  }
});

test('two that write at once: the one with the older version is refused, and its listeners go back', async () => {
  const path = folder();
  const first = await start(path);
  await first.store.parameters.save({
    expectedVersion: first.parameters.version,
    rows: [],
    pending: null,
    audit: { at: 0, who: 'another Central', from: 'x', action: 'x', detail: '{}', comment: null, ticket: null },
  });
  await expect(first.parameters.change({ values: { 'agents.max': 7 } }, ANNA)).rejects.toMatchObject({
    code: 'version_conflict',
  });
  expect(first.parameters.values()['agents.max']).toBe(10_000);
  await first.stop();
});
