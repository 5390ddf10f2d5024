import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { explainDialFailure, explainHttpAnswer } from '../../../agent/connection/faults.ts';
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

describe('a certificate whose issuer is not there', () => {
  const withCa = (ca: readonly string[], code = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE') =>
    explainDialFailure(Object.assign(new Error('no'), { code }), {
      target: { secure: true, host: 'central.example', port: 9150 },
      truststore: 't.jks',
      shown: leaf,
      ca,
      timeoutSeconds: 15,
      now: new Date(),
    });
  const leaf = new X509Certificate(fixture('central.crt'));

  it('is that of a host that does not send its intermediate, unless a root of that name is there or more was sent', () => {
    const missing = withCa([]);
    expect(missing.code).toBe('tls_issuer_missing');
    expect(missing.message).toContain('whose certificate that host does not send');
    expect(missing.hint).toMatch(/intermediate, add its certificate to the certificate file/);
    expect(withCa([fixture('root-ec.crt').toString()]).code).toBe('tls_unknown_authority');
    expect(withCa([], 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY').code).toBe('tls_unknown_authority');
    expect(withCa([], 'SELF_SIGNED_CERT_IN_CHAIN').hint).toContain('inspects TLS');
  });
});

describe('an HTTP answer to the upgrade', () => {
  const target = { secure: true, host: 'central.example', port: 443 };
  const problem = (code: string): string =>
    JSON.stringify({ type: `urn:queuegate:error:${code}`, detail: 'No.', hint: 'Do this.' });

  it.each<[string, number, string, string]>([
    ['without Upgrade, by Central behind a proxy', 426, problem('upgrade_removed'), 'proxy_drops_upgrade'],
    ['without any header of a WebSocket', 426, problem('upgrade_required'), 'proxy_drops_upgrade'],
    ['for another subprotocol', 426, problem('subprotocol_required'), 'protocol_differs'],
    ['of a gateway', 502, '<html>Bad Gateway', 'proxy_gateway_failed'],
    ['of a gateway', 503, '', 'proxy_gateway_failed'],
    ['of a gateway', 504, '{"message":"timeout"}', 'proxy_gateway_failed'],
    ['of Central, busy', 503, problem('responses_unread'), 'refused'],
    ['of Central, refusing', 403, problem('agent_revoked'), 'refused'],
    ['of a proxy that wants a login', 407, '', 'proxy_login_required'],
    ['of the port of the REST API', 404, problem('not_found'), 'no_central'],
    ['of a portal', 200, '<html>Please log in', 'no_central'],
    ['of a web server', 403, '<html>Forbidden', 'no_central'],
  ])('%s: HTTP %i is named', (_title, status, body, code) => {
    const fault = explainHttpAnswer(target, status, body);
    expect(fault.code).toBe(code);
    // No answer of a proxy ends all dialing.
    expect(fault.close).toBeUndefined();
  });

  it('of nginx to plain HTTP on its TLS port says so', () => {
    const body = '<html><title>400 The plain HTTP request was sent to HTTPS port</title>';
    expect(explainHttpAnswer({ ...target, secure: false }, 400, body).code).toBe('plain_on_secure_port');
  });
});
