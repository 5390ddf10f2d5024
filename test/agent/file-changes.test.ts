// What counts as a change of the files that a connection depends on, and what does not.
import { rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { filesChanged, refreshSnapshot, snapshotFiles } from '../../agent/file-changes.ts';
import { temporaryFolder } from '../central/pki/folder.ts';

it('an own change of a file is none, and hides no change that a person makes to another', async () => {
  const folder = temporaryFolder();
  const [own, others] = [folder.write('truststore.jks', 'one'), folder.write('agent.conf', 'one')];
  const before = await snapshotFiles([own, others]);
  // What does change is waited for, however long a busy machine takes; what does not is looked at some times.
  const becomesChanged = async (snapshot: typeof before): Promise<void> => {
    await filesChanged(snapshot, new AbortController().signal, 5);
  };
  const staysUnchanged = async (snapshot: typeof before): Promise<boolean> => {
    const over = new AbortController();
    setTimeout(() => over.abort(), 50);
    await filesChanged(snapshot, over.signal, 5);
    return over.signal.aborted;
  };
  expect(await staysUnchanged(before)).toBe(true);
  writeFileSync(own, 'two, by itself');
  await becomesChanged(before);
  const after = (await refreshSnapshot(own))(before);
  expect(await staysUnchanged(after)).toBe(true);
  writeFileSync(others, 'two, by a person');
  await becomesChanged((await refreshSnapshot(own))(after));
  rmSync(own);
  await becomesChanged((await refreshSnapshot(others))(after));
});
