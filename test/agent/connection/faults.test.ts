import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { explainDialFailure } from '../../../agent/connection/faults.ts';
import { fixture } from '../../shared/keystore/peers.ts';

/** Valid until 2046. */
const shown = new X509Certificate(fixture('central.crt'));

function explained(code: string, now: string): string {
  const context = {
    target: { secure: true, host: 'central.example', port: 9150 },
    truststore: 't.jks',
    shown,
    timeoutSeconds: 15,
    now: new Date(now),
  };
  return explainDialFailure(Object.assign(new Error('no'), { code }), context).code;
}

describe('an expired certificate', () => {
  it('is the one that was shown, or one above it that OpenSSL does not name', () => {
    expect(explained('CERT_HAS_EXPIRED', '2050-01-01')).toBe('tls_expired');
    expect(explained('CERT_HAS_EXPIRED', '2040-01-01')).toBe('tls_authority_expired');
  });
});
