// How many agents have which release of a profile, as the routes of profiles count them.
import { expect, test } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { startRest, type Rest } from '../rest.ts';
import { memoryReleases } from '../../memory-releases.ts';
import { tarOf } from '../../tar.ts';

const [NEWER, OLDER] = ['a'.repeat(64), 'b'.repeat(64)];

async function start() {
  const asked: unknown[][] = [];
  const { profiles, profileReleases } = memoryReleases();
  const rest = await startRest(async () => ({
    profiles,
    profileReleases,
    rollouts: {
      async agentsPerRelease(profile: string | null, agentIds: readonly string[] | null) {
        asked.push([profile, agentIds]);
        return [
          { profile: 'Branch', release: NEWER, desiredCount: 20, reportedCount: 18 },
          { profile: 'branch', release: OLDER, desiredCount: 0, reportedCount: 1 },
          { profile: 'hub', release: 'c'.repeat(64), desiredCount: 7, reportedCount: 7 },
        ];
      },
    } as never,
  }));
  const files = async function* () {
    yield tarOf('conf/agent.conf', 'central.host=central.test\n');
  };
  await profiles.import('branch', files(), { actor: CENTRAL, replace: false });
  return { rest, asked };
}

const json = async (rest: Rest, path: string, headers?: Record<string, string>) =>
  (await (
    await rest.request('GET', path, headers === undefined ? { as: 'viewer' } : { as: null, headers })
  ).json()) as Record<string, unknown>;

test('a profile says how many agents shall have it and say that they run it, in all and by release', async () => {
  const { rest, asked } = await start();
  const counts = { desiredAgentCount: 20, reportedAgentCount: 19 };
  expect(await json(rest, '/profiles')).toMatchObject({ items: [{ name: 'branch', ...counts }] });
  expect(await json(rest, '/profiles/branch')).toMatchObject({
    ...counts,
    agents: [
      { release: `branch@${'a'.repeat(8)}`, digest: NEWER, desiredCount: 20, reportedCount: 18 },
      { release: `branch@${'b'.repeat(8)}`, digest: OLDER, desiredCount: 0, reportedCount: 1 },
    ],
  });
  expect(asked).toEqual([
    [null, null],
    ['branch', null],
  ]);
});

test('a token with a scope counts its own agents', async () => {
  const { rest, asked } = await start();
  for (const [id, region] of [
    ['a1', 'north'],
    ['a2', 'south'],
  ])
    rest.agents.push({ id, name: id, state: 'online', labels: { region } } as unknown as Rest['agents'][number]);
  const body = { name: 'n', role: 'viewer', scope: 'label:region=north' };
  const made = await rest.request('POST', '/api-tokens', { body });
  const { token } = (await made.json()) as { readonly token: string };
  await json(rest, '/profiles/branch', { authorization: `Bearer ${token}` });
  expect(asked).toEqual([['branch', ['a1']]]);
});
