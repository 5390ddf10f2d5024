// The rules of callers as they are written, and what is wrong with rules beside each other.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { callerRuleText, callersFault, parseCallerRule } from '../../../central/parameters/caller-rule.ts';
import { defaultValues, type ParameterValues } from '../../../central/parameters/definitions.ts';
import { crossFaults, validateValue } from '../../../central/parameters/values.ts';

const root = readFileSync('test/fixtures/keystores/root-ec.crt', 'utf8');

it.each([
  ['10.1.0.0/16:viewer', '10.1.0.0/16:viewer'],
  ['10.1.2.3', '10.1.2.3:viewer'],
  ['10.1.2.3:operator', '10.1.2.3:operator'],
  ['fd00::/8', 'fd00::/8:viewer'],
  ['fd00::1:operator', 'fd00::1:operator'],
  ['certificate:master.bank.example:operator', 'certificate:master.bank.example:operator'],
  ['certificate:*', 'certificate:*:viewer'],
])('reads %s', (text, canonical) => {
  const rule = parseCallerRule(text);
  expect(rule && callerRuleText(rule)).toBe(canonical);
});

it.each([
  '',
  ':viewer',
  'viewer',
  '10.1.0.0/33:viewer',
  '10.1.2.3:boss',
  'fe80::1%eth0',
  'certificate:',
  'certificate:a b',
  'x'.repeat(300),
])('does not read "%s"', (text) => expect(parseCallerRule(text)).toBeUndefined());

it('says what is wrong with rules together', () => {
  const allow = (...texts: string[]) => texts.flatMap((text) => parseCallerRule(text) ?? []);
  expect(callersFault({ allow: [], clientCa: null })).toBeUndefined();
  expect(callersFault({ allow: allow('10.1.2.3:viewer', '10.1.2.3:operator'), clientCa: null })).toMatch(/two rules/);
  expect(callersFault({ allow: allow('certificate:*'), clientCa: null })).toMatch(/"clientCa" is missing/);
  expect(callersFault({ allow: allow('certificate:*'), clientCa: root })).toBeUndefined();
  expect(callersFault({ allow: allow('10.1.2.3'), clientCa: 'no PEM' })).toMatch(/there is no certificate in it/);
});

it('parameters hold rules in one form, and authorities only as PEM', () => {
  expect(validateValue('services.allow', ['10.1.2.3', '10.1.2.3:viewer'])).toEqual({ value: ['10.1.2.3:viewer'] });
  expect(validateValue('services.allow', ['10.1.2.3:boss'])).toMatchObject({ fault: { parameter: 'services.allow' } });
  expect(validateValue('services.clientCa', root)).toEqual({ value: root.trim() });
  expect(validateValue('services.clientCa', '')).toEqual({ value: '' });
  expect(validateValue('services.clientCa', 'CN=x')).toMatchObject({ fault: { parameter: 'services.clientCa' } });
  expect(validateValue('services.port', 0)).toEqual({ value: 0 });
});

it('parameters name each caller once, certificates with authorities only, and a port of their own', () => {
  const faultsOf = (change: Partial<ParameterValues>): string[] =>
    crossFaults({ ...defaultValues(), ...change }, new Set(Object.keys(change) as (keyof ParameterValues)[])).map(
      ({ parameter, text }) => `${parameter}: ${text}`,
    );
  expect(faultsOf({ 'services.allow': ['10.1.2.3:viewer', '10.1.2.3:operator'] })).toEqual([
    expect.stringMatching(/^services\.allow: .*10\.1\.2\.3 has two rules/),
  ]);
  expect(faultsOf({ 'services.allow': ['certificate:*:viewer'] })).toEqual([
    expect.stringMatching(/clientCa is missing/),
  ]);
  expect(faultsOf({ 'services.allow': ['certificate:*:viewer'], 'services.clientCa': root.trim() })).toEqual([]);
  expect(faultsOf({ 'services.port': defaultValues()['https.port'] })).toHaveLength(1);
  expect(faultsOf({ 'services.port': 8446 })).toEqual([]);
});
