import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeDefaultProfile } from '../../agent/profile.ts';
import { temporaryFolder } from '../central/pki/folder.ts';

describe('the default profile', () => {
  it('is made from the packaged one where there is none, without what belongs to another agent', async () => {
    const folder = temporaryFolder().path('.');
    const packaged = join(folder, 'packaged');
    mkdirSync(join(packaged, 'conf/security'), { recursive: true });
    for (const file of [
      'agent.conf',
      'agent.local.conf',
      'security/README.md',
      'security/truststore.jks',
      'security/pw',
    ])
      writeFileSync(join(packaged, 'conf', file), file);
    const made = join(folder, 'profiles/default');
    expect(await makeDefaultProfile(made, packaged)).toBe(true);
    expect(readdirSync(join(made, 'conf'), { recursive: true, encoding: 'utf8' }).toSorted()).toEqual([
      'agent.conf',
      'agent.local.conf',
      'security',
      'security/README.md',
    ]);
    expect(readFileSync(join(made, 'conf/agent.conf'), 'utf8')).toBe('agent.conf');
  });

  it('is left as it is where there is one', async () => {
    const made = temporaryFolder().path('.');
    writeFileSync(join(made, 'mine'), '');
    expect(await makeDefaultProfile(made)).toBe(false);
    expect(readdirSync(made)).toEqual(['mine']);
  });

  it('that is packaged has what an agent needs', async () => {
    const made = join(temporaryFolder().path('.'), 'profiles/default');
    expect(await makeDefaultProfile(made)).toBe(true);
    expect(readdirSync(join(made, 'conf'))).toEqual(
      expect.arrayContaining(['agent.conf', 'agent.local.conf', 'security']),
    );
  });
});
