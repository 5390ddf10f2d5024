// The client certificate that an agent shows in TLS, validated by our own code: whose it is, who signed it, and when it
// ends.
import { beforeAll, describe, expect, it } from 'vitest';
import type { X509Certificate } from 'node:crypto';
import { validateClientCertificate, type ClientTerms } from '../../../central/auth/client-certificate.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import { spkiOf, thumbprintOf } from '../../../central/pki/x509/certificate.ts';
import { issuedCertificate } from '../../../central/enrollment/credentials.ts';
import { makeKeyPair, type KeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import { isCoded } from '../../../shared/errors.ts';
import { memoryStore } from '../fakes.ts';

const DAY = 86_400_000;
const START = Date.parse('2026-01-01T00:00:00Z');

let [ours, strangers]: Authority[] = [];
let keys: KeyPair;
let certificate: X509Certificate;
beforeAll(async () => {
  const open = async () =>
    await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now: () => START });
  [ours, strangers] = [await open(), await open()];
  keys = await makeKeyPair();
  certificate = await issue(ours);
});

async function issue(authority: Authority | undefined): Promise<X509Certificate> {
  if (authority === undefined) throw new Error('no authority');
  return await authority.issueAgent({ id: 'a1', name: 'a1', publicKey: keys.publicKey, lifetimeDays: 10 });
}

/** The code of the refusal and what was found; undefined when it is taken. */
function faultOf(
  shown: X509Certificate | undefined,
  terms: Partial<ClientTerms> = {},
  mode: 'none' | 'optional' | 'required' = 'optional',
): string | undefined {
  if (ours === undefined) throw new Error('no authority');
  const { certificate: certificateOfOurs } = ours;
  const own = { ...issuedCertificate(certificate, ours, 'a1', START), installedAt: null, revoked: null };
  try {
    validateClientCertificate(mode, shown, {
      publicKey: spkiOf(keys.publicKey),
      own,
      authorities: () => [certificateOfOurs],
      now: START + DAY,
      ...terms,
    });
    return undefined;
  } catch (error) {
    return isCoded(error) ? `${error.code}: ${error.message}` : String(error);
  }
}

describe('a client certificate', () => {
  it('is taken when it is of this Central, for the key of the hello, and in date', () => {
    expect(faultOf(certificate)).toBeUndefined();
    expect(faultOf(certificate, { now: START - DAY, own: null })).toContain('is valid from');
    expect(faultOf(certificate, { publicKey: Buffer.from('other') })).toContain('another key');
  });

  it("may be the agent's own that has expired, which the record has validated; another expired one may not", () => {
    expect(faultOf(certificate, { now: START + 11 * DAY })).toBeUndefined();
    expect(faultOf(certificate, { now: START + 11 * DAY, own: null })).toMatch(/^certificate_foreign: .*it expired on/);
  });

  it("may be the agent's own that is not valid yet, which is renewed in the session", () => {
    expect(faultOf(certificate, { now: START - DAY }, 'required')).toBeUndefined();
  });

  it("of a stranger is a stranger's before anybody looks at its dates, even under the thumbprint of the record", async () => {
    const foreign = await issue(strangers);
    for (const now of [START + DAY, START + 11 * DAY])
      expect(faultOf(foreign, { now })).toMatch(/^certificate_foreign: .*not issued by this Central/);
    if (ours === undefined) throw new Error('no authority');
    const own = {
      ...issuedCertificate(foreign, ours, 'a1', START),
      thumbprint: thumbprintOf(foreign),
      installedAt: null,
      revoked: null,
    };
    expect(faultOf(foreign, { own, now: START + 11 * DAY })).toContain('not issued by this Central');
  });

  it('is asked for where it is required, and looked at nowhere where it is not asked for', () => {
    expect(faultOf(undefined, {}, 'required')).toContain('certificate_required');
    expect(faultOf(undefined)).toBeUndefined();
    expect(faultOf(certificate, { publicKey: Buffer.from('other') }, 'none')).toBeUndefined();
  });
});
