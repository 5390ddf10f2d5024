import { describe, expect, it } from 'vitest';
import { HandshakeFailures } from '../../../central/sessions/handshake-failures.ts';
import { handshakeFault, tlsFault } from '../../../central/listeners/accept/handshake-faults.ts';
import { createMetrics } from '../../../central/metrics.ts';

function failures() {
  const { instruments, registry } = createMetrics();
  const clock = { at: 1_000 };
  return {
    list: new HandshakeFailures(instruments.queuegate_handshake_failures_total, () => clock.at),
    clock,
    registry,
  };
}

const lost = handshakeFault('peer_left_in_tls', {});

describe('the record of failed handshakes', () => {
  it('counts by listener, cause and address, the last one first, and in the metrics', async () => {
    const { list, clock, registry } = failures();
    list.record('wss', lost, '::ffff:10.0.0.1');
    clock.at = 2_000;
    list.record('ws', handshakeFault('tls_on_plain', {}), '10.0.0.2');
    clock.at = 3_000;
    list.record('wss', lost, '10.0.0.1');
    expect(
      list
        .list({})
        .map(({ listener, cause, address, count, firstAt, lastAt }) => [
          listener,
          cause,
          address,
          count,
          firstAt,
          lastAt,
        ]),
    ).toEqual([
      ['wss', 'peer_left_in_tls', '10.0.0.1', 2, 1_000, 3_000],
      ['ws', 'tls_on_plain', '10.0.0.2', 1, 2_000, 2_000],
    ]);
    expect(list.list({ cause: 'tls_on_plain' })).toMatchObject([{ listener: 'ws' }]);
    expect(list.list({ address: '10.0.0.2' })).toMatchObject([{ listener: 'ws' }]);
    expect(list.list({ address: '::ffff:10.0.0.1', listener: 'wss' })).toHaveLength(1);
    expect(list.list({ listener: 'https' })).toEqual([]);
    expect(await registry.metrics()).toContain(
      'queuegate_handshake_failures_total{listener="wss",cause="peer_left_in_tls"} 2',
    );
  });

  it('is bounded: the one seen longest ago makes room, and how many did is reported', () => {
    const { list } = failures();
    for (let i = 0; i < 1_000; i += 1) list.record('wss', lost, `host-${i}`);
    list.record('wss', lost, 'host-0');
    list.record('wss', lost, 'stranger');
    const addresses = list.list({}).map(({ address }) => address);
    expect([addresses.length, addresses[0], addresses[1], addresses.includes('host-1'), list.dropped]).toEqual([
      1_000,
      'stranger',
      'host-0',
      false,
      1,
    ]);
  });
});

describe('tlsFault', () => {
  it.each([
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'peer_unknown_authority'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN', 'peer_rejects_certificate'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'peer_certificate_expired'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'peer_old_protocol'],
    ['ERR_SSL_NO_SHARED_CIPHER', 'peer_no_common_cipher'],
    ['ERR_TLS_HANDSHAKE_TIMEOUT', 'handshake_timeout'],
    ['ERR_SSL_SOMETHING_NEW', 'tls_handshake_failed'],
    ['ECONNRESET', undefined],
  ])('%s is %s', (code, cause) => {
    expect(tlsFault(Object.assign(new Error('no'), { code, reason: 'sslv3 alert bad thing' }), 10)?.code).toBe(cause);
  });

  it('tells the alert without the words of OpenSSL around it', () => {
    expect(
      tlsFault(
        Object.assign(new Error('no'), {
          code: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
          reason: 'ssl/tls alert bad certificate',
        }),
        10,
      )?.message,
    ).toContain('(TLS alert bad certificate)');
  });
});
