// What counts as a change of the files that a connection depends on, and what does not.
import { rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { filesChanged, refreshSnapshot, snapshotFiles } from '../../agent/file-changes.ts';
import { temporaryFolder } from '../central/pki/folder.ts';

it('an own change of a file is none, and hides no change that a person makes to another', async () => {
  const folder = temporaryFolder();
  const [own, others] = [folder.write('truststore.jks', 'one'), folder.write('agent.conf', 'one')];
  const before = await snapshotFiles([own, others]);
  const changed = async (snapshot: typeof before): Promise<boolean> => {
    const over = new AbortController();
    setTimeout(() => over.abort(), 50);
    await filesChanged(snapshot, over.signal, 5);
    return !over.signal.aborted;
  };
  expect(await changed(before)).toBe(false);
  writeFileSync(own, 'two, by itself');
  expect(await changed(before)).toBe(true);
  const after = (await refreshSnapshot(own))(before);
  expect(await changed(after)).toBe(false);
  writeFileSync(others, 'two, by a person');
  expect(await changed((await refreshSnapshot(own))(after))).toBe(true);
  rmSync(own);
  expect(await changed((await refreshSnapshot(others))(after))).toBe(true);
});
