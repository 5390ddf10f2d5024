// The check of testssl's findings: what it accepts, and what not.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { explainedIn, faultsOf, staleIn, suitesOf, type Finding } from './findings.ts';

const finding = (id: string, severity: string, text: string): Finding => ({
  id,
  severity,
  finding: text,
  port: '9150',
});

/** A scan with nothing against it. */
const SOUND: readonly Finding[] = [
  ...['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1'].map((id) => finding(id, 'OK', 'not offered')),
  finding('TLS1_2', 'OK', 'offered'),
  finding('TLS1_3', 'OK', 'offered with final'),
  finding('certs_list_ordering_problem', 'INFO', 'no'),
  finding('cert_chain_of_trust', 'OK', 'passed.'),
  ...'cipherlist_NULL cipherlist_aNULL cipherlist_EXPORT cipherlist_LOW cipherlist_3DES_IDEA cipherlist_STRONG cipher_order cert_trust cert_expirationStatus heartbleed CCS ticketbleed ROBOT secure_renego secure_client_renego CRIME_TLS BREACH POODLE_SSL fallback_SCSV SWEET32 FREAK DROWN LOGJAM BEAST LUCKY13 RC4'
    .split(' ')
    .map((id) => finding(id, 'OK', 'fine')),
  finding(
    'cipher_x1301',
    'INFO',
    'x1301   TLS_AES_128_GCM_SHA256            ECDH 253   AESGCM      128      TLS_AES_128_GCM_SHA256',
  ),
  finding(
    'cipher_xc02b',
    'INFO',
    'xc02b   ECDHE-ECDSA-AES128-GCM-SHA256     ECDH 253   AESGCM      128      TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  ),
  finding('HSTS', 'LOW', 'not offered'),
  finding('engine_problem', 'WARN', 'no engine'),
];

function changed(id: string, severity: string, text: string): Finding[] {
  return SOUND.map((found) => (found.id === id ? finding(id, severity, text) : found));
}

describe('a scan', () => {
  test('that is sound has no fault', () => {
    expect(faultsOf(SOUND, [])).toEqual([]);
    expect(suitesOf(SOUND)).toEqual(['TLS_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256']);
  });

  test('what is worse than LOW and not explained is a fault, with its id, port and text', () => {
    for (const severity of ['MEDIUM', 'HIGH', 'CRITICAL', 'FATAL']) {
      const scan = [...SOUND, finding('odd', severity, 'something')];
      expect(faultsOf(scan, [])).toEqual([`port 9150: odd (${severity}): something is not explained`]);
      expect(faultsOf(scan, [{ id: 'odd', finding: 'something', reason: 'because' }])).toEqual([]);
      expect(faultsOf(scan, [{ id: 'odd', finding: 'something else', reason: 'because' }])).toHaveLength(1);
    }
  });

  test.each([
    ['TLS1_1', 'LOW', 'offered (deprecated)'],
    ['TLS1_3', 'LOW', 'not offered'],
    ['certs_list_ordering_problem', 'INFO', 'yes'],
    ['cert_chain_of_trust', 'INFO', 'failed'],
    ['ROBOT', 'WARN', 'timed out'],
    [
      'cipher_xc02b',
      'INFO',
      'xc023   ECDHE-ECDSA-AES128-SHA256 ECDH 253 AES 128 TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256',
    ],
    ['cipher_xc02b', 'INFO', 'x9c   AES128-GCM-SHA256 RSA AESGCM 128 TLS_RSA_WITH_AES_128_GCM_SHA256'],
  ])('%s (%s) "%s" is a fault', (id, severity, text) => {
    expect(faultsOf(changed(id, severity, text), [])).toHaveLength(1);
  });

  test('that did not get anywhere is not a sound one', () => {
    expect(faultsOf([], []).length).toBeGreaterThan(30);
    expect(
      faultsOf(
        SOUND.filter(({ id }) => id !== 'heartbleed'),
        [],
      ),
    ).toEqual(['port 9150: testssl said nothing of heartbleed']);
    expect(
      faultsOf(
        SOUND.filter(({ id }) => !id.startsWith('cipher_x')),
        [],
      ),
    ).toEqual(['port 9150: testssl named no suite']);
  });
});

describe('the table of explanations', () => {
  test('a row that no scan finds any more is stale', () => {
    const row = { id: 'HSTS', finding: 'not offered', reason: 'because' };
    expect(staleIn([row], [[], SOUND])).toEqual([]);
    expect(staleIn([{ ...row, id: 'gone' }], [SOUND])).toEqual([
      'gone is explained, and not found any more: remove its row',
    ]);
  });

  test('is read from SECURITY.md, each row with its reason', () => {
    const rows = explainedIn(readFileSync('docs/SECURITY.md', 'utf8'));
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter(({ reason }) => reason.length < 40)).toEqual([]);
    expect(() => explainedIn('# nothing')).toThrow('no section');
  });
});
