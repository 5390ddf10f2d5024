import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeRecoveryCode, readRecoveryCode, recoveryKey, recoveryProof } from '../../../shared/wire/recovery.ts';

describe('a recovery code', () => {
  it('has a hundred random bits in letters that no one takes for others, and no two are the same', () => {
    const codes = Array.from({ length: 200 }, () => makeRecoveryCode());
    expect(new Set(codes).size).toBe(200);
    for (const code of codes) expect(code).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}$/);
    // Each of the 32 letters comes: five bits a letter, and twenty letters.
    expect(new Set(codes.join('').replaceAll('-', '')).size).toBe(32);
  });

  it('is read as people type it', () => {
    expect(readRecoveryCode('7KQ2M-X0D9A-4TPVE-63HJ1')).toBe('7KQ2MX0D9A4TPVE63HJ1');
    expect(readRecoveryCode(' 7kq2m xod9a 4tpve 63hjl ')).toBe('7KQ2MX0D9A4TPVE63HJ1');
    expect(readRecoveryCode('7KQ2MXOD9A4TPVE63HJI')).toBe('7KQ2MX0D9A4TPVE63HJ1');
    for (const none of [
      '',
      '7KQ2M-X0D9A-4TPVE-63HJ',
      '7KQ2M-X0D9A-4TPVE-63HJ12',
      '7KQ2M-X0D9A-4TPVE-63HJU',
      '7KQ2M-X0D9A-4TPVE-63HJ!',
      'ｏ'.repeat(20),
    ])
      expect(readRecoveryCode(none)).toBeUndefined();
  });

  it('proves code, name, id, pin and request: none of them can be changed', () => {
    const key = recoveryKey('7KQ2MX0D9A4TPVE63HJ1');
    const request = { name: 'branch', id: 'pc', pin: 'sha256:00', csrDer: Buffer.from('request') };
    const mac = recoveryProof(key, request);
    expect(mac).toBe(
      createHmac('sha256', key)
        .update('["queuegate.v1 recover","branch","pc","sha256:00","cmVxdWVzdA=="]')
        .digest('hex'),
    );
    expect(recoveryProof(key, { ...request })).toBe(mac);
    for (const changed of [
      { name: 'other' },
      { id: 'other' },
      { id: undefined },
      { pin: null },
      { pin: 'sha256:01' },
      { csrDer: Buffer.from('requesT') },
    ])
      expect(recoveryProof(key, { ...request, ...changed })).not.toBe(mac);
    expect(recoveryProof(recoveryKey('7KQ2MX0D9A4TPVE63HJ2'), request)).not.toBe(mac);
  });
});
