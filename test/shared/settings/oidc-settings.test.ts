import { expect, it } from 'vitest';
import { callbackUrl, groupRoles, issuerUrl, oidcScopes } from '../../../shared/settings/oidc-settings.ts';

it('reads the roles of groups, whose names may have equals signs', () => {
  expect(groupRoles.parse('CN=noc,OU=it=operator; a b=viewer label:region=north,tier!=test ;')).toEqual([
    { group: 'CN=noc,OU=it', role: 'operator', scope: null },
    { group: 'a b', role: 'viewer', scope: 'label:region=north,tier!=test' },
  ]);
  expect(groupRoles.parse('')).toEqual([]);
  for (const bad of [
    'admins',
    'admins=boss',
    '=viewer',
    'a=viewer region=north',
    'a=viewer label:',
    'a=viewer label:x y',
  ])
    expect([bad, groupRoles.parse(bad)]).toEqual([bad, undefined]);
  expect(groupRoles.parse(Array.from({ length: 101 }, (_, i) => `g${i}=viewer`).join(';'))).toBeUndefined();
});

it('takes an issuer over https only, and one address to come back to', () => {
  for (const good of ['https://id.bank.example', 'https://id.bank.example/realms/bank'])
    expect(issuerUrl.parse(good)).toBe(good);
  for (const bad of ['http://id.bank.example', 'id.bank.example', 'https://id.bank.example/?a=b', 'https://a/#b'])
    expect([bad, issuerUrl.parse(bad)]).toEqual([bad, undefined]);
  for (const good of ['https://central.bank.example:8443/oidc/callback', 'http://localhost:8080/oidc/callback'])
    expect(callbackUrl.parse(good)).toBe(good);
  const elsewhere = 'http://central.bank.example/oidc/callback';
  for (const bad of [
    elsewhere,
    'https://central.bank.example/',
    'https://u:p@a/oidc/callback',
    'https://a/oidc/callback?x',
  ])
    expect([bad, callbackUrl.parse(bad)]).toEqual([bad, undefined]);
});

it('asks for openid in any case', () => {
  expect(oidcScopes.parse(' openid  groups ')).toBe('openid groups');
  for (const bad of ['', 'profile', 'openid "x"']) expect([bad, oidcScopes.parse(bad)]).toEqual([bad, undefined]);
});
