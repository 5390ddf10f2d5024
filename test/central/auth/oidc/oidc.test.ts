// The roles of people, and how many may wait for the provider; with a provider that answers what a test says.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createOidc, MAX_EXCHANGES, MAX_EXCHANGES_OF_BLOCK, openOidc } from '../../../../central/auth/oidc/oidc.ts';
import type { Identity, Provider } from '../../../../central/auth/oidc/provider.ts';
import { callerOf } from '../../../../central/auth/sign-in/sign-ins.ts';
import { parseScope } from '../../../../central/agents/scope.ts';
import { groupRoles, type OidcSettings } from '../../../../shared/settings/oidc-settings.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const settingsWith = (roles: string, more: Partial<OidcSettings> = {}): OidcSettings => ({
  issuer: 'https://id.bank.example',
  clientId: 'queuegate',
  clientSecretFile: '/none',
  redirectUri: 'https://central.bank.example:8443/oidc/callback',
  scopes: 'openid',
  groupsClaim: 'groups',
  roles: groupRoles.parse(roles) ?? [],
  caFile: undefined,
  ...more,
});

const providerOf = (identity: Identity): Provider => ({
  begin: async () => ({
    location: 'https://id.bank.example/auth',
    expected: { state: 's', nonce: 'n', verifier: 'v' },
  }),
  finish: async () => identity,
});

async function personWith(roles: string, groups: readonly string[] | undefined, more: Partial<OidcSettings> = {}) {
  const provider = providerOf({ subject: '42', name: 'anna', groups });
  const oidc = createOidc({ settings: settingsWith(roles, more), provider, now: () => 1 });
  const { id } = await oidc.begin('10.0.0.1', undefined);
  return (await oidc.finish('10.0.0.1', id, new URLSearchParams())).person;
}

describe('a person', () => {
  it('has the role of the first entry whose group the person has', async () => {
    const roles = 'north=operator label:region=north,tier!=test; CN=a,OU=b=administrator; all=viewer';
    expect(await personWith(roles, ['all', 'CN=a,OU=b'])).toMatchObject({ role: 'administrator', group: 'CN=a,OU=b' });
    expect(await personWith(roles, ['all'])).toMatchObject({ role: 'viewer', scope: null });
    const scope = 'label:region=north,tier!=test';
    expect(await personWith(roles, ['CN=a,OU=b', 'north'])).toMatchObject({ role: 'operator', scope });
    expect(parseScope(scope).terms).toHaveLength(2);
  });

  it('without such a group is refused, and so is one whose groups are not told; what is named is bounded', async () => {
    await expect(personWith('all=viewer', undefined)).rejects.toMatchObject({ code: 'oidc_groups_missing' });
    await expect(personWith('all=viewer', [])).rejects.toMatchObject({ code: 'oidc_no_role', status: 403 });
    const many = Array.from({ length: 5_000 }, (_, i) => `${'g'.repeat(500)}${i}`);
    const bounded = expect.stringMatching(/^.{300,999}, and 4990 more\.$/);
    await expect(personWith('all=viewer', many)).rejects.toMatchObject({ message: bounded });
  });

  it('is counted by issuer and subject, whatever the name; another rule is another session', async () => {
    const person = await personWith('all=viewer', ['all']);
    const other = await personWith('all=operator', ['all']);
    expect(other.rules).not.toBe(person.rules);
    expect((await personWith('all=viewer', ['all'])).rules).toBe(person.rules);
    expect(callerOf({ ...person, name: 'administrator' }).tokenId).toBe(callerOf(person).tokenId);
    expect(callerOf({ ...person, subject: '43' }).tokenId).not.toBe(callerOf(person).tokenId);
    expect(callerOf(person).name).toBe('anna (42 of https://id.bank.example)');
  });

  it('whose sign-in this browser did not begin is not asked for', async () => {
    const oidc = createOidc({ settings: settingsWith(''), provider: providerOf({} as Identity), now: () => 1 });
    for (const id of [undefined, 'x'])
      await expect(oidc.finish('10.0.0.1', id, new URLSearchParams())).rejects.toMatchObject({
        code: 'oidc_sign_in_unknown',
        hint: 'Sign in again at https://central.bank.example:8443/sign-in.',
      });
  });
});

it('so many sign-ins of an address, and of all, wait for the provider at once, and no more', async () => {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const provider: Provider = {
    ...providerOf({} as Identity),
    begin: async () => {
      await promise;
      return { location: 'x', expected: { state: 's', nonce: 'n', verifier: 'v' } };
    },
  };
  const oidc = createOidc({ settings: settingsWith(''), provider, now: () => 1 });
  const begun = (address: string, count: number) =>
    Array.from({ length: count }, () =>
      oidc.begin(address, undefined).then(
        () => 'begun',
        (e: { code: string }) => e.code,
      ),
    );
  const own = begun('10.0.0.1', MAX_EXCHANGES_OF_BLOCK + 1);
  expect(await own.at(-1)).toBe('oidc_busy');
  const others = Array.from({ length: MAX_EXCHANGES }, (_, i) => begun(`10.0.1.${i}`, 1)).flat();
  expect(await others.at(-1)).toBe('oidc_busy');
  resolve(undefined);
  const done = await Promise.all([...own, ...others]);
  expect(done.filter((one) => one === 'begun')).toHaveLength(MAX_EXCHANGES);
  expect(await begun('10.0.0.1', 1)[0]).toBe('begun');
});

it('a secret that is not one line, and a file without certificates, refuse the start', async () => {
  const folder = temporaryFolder();
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const warned: object[] = [];
  const open = (more: Partial<OidcSettings>) =>
    openOidc(settingsWith('a=viewer', more), { warn: (facts) => warned.push(facts) }, () => 1);
  await expect(open({ clientSecretFile: write('empty', ' \n') })).rejects.toMatchObject({ code: 'oidc_file_bad' });
  await expect(open({ clientSecretFile: write('two', 'a\nb') })).rejects.toMatchObject({ code: 'oidc_file_bad' });
  await expect(open({ clientSecretFile: join(folder, 'none') })).rejects.toMatchObject({ code: 'file_missing' });
  const clientSecretFile = write('good', 'secret\n');
  chmodSync(clientSecretFile, 0o600);
  warned.length = 0;
  await expect(open({ clientSecretFile, caFile: write('ca', 'x') })).rejects.toMatchObject({ code: 'oidc_file_bad' });
  expect((await open({ clientSecretFile })).redirectUri).toContain('/oidc/callback');
  expect(warned).toEqual([]);
});
