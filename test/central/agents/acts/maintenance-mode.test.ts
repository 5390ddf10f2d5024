import { expect, test } from 'vitest';
import { Events, type CentralEvents } from '../../../../central/events.ts';
import { MaintenanceMode } from '../../../../central/agents/acts/maintenance-mode.ts';
import type { AuditEntry } from '../../../../central/store/audit-store.ts';
import type { MaintenanceState } from '../../../../central/store/store.ts';

const ADMIN = { who: 'admin', from: '10.0.0.1' };

function kept() {
  const found = {
    state: { enabledAt: null, retryAfterSeconds: 60 } as MaintenanceState,
    audit: [] as string[],
    ended: 0,
  };
  const events = new Events<CentralEvents>();
  events.on('maintenanceEnabled', () => void (found.ended += 1));
  const maintenance = {
    load: async () => found.state,
    async save(state: MaintenanceState, { action }: AuditEntry) {
      found.state = state;
      found.audit.push(action);
    },
  };
  return { found, open: () => MaintenanceMode.open({ store: { maintenance }, events, now: () => 1_000 }) };
}

test('refuses agents while it is enabled, also after a restart, and ends the sessions once', async () => {
  const { found, open } = kept();
  const mode = await open();
  expect([mode.refusal(), mode.problems()]).toEqual([undefined, []]);
  expect(await mode.change({ enabled: true }, ADMIN)).toEqual({ enabledAt: 1_000, retryAfterSeconds: 60 });
  expect(mode.refusal()).toMatchObject({ code: 'maintenance', close: 4521, parameters: { seconds: 60 } });
  expect(mode.problems()).toMatchObject([{ code: 'maintenance_enabled', startedAt: 1_000 }]);
  await mode.change({ retryAfterSeconds: 90 }, ADMIN);
  expect(found.ended).toBe(1);

  const again = await open();
  expect(again.refusal()).toMatchObject({ parameters: { seconds: 90 } });
  await again.change({ enabled: false }, ADMIN);
  expect([again.refusal(), again.state]).toEqual([undefined, { enabledAt: null, retryAfterSeconds: 90 }]);
  expect(found.audit).toEqual(['maintenance.enable', 'maintenance.enable', 'maintenance.disable']);
});

test('stays as it is where the store refuses', async () => {
  const full = new Error('no room');
  const maintenance = {
    load: async (): Promise<MaintenanceState> => ({ enabledAt: null, retryAfterSeconds: 60 }),
    save: () => Promise.reject(full),
  };
  const events = { emit: () => expect.fail('no session ends') };
  const mode = await MaintenanceMode.open({ store: { maintenance }, events, now: () => 1_000 });
  await expect(mode.change({ enabled: true }, ADMIN)).rejects.toBe(full);
  expect(mode.refusal()).toBeUndefined();
});
