// A disk that goes back in time, Central's or the agent's, each alone: nothing is missing in silence
// (docs/RELIABILITY.md, promise 3).
import { afterEach, describe, expect, it } from 'vitest';
import { Cleanup } from '../flow/processes.ts';
import { ids, Site } from './restored-site.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const till = (names: readonly string[]): string[] => names.map((id) => `/till ${id}`);
/** Both logs restart in one connection, in no set order. */
const byDirection = <T extends { readonly direction: string }>(restarts: readonly T[]): T[] =>
  restarts.toSorted((a, b) => a.direction.localeCompare(b.direction));

/** Five events and three commands are on both sides: the state of yesterday. */
async function yesterday(): Promise<Site> {
  const site = await Site.open(cleanup);
  await site.post(ids('e', 1, 5));
  await site.command(ids('c', 1, 3));
  await site.quiet();
  expect(await site.take()).toEqual(ids('c', 1, 3));
  return site;
}

/** Five more events and three more commands: the state of today. */
async function today(site: Site): Promise<void> {
  await site.post(ids('e', 6, 10));
  await site.command(ids('c', 4, 6));
  await site.quiet();
  expect(await site.events()).toEqual(till(ids('e', 1, 10)));
}

describe("Central's data folder from yesterday", () => {
  it('begins new logs, records the range on both sides, delivers all that was not acknowledged, and tells consumers', async () => {
    const site = await yesterday();
    await site.central.stop();
    const bringBack = await site.copyOf('central');
    await site.startCentral();
    await today(site);
    const { body: page } = await site.central.rest('GET', '/events?after=oldest');
    await site.central.stop();
    // While Central is away: acknowledged to the local program only.
    await site.post(ids('e', 11, 13));
    await bringBack();
    await site.startCentral();

    // Before the agent is back: a consumer from before is ahead of everything, and gets an error.
    expect(await site.central.rest('GET', `/events?after=${page.next}`)).toMatchObject({
      status: 410,
      body: { type: 'urn:queuegate:error:cursor_ahead' },
    });
    await site.command(['c7']);
    await site.quiet();

    // What was acknowledged and is gone is what the records name, number by number.
    expect(await site.events()).toEqual(till([...ids('e', 1, 5), ...ids('e', 11, 13)]));
    const records = [
      { direction: 'down', from: 4, through: 6 },
      { direction: 'up', from: 6, through: 10 },
    ];
    expect(byDirection(await site.recordedAtCentral())).toEqual(records);
    expect(byDirection(await site.recordedAtAgent())).toEqual(records);
    // The agent kept the commands that Central forgot, and has the new one.
    expect(await site.take()).toEqual(ids('c', 4, 7));

    // From here on nothing is out of the ordinary.
    await site.post(['e14']);
    await site.command(['c8']);
    await site.quiet();
    expect((await site.events()).at(-1)).toBe('/till e14');
    expect(await site.take()).toEqual(['c8']);
    expect(byDirection(await site.recordedAtCentral())).toEqual(records);
  }, 90_000);
});

describe("the agent's data folder from yesterday", () => {
  it('begins new logs, records the range on both sides, and delivers all that was not acknowledged', async () => {
    const site = await yesterday();
    await site.agent.stop();
    const bringBack = await site.copyOf('agent');
    await site.startAgent();
    await today(site);
    expect(await site.take()).toEqual(ids('c', 4, 6));
    await site.agent.stop();
    await site.command(ids('c', 7, 8));
    await bringBack();
    await site.startAgent();
    await site.quiet();
    await site.post(['e11']);
    await site.quiet();

    // Central kept the events that the agent's disk forgot.
    expect(await site.events()).toEqual(till(ids('e', 1, 11)));
    // The commands 4 to 6 were acknowledged and are gone from this disk, which is what the records say.
    expect(await site.take()).toEqual(ids('c', 7, 8));
    const records = [
      { direction: 'down', from: 4, through: 6 },
      { direction: 'up', from: 6, through: 10 },
    ];
    expect(byDirection(await site.recordedAtAgent())).toEqual(records);
    expect(byDirection(await site.recordedAtCentral())).toEqual(records);
  }, 90_000);

  it('takes no other message for one that Central has, though number and id are the same', async () => {
    const site = await yesterday();
    await site.agent.stop();
    const bringBack = await site.copyOf('agent');
    await site.startAgent();
    await today(site);
    await site.agent.stop();
    await site.central.stop();
    await bringBack();
    await site.startAgent();
    // Without a line: the same numbers and ids once more, from another source, up to one that Central has under that
    // number.
    await site.post(ids('e', 6, 9), '/kiosk');
    await site.post(['e10'], '/till');
    await site.post(['e11'], '/kiosk');
    await site.startCentral();
    await site.quiet();

    // e10 of the till is known and not stored again; everything else that was acknowledged is there.
    expect(await site.events()).toEqual([
      ...till(ids('e', 1, 10)),
      ...[...ids('e', 6, 9), 'e11'].map((id) => `/kiosk ${id}`),
    ]);
    const up = { direction: 'up', from: 6, through: 11 };
    expect(await site.recordedAtAgent()).toContainEqual(up);
    expect(await site.recordedAtCentral()).toContainEqual(up);
  }, 90_000);
});
