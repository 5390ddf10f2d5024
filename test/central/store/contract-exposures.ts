// The part of the contract that concerns exposed services.
import { expect, it } from 'vitest';
import { MAX_EXPOSURES } from '../../../central/store/services/exposure-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { auditEntry, eachEngine, newExposure, NOW, online, type Engine, type OpenEngine } from './samples.ts';

const ENTRY = auditEntry('services.expose');
const ID = '1'.repeat(16);

export function exposureContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  it('keeps exposures over a restart, in order of port', async () => {
    const second = await store.exposures.create(newExposure('2'), ENTRY);
    const first = await store.exposures.create(newExposure('1', { clientCa: 'PEM' }), ENTRY);
    expect(first).toEqual({ ...newExposure('1', { clientCa: 'PEM' }), version: 1 });
    store = await engine.restart();
    expect(await store.exposures.list()).toEqual([first, second]);
  });

  it('changes one by its version, and deletes it', async () => {
    await store.exposures.create(newExposure('1'), ENTRY);
    const changed = await store.exposures.change(ID, { clientCa: 'PEM' }, 1, ENTRY);
    expect(changed).toEqual({ ...newExposure('1', { clientCa: 'PEM' }), version: 2 });
    await expect(store.exposures.change(ID, { clientCa: null }, 1, ENTRY)).rejects.toMatchObject({
      code: 'version_conflict',
    });
    await store.exposures.remove(ID, ENTRY);
    for (const gone of [store.exposures.remove(ID, ENTRY), store.exposures.change(ID, {}, null, ENTRY)])
      await expect(gone).rejects.toMatchObject({ code: 'service_exposure_unknown' });
  });

  it('has one for each port, and a bounded number', async () => {
    await store.exposures.create(newExposure('1'), ENTRY);
    await expect(
      store.exposures.create(newExposure('2', { listenPort: newExposure('1').listenPort }), ENTRY),
    ).rejects.toMatchObject({ code: 'service_exposure_port_taken' });
    for (let i = 1; i < MAX_EXPOSURES; i += 1)
      await store.exposures.create(newExposure('1', { id: String(i).padStart(16, '0'), listenPort: 1_000 + i }), ENTRY);
    await expect(store.exposures.create(newExposure('3'), ENTRY)).rejects.toMatchObject({
      code: 'service_exposures_full',
    });
  });

  it('keeps since when an agent reports the same services and handlers of tasks', async () => {
    const [epoch, other] = [await online(store, 'a1'), await online(store, 'a2')];
    const services = (reportedAt: number, name = 'shop') => ({
      services: [{ name, methods: ['GET'], paths: ['/'] }],
      devicePort: null,
      reportedAt,
    });
    const handlers = (reportedAt: number, queues = ['q1', 'q9']) => ({
      accounts: 'two' as const,
      containment: 'cgroup' as const,
      handlers: [],
      queues,
      reportedAt,
    });
    // Those of several agents at once, too.
    const report = async (at: number, name = 'shop', queues = ['q1', 'q9']): Promise<void> => {
      await Promise.all([
        store.exposures.recordServices('a1', epoch, services(at, name)),
        store.exposures.recordServices('a2', other, services(at)),
        store.tasks.recordHandlers('a1', epoch, handlers(at, queues)),
        store.tasks.recordHandlers('a2', other, handlers(at)),
      ]);
    };
    await report(NOW);
    await report(NOW + 1);
    expect(await store.exposures.servicesOf('a1')).toEqual(services(NOW));
    expect(await store.tasks.handlersOf('a1')).toEqual(handlers(NOW));
    await report(NOW + 2, 'shop 2', ['q2']);
    expect(await store.exposures.servicesOf('a1')).toEqual(services(NOW + 2, 'shop 2'));
    expect(await store.tasks.handlersOf('a1')).toEqual(handlers(NOW + 2, ['q2']));
    expect(await store.exposures.servicesOf('a2')).toEqual(services(NOW));
    expect(await store.tasks.handlersOf('a2')).toEqual(handlers(NOW));
    // The time alone does not count as a difference; other digits do.
    await report(NOW + 3, 'shop 21');
    expect(await store.exposures.servicesOf('a1')).toEqual(services(NOW + 3, 'shop 21'));
    for (const late of [
      store.exposures.recordServices('a1', epoch - 1, services(NOW + 4)),
      store.tasks.recordHandlers('a1', epoch - 1, handlers(NOW + 4)),
    ])
      await expect(late).rejects.toMatchObject({ code: 'stale_epoch' });
  });
}
