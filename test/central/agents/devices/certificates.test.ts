// What Central issues for the port of an agent for devices, and what it refuses.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { makeRenewalRequest } from '../../../../agent/renewal/csr.ts';
import { DeviceCertificates } from '../../../../central/agents/devices/certificates.ts';
import { openAuthority } from '../../../../central/pki/authority/authority.ts';
import { AgentRate } from '../../../../central/sessions/limits/agent-rate.ts';
import type { CentralControl } from '../../../../shared/wire/messages.ts';
import { spkiOf } from '../../../../shared/x509/public-key.ts';
import { validityOf } from '../../../../shared/x509/validity.ts';
import { memoryStore } from '../../fakes.ts';

async function setUp() {
  const store = memoryStore();
  const now = Date.now();
  const authority = await openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now: () => now });
  const recorded: { thumbprint: string; epoch: number; names: unknown; from: string }[] = [];
  const counted: string[] = [];
  let valid = 0;
  const sent: CentralControl[] = [];
  const devices = new DeviceCertificates({
    agents: { get: async (id) => (id === 'a1' ? ({ id, name: 'branch' } as never) : undefined) },
    certificates: {
      ofAgent: async () => Array.from({ length: valid }, () => ({ notAfter: now + 60_000 }) as never),
      async recordDevice({ thumbprint }, epoch, { detail, from }) {
        recorded.push({ thumbprint, epoch, names: (JSON.parse(detail) as { names: unknown }).names, from });
      },
    },
    authority,
    centralNames: () => ['central.test'],
    lifetimeDays: () => 30,
    rate: new AgentRate(3, 600, () => now),
    metrics: {
      instruments: {
        queuegate_device_certificates_total: { inc: ({ outcome }: { outcome: string }) => void counted.push(outcome) },
      },
    } as never,
    log: { debug() {}, info() {}, warn() {} },
    now: () => now,
  });
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const csr = makeRenewalRequest({ privateKey, publicKey: spkiOf(publicKey).toString('base64') }, 'x').pem;
  const ask = async (names: string[], { agentId = 'a1', request = csr } = {}): Promise<CentralControl | undefined> => {
    const answered = Promise.withResolvers<void>();
    devices.onFrame(
      {
        facts: { agentId, address: '10.1.2.3', epoch: 7 },
        sendControl(frame) {
          sent.push(frame);
          answered.resolve();
        },
      },
      { type: 'device-request', csr: request, names },
    );
    await answered.promise;
    return sent.at(-1);
  };
  return { setValid: (count: number) => void (valid = count), ask, authority, counted, privateKey, recorded };
}

it('is for TLS servers of these names, for the key of the request, and is on record before it is sent', async () => {
  const { ask, authority, counted, privateKey, recorded } = await setUp();
  const answer = await ask(['hub.branch', '10.1.2.3']);
  const certificate = new X509Certificate(answer?.type === 'device-issued' ? answer.pem : '');
  expect(certificate.checkPrivateKey(privateKey)).toBe(true);
  expect(certificate.subjectAltName).toBe('DNS:hub.branch, IP Address:10.1.2.3');
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect(certificate.checkIssued(authority.certificate)).toBe(true);
  const { from, to } = validityOf(certificate);
  expect((to.getTime() - from.getTime()) / 86_400_000).toBeCloseTo(30, 1);
  expect(recorded).toEqual([
    {
      thumbprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
      epoch: 7,
      names: ['hub.branch', '10.1.2.3'],
      from: '10.1.2.3',
    },
  ]);
  expect(counted).toEqual(['issued']);
});

it('is refused for names of Central, for what is not a request, for unknown agents, and when it is asked too often', async () => {
  const { ask, counted, recorded } = await setUp();
  expect(await ask(['central.test'])).toMatchObject({ type: 'device-refused', code: 'device_name_taken' });
  expect(await ask(['hub'], { request: 'x'.repeat(64) })).toMatchObject({ code: 'csr_unreadable' });
  expect(await ask(['hub'], { agentId: 'a2' })).toMatchObject({ code: 'agent_unknown' });
  expect(await ask(['*.x'])).toMatchObject({ code: 'device_name_bad' });
  expect(await ask(['hub'])).toMatchObject({ code: 'device_rate', hint: expect.any(String) });
  expect([recorded, counted]).toEqual([[], Array.from({ length: 5 }, () => 'refused')]);
});

it('is refused while the agent has 32 that are valid', async () => {
  const { ask, setValid } = await setUp();
  setValid(32);
  expect(await ask(['hub'])).toMatchObject({ code: 'device_rate', detail: expect.stringContaining('60 s') });
});
