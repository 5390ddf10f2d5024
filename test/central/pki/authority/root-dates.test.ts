// A root that was made while the clock of Central was wrong: it is reissued, agents that trust the one before are not
// cut off by that, and those that do not have the new one are named.
import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openAuthority, type Authority } from '../../../../central/pki/authority/authority.ts';
import { RootDates } from '../../../../central/pki/authority/root-dates.ts';
import { openSigningCertificate, openSigningKey } from '../../../../central/pki/authority/signing-key.ts';
import { chainPem, privateKeyPem, thumbprintOf } from '../../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { validityOf } from '../../../../shared/x509/validity.ts';
import { memoryStore } from '../../fakes.ts';

const DAY = 86_400_000;
const NOW = Date.parse('2026-11-22T10:00:00Z');

/** A store whose authority was made at this time; opened now. */
async function madeAt(at: number) {
  const store = memoryStore();
  const open = (now: number): Promise<Authority> =>
    openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now: () => now });
  const before = await open(at);
  const lines: string[] = [];
  const authority = await open(NOW);
  const dates = new RootDates({
    authority,
    certificates: store.certificates,
    log: { warn: (_facts, text) => lines.push(text) },
    now: () => NOW,
  });
  return { store, before, authority, dates, lines, open };
}

describe('a root', () => {
  test.each([
    ['made with a clock 60 days ahead', NOW + 60 * DAY],
    ['made in 1980, and expired since', Date.parse('1980-01-01')],
  ])('%s is reissued with its key and its name, for now', async (_, at) => {
    const { store, before, authority, dates, lines, open } = await madeAt(at);
    const signingKey = await openSigningKey({ keyMaterial: store.keyMaterial, now: () => at });
    expect(await dates.renew()).toBe(true);
    const { from, to } = validityOf(authority.certificate);
    expect([from.getTime() <= NOW, to.getTime() > NOW + 19 * 365 * DAY]).toEqual([true, true]);
    expect([authority.pin, authority.certificate.subject]).toEqual([before.pin, before.certificate.subject]);
    expect(authority.all()).toMatchObject([
      { role: 'current', id: thumbprintOf(authority.certificate), formerIds: [before.current().id] },
    ]);
    // No agent trusts the one before.
    expect(authority.firstRoot).toBe(authority.current().id);
    expect(store.audit.entries.map(({ action }) => action)).toContain('ca.reissue');
    expect(lines).toHaveLength(1);
    expect(await dates.renew()).toBe(false);
    await dates.measure();
    expect(dates.problems()).toEqual([]);
    // The next start finds the same, and what it signs is valid.
    const again = await open(NOW);
    expect(again.all()).toEqual(authority.all());
    const signing = await openSigningCertificate({
      keyMaterial: store.keyMaterial,
      authority: again,
      signingKey,
      central: 'central.test',
      lifetimeDays: () => 365,
      now: () => NOW,
    });
    for (const certificate of signing.chain()) expect(validityOf(certificate).from.getTime()).toBeLessThanOrEqual(NOW);
  });

  test('within its dates stays as it is', async () => {
    const { authority, dates, before } = await madeAt(NOW - DAY);
    expect(await dates.renew()).toBe(false);
    expect(authority.pem).toBe(before.pem);
  });

  test('that agents trust is reissued too, and those without the new one are named until they have it', async () => {
    const { store, before, authority, dates } = await madeAt(NOW + 60 * DAY);
    const { id } = before.current();
    await store.certificates.recordTrust('branch-1', [id]);
    await store.certificates.recordTrust('branch-2', [id]);
    expect(await dates.renew()).toBe(true);
    expect(authority.firstRoot).toBe(id);
    await dates.measure();
    expect(dates.problems()).toMatchObject([
      { code: 'authority_reissued', detail: expect.stringContaining('2 agents do not have the new one') },
    ]);
    await store.certificates.recordTrust('branch-1', [authority.current().id]);
    await store.certificates.recordTrust('branch-2', [authority.current().id, id]);
    await dates.measure();
    expect(dates.problems()).toEqual([]);
  });
});

test('what a reissued root shows is accepted by the one before, and by the new one', async () => {
  const store = memoryStore();
  const authority = await openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now: Date.now });
  const old = authority.pem;
  await authority.reissueRoot(true);
  expect(authority.pem).not.toBe(old);
  const { privateKey, publicKey } = await makeKeyPair();
  const leaf = await authority.issueServer({
    subject: 'CN=localhost',
    names: ['localhost'],
    publicKey,
    lifetimeDays: 1,
  });
  const server = createServer({ key: privateKeyPem(privateKey), cert: chainPem(authority.shownChainOf(leaf)) });
  server.on('connection', (socket) => socket.on('error', () => undefined));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  for (const ca of [old, authority.pem]) {
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    socket.destroy();
  }
});
