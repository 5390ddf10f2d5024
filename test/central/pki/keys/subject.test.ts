// Key material of one subject in the hands of two writers, as two Centrals on one store would have it.
import { expect, test } from 'vitest';
import { auditEntry, CENTRAL } from '../../../../central/audit.ts';
import { openAuthority } from '../../../../central/pki/authority/authority.ts';
import { KeyMaterialSubject } from '../../../../central/pki/keys/subject.ts';
import { openServerIdentity } from '../../../../central/pki/server/server-identity.ts';
import { memoryStore } from '../../fakes.ts';

const act = auditEntry(CENTRAL, 'ca.create', {}, 0);
const LOST = { code: 'key_material_conflict' };

test('is read once, and written from what was read: again and again by one writer, never by one that does not know the present state', async () => {
  const { keyMaterial } = memoryStore();
  const one = await KeyMaterialSubject.open(keyMaterial, 'server');
  const other = await KeyMaterialSubject.open(keyMaterial, 'server');
  await one.put([{ name: 'server.key', value: 'one' }], act);
  await one.put([{ name: 'server.chain', value: 'chain' }], act);
  await expect(other.put([{ name: 'server.key', value: 'other' }], act)).rejects.toMatchObject(LOST);
  expect([one.names(), one.get('server.key'), other.names()]).toEqual([['server.key', 'server.chain'], 'one', []]);
  const again = await KeyMaterialSubject.open(keyMaterial, 'server');
  await again.put([{ name: 'server.key', value: null }], act);
  expect([again.names(), await keyMaterial.names()]).toEqual([['server.chain'], ['server.chain']]);
  await expect(one.put([{ name: 'server.key', value: 'back' }], act)).rejects.toMatchObject(LOST);
});

test('subjects do not hinder each other', async () => {
  const { keyMaterial } = memoryStore();
  const server = await KeyMaterialSubject.open(keyMaterial, 'server');
  const signing = await KeyMaterialSubject.open(keyMaterial, 'signing');
  await server.put([{ name: 'server.key', value: 'one' }], act);
  await signing.put([{ name: 'signing.key', value: 'two' }], act);
  expect(await keyMaterial.names()).toEqual(['server.key', 'signing.key']);
});

test('a Central whose authority or server certificate another one changed keeps its own, writes nothing and says why', async () => {
  const { keyMaterial } = memoryStore();
  const options = { keyMaterial, central: 'central.test', now: Date.now };
  const spec = { names: ['central.test'], subjectAlternativeNames: [], distinguishedName: '', lifetimeDays: 30 };
  const authority = await openAuthority(options);
  const stale = await openAuthority(options);
  const identity = await openServerIdentity({ keyMaterial, authority, now: Date.now });
  const staleIdentity = await openServerIdentity({ keyMaterial, authority: stale, now: Date.now });

  const prepared = await authority.prepare(await authority.makeRoot(), CENTRAL);
  await expect(stale.prepare(await stale.makeRoot(), CENTRAL)).rejects.toMatchObject(LOST);
  expect(stale.inRole('prepared')).toEqual([]);
  expect((await openAuthority(options)).inRole('prepared').map(({ id }) => id)).toEqual([prepared.id]);

  const adopted = await identity.fitting(spec);
  await identity.adopt(adopted, CENTRAL);
  await expect(staleIdentity.adopt(await staleIdentity.fitting(spec), CENTRAL)).rejects.toMatchObject(LOST);
  expect(staleIdentity.current()).toBeUndefined();
  const reopened = await openServerIdentity({ keyMaterial, authority, now: Date.now });
  expect(reopened.current()?.thumbprint).toBe(adopted.thumbprint);
});
