// The part of the contract that concerns exposed services.
import { expect, it } from 'vitest';
import { MAX_EXPOSURES } from '../../../central/store/services/exposure-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { auditEntry, eachEngine, newExposure, type Engine, type OpenEngine } from './samples.ts';

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
}
