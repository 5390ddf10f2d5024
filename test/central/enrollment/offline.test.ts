// The one file for a machine without a line to Central, and what the agent makes of it, with the authorities that banks
// have.
import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeRequest } from '../../../agent/enrollment/csr.ts';
import { readCertificateFile } from '../../../agent/enrollment/certificate-file.ts';
import { loadOrCreateKey, type AgentKey } from '../../../agent/identity/identity.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import { readChain } from '../../../central/pki/x509/certificate.ts';
import { createAgentCredentials } from '../../../central/enrollment/credentials.ts';
import { createOfflineEnrollment, type OfflineEnrollment } from '../../../central/enrollment/offline.ts';
import {
  openSigningCertificate,
  openSigningKey,
  type SigningCertificate,
  type SigningKey,
} from '../../../central/pki/authority/signing-key.ts';
import { agentRecord, memoryStore, type MemoryStore } from '../fakes.ts';
import { Cleanup } from '../../flow/processes.ts';
import { makeBank, sameBank, type Bank } from '../pki/server/bank.ts';

const ADMIN = { who: 'admin', from: '10.0.0.1' };
const CENTRAL = 'Zentrale "Süd", Haus 1';
const cleanup = new Cleanup();
let store: MemoryStore;
let authority: Authority;
let signingKey: SigningKey;
let signing: SigningCertificate;
let offlineEnrollment: OfflineEnrollment;
let roots: X509Certificate[];
let key: AgentKey;
let bank: Bank;

beforeEach(async () => {
  store = memoryStore();
  bank = sameBank();
  authority = await openAuthority({ keyMaterial: store.keyMaterial, central: CENTRAL, now: Date.now });
  signingKey = await openSigningKey({ keyMaterial: store.keyMaterial, now: Date.now });
  signing = await openSigningCertificate({
    keyMaterial: store.keyMaterial,
    authority,
    signingKey,
    central: CENTRAL,
    lifetimeDays: () => 365,
    now: Date.now,
  });
  roots = [];
  const trust = {
    certificates: () => [...roots, ...authority.roots()],
    pem: () => authority.pem,
    thumbprints: () => ['the roots'],
  };
  const credentials = createAgentCredentials({
    authority,
    trust,
    certificates: store.certificates,
    signingKey: signingKey.publicKey,
    central: CENTRAL,
    lifetimeDays: () => 30,
    now: Date.now,
  });
  offlineEnrollment = createOfflineEnrollment({
    agents: { findByKey: async () => undefined },
    enrollments: {
      async admit(agent, _by, audit) {
        store.audit.entries.push(audit);
        return agentRecord(agent);
      },
    },
    credentials,
    authority,
    trust,
    signing,
    policy: () => 'token',
    now: Date.now,
  });
  key = await loadOrCreateKey(await cleanup.folder());
});
afterEach(() => cleanup.run());

async function file(): Promise<string> {
  const { pem } = await makeRequest(key, 'branch-1', 'pc/1, "ü"');
  return (await offlineEnrollment.issue({ csr: pem, name: undefined, id: undefined }, { ...ADMIN, ticket: 'T-1' })).pem;
}

describe('the file for a machine without a line', () => {
  it('says who the agent is, who Central is and what to trust, whatever their names', async () => {
    const read = readCertificateFile(await file(), key, new Date());
    expect(read).toMatchObject({
      id: 'pc/1, "ü"',
      name: 'branch-1',
      central: CENTRAL,
      signingKey: signingKey.publicKey,
      roots: authority.pem,
    });
    expect(store.audit.entries.slice(-2)).toMatchObject([
      { action: 'agents.create', who: 'admin', ticket: 'T-1' },
      { action: 'certificates.issue', who: 'admin', ticket: 'T-1' },
    ]);
    expect(store.certificates.issued).toHaveLength(1);
  });

  it("has the intermediate of a bank's own authority, and the root of another one that signed what Central shows", async () => {
    const { intermediate, root } = bank;
    const [between] = readChain(intermediate.certificate, 'test');
    const [top] = readChain(root.certificate, 'test');
    await authority.replace(
      { key: createPrivateKey(intermediate.key), chain: [between, top], origin: 'imported' },
      ADMIN,
    );
    expect(await signing.renew()).toBe(true);
    const other = makeBank();
    roots = readChain(other.root.certificate, 'test');
    const text = await file();
    const read = readCertificateFile(text, key, new Date());
    if ('faults' in read) throw new Error(read.faults.join('\n'));
    expect(readChain(read.certificate, 'test').map(({ subject }) => subject)).toEqual(['CN=branch-1', between.subject]);
    expect(readChain(read.roots, 'test')).toHaveLength(3);
    // The order of the roots says nothing; that of the chain does.
    const blocks = text.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g) ?? [];
    expect(
      readCertificateFile([blocks[0], blocks[1], ...blocks.slice(2).toReversed()].join(''), key, new Date()),
    ).not.toHaveProperty('faults');
    expect(readCertificateFile([blocks[0], ...blocks.slice(2), blocks[1]].join(''), key, new Date())).toMatchObject({
      faults: [expect.stringMatching(/^order: /)],
    });
    expect(readCertificateFile([blocks[0], ...blocks.slice(2)].join(''), key, new Date())).toMatchObject({
      faults: [
        expect.stringMatching(/^chain_incomplete: .*"CN=branch-1".* is missing$/),
        expect.stringMatching(/^chain_incomplete: none of its certificates issued/),
      ],
    });
  });

  it('names what is not yet valid and what has expired, with the clock of the machine beside it', async () => {
    const text = await file();
    const days = (n: number): Date => new Date(Date.now() + n * 86_400_000);
    const late = readCertificateFile(text, key, days(31));
    expect(late).toMatchObject({
      faults: [
        expect.stringMatching(/^expired: "CN=branch-1" expired on \d{4}-.*; the clock of this machine shows \d{4}-/),
      ],
    });
    const early = readCertificateFile(text, key, days(-1));
    expect('faults' in early && early.faults.every((fault) => fault.startsWith('not_yet_valid: '))).toBe(true);
    // An earlier root that has ended blocks nothing.
    const old = bank.issue('old', { days: 1, by: bank.root });
    expect(readCertificateFile(text + old.certificate, key, days(2))).not.toHaveProperty('faults');
  });

  it('is made for a host name only, and never for the name of the Central agent', async () => {
    const { pem } = await makeRequest(key, 'branch-1');
    for (const name of ['branch 1', '-', 'a'.repeat(300)])
      await expect(offlineEnrollment.issue({ csr: pem, name, id: undefined }, ADMIN)).rejects.toMatchObject({
        code: 'issue_name_missing',
      });
    await expect(
      offlineEnrollment.issue({ csr: pem, name: 'Central-Agent', id: undefined }, ADMIN),
    ).rejects.toMatchObject({
      code: 'enrollment_name_reserved',
    });
  });
});
