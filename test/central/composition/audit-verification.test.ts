import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { AUDIT_HEAD_FILE, AuditVerification } from '../../../central/composition/audit-verification.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { auditEntry, DAY } from '../store/samples.ts';

const folders: string[] = [];
const stores: Store[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.stop();
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function open(folder: string): Promise<{ store: Store; verification: AuditVerification }> {
  const store = await openSqliteStore({ folder, deduplicationMs: DAY, onFailure: () => undefined });
  stores.push(store);
  const log = pino({ level: 'silent' });
  return { store, verification: new AuditVerification({ folder, store: store.audit, log, now: () => 1_000 }) };
}

/** A log of five entries, verified; then `change` is made beside Central, and it is opened again. */
async function changed(change: string) {
  const folder = await mkdtemp(join(tmpdir(), 'audit-'));
  folders.push(folder);
  const first = await open(folder);
  for (const action of ['a', 'b', 'c', 'd', 'e']) await first.store.audit.append(auditEntry(action));
  await first.verification.run();
  const head = (await first.store.audit.head())?.hash ?? '';
  await first.store.stop();
  const database = new DatabaseSync(join(folder, 'central.db'));
  database.exec(change);
  database.close();
  return { folder, head, ...(await open(folder)) };
}

const codes = (faults: readonly { readonly code: string }[]): string[] => faults.map(({ code }) => code);

describe('the verification of the audit log', () => {
  it('finds nothing in a log as it was written, and goes on from the head in its 0600 file', async () => {
    const { folder, head, store, verification } = await changed('');
    expect(JSON.parse(await readFile(join(folder, AUDIT_HEAD_FILE), 'utf8'))).toEqual({ number: 5, hash: head });
    expect((await stat(join(folder, AUDIT_HEAD_FILE))).mode & 0o777).toBe(0o600);
    await store.audit.append(auditEntry('f'));
    await verification.run();
    expect(verification.problems()).toEqual([]);
    expect(await verification.verify(head)).toEqual({
      valid: true,
      entryCount: 6,
      head: (await store.audit.head())?.hash,
      faults: [],
    });
  });

  it.each([
    ['an altered entry', "UPDATE audit SET who = 'x' WHERE number = 3", 'audit_entry_altered'],
    ['a detail that is not JSON', "UPDATE audit SET detail = '{' WHERE number = 3", 'audit_entry_altered'],
    ['a removed entry', 'DELETE FROM audit WHERE number = 2', 'audit_entries_missing'],
    ['a cut end', 'DELETE FROM audit WHERE number > 3', 'audit_head_missing'],
    ['an emptied log', 'DELETE FROM audit', 'audit_head_missing'],
  ])('finds %s', async (_what, change, code) => {
    const { verification } = await changed(change);
    const { valid, faults } = await verification.verify();
    expect({ valid, codes: codes(faults) }).toEqual({ valid: false, codes: [code] });
    expect(verification.problems()).toMatchObject([{ code, startedAt: 1_000 }]);
  });

  it('finds a cut end in the background, and keeps the file as evidence however the log goes on', async () => {
    const { folder, head, store, verification } = await changed('DELETE FROM audit WHERE number > 3');
    for (let i = 0; i < 4; i += 1) await store.audit.append(auditEntry('more'));
    await verification.run();
    await verification.run();
    expect(codes(verification.problems())).toContain('audit_head_missing');
    expect(await readFile(join(folder, AUDIT_HEAD_FILE), 'utf8')).toContain(head);
  });

  it('finds by a head that was noted elsewhere that log and file were rewritten together', async () => {
    const { folder, head, store, verification } = await changed('DELETE FROM audit');
    await rm(join(folder, AUDIT_HEAD_FILE));
    for (const action of ['a', 'x', 'c']) await store.audit.append(auditEntry(action));
    expect(await verification.verify()).toMatchObject({ valid: true });
    expect(codes((await verification.verify(head)).faults)).toEqual(['audit_head_missing']);
  });

  it('begins at the first entry where the file cannot be read', async () => {
    const { folder, verification } = await changed('');
    await writeFile(join(folder, AUDIT_HEAD_FILE), 'x');
    await verification.run();
    expect(verification.problems()).toEqual([]);
    expect(await readFile(join(folder, AUDIT_HEAD_FILE), 'utf8')).toMatch(/^\{"number":5,/);
  });
});
