// What queuegate-central migrate-store refuses before it changes anything. The move itself is
// test/central/store/postgres/move-store.test.ts's.
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { migrateStore } from '../../../central/composition/migrate-store.ts';
import { openCentralStore } from '../../../central/store/open-store.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const NAMES = { centralName: 'central.test', hostName: 'central.test', nodeName: 'central.test' };
/** No server is there. */
const NOWHERE = 'postgres://queuegate@127.0.0.1:1/queuegate';

it('refuses to move without store.url, without a store, while a Central has it, and into what does not answer', async () => {
  const dataFolder = temporaryFolder();
  const config = { ...NAMES, dataFolder, advertisedNames: ['central.test'] as const };
  const refusal = async (storeUrl: string | undefined = NOWHERE) =>
    await migrateStore({ ...config, storeUrl }, () => undefined).then(
      () => 'moved',
      ({ code }: { code: string }) => code,
    );
  expect(
    await migrateStore({ ...config, storeUrl: undefined }, () => undefined).catch(({ code }) => code as unknown),
  ).toBe('store_url_missing');
  expect(await refusal()).toBe('data_folder_empty');
  const running = await openCentralStore(config, () => undefined);
  const entries = (await running.audit.list({ limit: 10 })).length;
  expect(await refusal()).toBe('data_in_use');
  await running.stop();
  expect(await refusal()).toBe('store_unreachable');
  // As it was.
  expect(readdirSync(dataFolder)).toContain('central.db');
  const again = await openCentralStore(config, () => undefined);
  expect(await again.audit.list({ limit: 10 })).toHaveLength(entries);
  await again.stop();
});
