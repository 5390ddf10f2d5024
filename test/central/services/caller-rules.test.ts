// Roles of callers by address, and what an administrator may set. Certificates: test/flow/services.test.ts.
import { describe, expect, test } from 'vitest';
import { assertSettings, CallerRules } from '../../../central/services/caller-rules.ts';
import type { AllowRule, ExposureSettings } from '../../../central/store/services/exposure-store.ts';

const rule = (address: string, role: AllowRule['role'] = 'viewer'): AllowRule => ({ address, certificate: null, role });
const settings = (changes: Partial<ExposureSettings>): ExposureSettings => ({
  service: 'jobs',
  allow: [rule('10.0.0.1')],
  clientCa: null,
  ...changes,
});

describe('a caller', () => {
  const rules = new CallerRules(
    settings({
      allow: [
        rule('10.1.0.0/16'),
        rule('10.1.2.3', 'operator'),
        rule('10.0.0.0/8', 'operator'),
        rule('fd00::/8', 'operator'),
      ],
    }),
  );
  const roleOf = (address: string, method = 'GET'): string => {
    try {
      return rules.callerOf(undefined, address, method).role;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  test('has the role of the smallest block with its address', () => {
    expect(['10.1.9.9', '10.1.2.3', '10.2.0.1', '::ffff:10.1.9.9', 'fd00::1'].map((from) => roleOf(from))).toEqual([
      'viewer',
      'operator',
      'operator',
      'viewer',
      'operator',
    ]);
    expect(['11.0.0.1', '::1', '', 'unknown'].map((from) => roleOf(from))).toEqual(
      Array.from({ length: 4 }, () => 'service_access_denied'),
    );
  });

  test('may only read as a viewer', () => {
    expect(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => roleOf('10.1.9.9', method))).toEqual([
      'viewer',
      'viewer',
      ...Array.from({ length: 4 }, () => 'service_access_denied'),
    ]);
    expect(roleOf('10.1.2.3', 'DELETE')).toBe('operator');
  });

  test('without a certificate has no role where authorities are set', () => {
    const strict = new CallerRules(settings({ clientCa: 'PEM' }));
    expect(() => strict.callerOf(undefined, '10.0.0.1', 'GET')).toThrow(
      /requires a client certificate: none was shown/,
    );
  });
});

test.each<[string, Partial<ExposureSettings>, RegExp]>([
  ['no rule', { allow: [] }, /has no rule/],
  ['an address that is none', { allow: [rule('10.1.0.0/33')] }, /"10.1.0.0\/33" is not a CIDR block/],
  ['a name as an address', { allow: [rule('master.example')] }, /is not a CIDR block/],
  ['two rules for one block', { allow: [rule('10.0.0.1'), rule('10.0.0.1', 'operator')] }, /has two rules/],
  [
    'a rule without address and certificate',
    { allow: [{ address: null, certificate: null, role: 'viewer' }] },
    /or neither/,
  ],
  [
    'a certificate without authorities',
    { allow: [{ address: null, certificate: '*', role: 'viewer' }] },
    /"clientCa" is missing/,
  ],
  ['authorities that are none', { clientCa: 'hello' }, /"clientCa" cannot be used/],
])('settings with %s are refused', (_name, changes, text) => {
  expect(() => assertSettings(settings(changes))).toThrow(text);
});
