import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { explainDialFailure, explainHttpAnswer } from '../../../agent/connection/faults.ts';
import { refusal } from '../../../shared/wire/refusals.ts';
import { fixture } from '../../shared/keystore/peers.ts';

/** Valid until 2046. */
const shown = new X509Certificate(fixture('central.crt'));

function explained(code: string, now: string): string {
  return explainedFully(code, now).code;
}

function explainedFully(code: string, now: string, ca: readonly string[] = []) {
  const context = {
    target: { secure: true, host: 'central.example', port: 9150 },
    truststore: 't.jks',
    shown,
    ca,
    timeoutSeconds: 15,
    now: new Date(now),
  };
  return explainDialFailure(Object.assign(new Error('no'), { code }), context);
}

describe('an expired certificate', () => {
  it('is the one that was shown, or one above it that OpenSSL does not name', () => {
    expect(explained('CERT_HAS_EXPIRED', '2050-01-01')).toBe('tls_expired');
    expect(explained('CERT_HAS_EXPIRED', '2040-01-01')).toBe('tls_authority_expired');
  });
});

describe('a certificate that is not valid yet', () => {
  it('is the one that was shown, or the authority above it, with the date of the trusted one of its name', () => {
    expect(explained('CERT_NOT_YET_VALID', '2020-01-01')).toBe('tls_not_yet_valid');
    const above = explainedFully('CERT_NOT_YET_VALID', '2040-01-01', [fixture('root-ec.crt').toString()]);
    expect(above.code).toBe('tls_authority_not_yet_valid');
    expect(above.message).toMatch(/is not valid before 20\d\d-/);
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

describe('what the system or TLS say', () => {
  const context = {
    target: { secure: true, host: 'central.example', port: 9150 },
    truststore: 't.jks',
    shown,
    timeoutSeconds: 15,
    now: new Date('2026-11-27T00:00:00Z'),
  };
  const faultOf = (error: unknown, over: Partial<Parameters<typeof explainDialFailure>[1]> = {}) =>
    explainDialFailure(error, { ...context, ...over });
  const coded = (code: string, text = 'no'): Error => Object.assign(new Error(text), { code });

  it.each([
    ['ECONNREFUSED', 'connection_refused'],
    ['ENOTFOUND', 'host_unknown'],
    ['EAI_AGAIN', 'host_unknown'],
    ['ETIMEDOUT', 'connect_timeout'],
    ['ERR_OSSL_X509_KEY_VALUES_MISMATCH', 'identity_damaged'],
    ['EHOSTUNREACH', 'central_unreachable'],
    ['ENETUNREACH', 'central_unreachable'],
    ['EACCES', 'central_unreachable'],
    ['UNABLE_TO_GET_ISSUER_CERT', 'tls_unknown_authority'],
    ['CERT_SIGNATURE_FAILURE', 'tls_unknown_authority'],
    ['INVALID_CA', 'tls_unknown_authority'],
    ['CERT_UNTRUSTED', 'tls_unknown_authority'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_wrong_name'],
    // The one that was shown is valid.
    ['CERT_NOT_YET_VALID', 'tls_authority_not_yet_valid'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls_plain_port'],
    ['ERR_SSL_PACKET_LENGTH_TOO_LONG', 'tls_plain_port'],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'tls_old_protocol'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'tls_old_protocol'],
    ['ERR_SSL_UNEXPECTED_MESSAGE', 'no_central'],
    ['HPE_INVALID_CONSTANT', 'no_central'],
    ['ERR_SSL_SOMETHING', 'tls_failed'],
    ['ERR_TLS_SOMETHING', 'tls_failed'],
    ['EPROTO', 'tls_failed'],
    ['ECONNRESET', 'central_unreachable'],
  ])('%s is %s', (code, expected) => {
    const error = coded(code);
    const fault = faultOf(error);
    expect(fault).toMatchObject({ code: expected, cause: error });
    // Nothing of its text is left open.
    expect(`${fault.message} ${fault.hint}`).not.toMatch(/\{\w+\}/);
  });

  it.each([
    ['ERR_SSL_UNEXPECTED_MESSAGE', 'with something other than a TLS handshake'],
    ['HPE_INVALID_CONSTANT', 'with something other than HTTP'],
    ['ERR_OSSL_X509_KEY_VALUES_MISMATCH', 'its certificate belongs to another key than agent-key.pem'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'central.example'],
  ])('%s says what was found', (code, found) => {
    expect(faultOf(coded(code)).message).toContain(found);
  });

  it('names the names of the certificate that was shown', () => {
    const names = (one?: X509Certificate): unknown =>
      faultOf(coded('ERR_TLS_CERT_ALTNAME_INVALID'), { shown: one }).parameters['names'];
    expect(names(shown)).toBe(shown.subjectAltName);
    expect(names()).toBe('no name at all');
  });

  it('is explained by the number of OpenSSL where Node has it in the text only', () => {
    const packed = (hex: string): Error => coded('EPROTO', `write EPROTO 0:error:${hex}:SSL routines:f:r:x.c:1:\n`);
    for (const [hex, expected] of [
      ['0A00010B', 'tls_plain_port'],
      ['0A0000C6', 'tls_plain_port'],
      ['0A0000F4', 'no_central'],
      ['0A000102', 'tls_old_protocol'],
      ['0A00042E', 'tls_old_protocol'],
      ['0A000001', 'tls_failed'],
      // The same reason of another library means something else.
      ['0B00010B', 'tls_failed'],
    ] as const)
      expect(faultOf(packed(hex)).code, hex).toBe(expected);
  });

  it('is one line, with the reason of OpenSSL where it has one', () => {
    expect(faultOf(coded('ERR_SSL_X', 'a\n  b ')).parameters).toMatchObject({ found: 'a b' });
    expect(faultOf(Object.assign(coded('ERR_SSL_X'), { reason: 'bad record' })).parameters).toMatchObject({
      found: 'bad record',
    });
    expect(faultOf(new Error('odd')).parameters).toMatchObject({ found: 'odd' });
    expect(faultOf(coded('EHOSTUNREACH')).parameters).toMatchObject({ found: 'EHOSTUNREACH' });
    expect(faultOf(coded('ECONNRESET')).parameters).toMatchObject({ found: 'ECONNRESET' });
  });

  it('without a code is a timeout, or a date that nothing can read, where its text says so', () => {
    expect(faultOf(new Error('the TLS handshake has timed out'))).toMatchObject({
      code: 'connect_timeout',
      parameters: { seconds: 15 },
    });
    expect(faultOf(new Error("format error in certificate's notAfter field")).code).toBe('tls_date_unreadable');
  });

  it('names the issuer that was shown, and says so when none was', () => {
    const issuer = (over: object) => faultOf(coded('INVALID_CA'), over).parameters['issuer'];
    expect(issuer({})).toBe(shown.issuer.replaceAll('\n', ', '));
    expect(issuer({ shown: undefined })).toBe('an unknown authority');
    // Without a certificate nothing can be said of its issuer.
    expect(faultOf(coded('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), { shown: undefined, ca: [] }).code).toBe(
      'tls_unknown_authority',
    );
  });

  it('says the dates of the certificate that was shown', () => {
    expect(faultOf(coded('CERT_HAS_EXPIRED'), { now: new Date('2050-01-01') }).message).toContain('2046');
    expect(faultOf(coded('CERT_NOT_YET_VALID'), { now: new Date('2020-01-01') }).message).toMatch(/20\d\d-/);
    expect(faultOf(coded('CERT_NOT_YET_VALID'), { shown: undefined }).message).toContain('an unknown date');
  });

  it('stays what it is when it was explained already', () => {
    const error = refusal('busy', {});
    expect(faultOf(error)).toBe(error);
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
    expect(`${fault.message} ${fault.hint}`).not.toMatch(/\{\w+\}/);
    // No answer of a proxy ends all dialing.
    expect(fault.close).toBeUndefined();
  });

  it('of nginx to plain HTTP on its TLS port says so', () => {
    const body = '<html><title>400 The plain HTTP request was sent to HTTPS port</title>';
    expect(explainHttpAnswer({ ...target, secure: false }, 400, body).code).toBe('plain_on_secure_port');
  });

  it('of a server that speaks TLS to a port of an agent that dials plain is named only there', () => {
    const body = 'This port speaks TLS.';
    expect(explainHttpAnswer({ ...target, secure: false }, 400, body).code).toBe('plain_on_secure_port');
    expect(explainHttpAnswer({ ...target, secure: false }, 403, body).code).toBe('no_central');
    expect(explainHttpAnswer(target, 400, body).code).toBe('no_central');
  });

  it("of Central is Central's own words, bounded", () => {
    const long = 'x'.repeat(2_000);
    const body = JSON.stringify({ type: 'urn:queuegate:error:agent_revoked', detail: long, hint: long });
    const fault = explainHttpAnswer(target, 403, body);
    expect(fault.parameters['found']).toBe(`${'x'.repeat(1_024)} (agent_revoked)`);
    expect(fault.hint).toContain('x'.repeat(1_024));
    expect(fault.hint).not.toContain('x'.repeat(1_025));
    expect(explainHttpAnswer(target, 403, problem('agent_revoked')).message).toContain('No. (agent_revoked)');
  });

  it.each([
    ['', 'HTTP 200'],
    ['  \n<html>', 'HTTP 200'],
    [' <html>  \n<body>', 'HTTP 200 "<html>"'],
    ['x'.repeat(200), `HTTP 200 "${'x'.repeat(120)}"`],
    ['null', 'HTTP 200 "null"'],
    ['[]', 'HTTP 200 "[]"'],
    ['{"type":7}', 'HTTP 200 "{"type":7}"'],
    ['{"type":"urn:other:error:busy"}', 'HTTP 200 "{"type":"urn:other:error:busy"}"'],
    ['{"type":"urn:queuegate:error:busy"}', 'HTTP 200 "{"type":"urn:queuegate:error:busy"}"'],
    ['{"type":"urn:queuegate:error:busy","detail":"d"}', 'HTTP 200 "{"type":"urn:queuegate:error:busy","detail":"d"}"'],
  ])('of something else is shown by its first line: %j', (body, found) => {
    expect(explainHttpAnswer(target, 200, body)).toMatchObject({ code: 'no_central', parameters: { found } });
  });
});
