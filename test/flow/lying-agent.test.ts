// An agent that lies in a rotation: about roots that it does not have, or that another agent has, and about
// certificates. It speaks for itself only; what it is not asked about ends its session.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent, type HelloOrder } from './raw-agent.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
// For each attempt: names and counts of a first one would fail the second.
beforeEach(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});
afterEach(() => cleanup.run());

async function enrolled(name: string): Promise<HelloOrder> {
  const key = newKey();
  return { key, name, id: await enrollKey(central, key, name) };
}

async function online(order: HelloOrder): Promise<RawAgent> {
  const raw = await RawAgent.wss(cleanup, central);
  await raw.welcomed({ ...order, change: { capabilities: ['trust', 'renewal'] } });
  return raw;
}

/** Waits until the bundle that it was sent last has so many roots. */
async function sentRoots(raw: RawAgent, count: number): Promise<void> {
  const roots = (frame?: Record<string, unknown>): number =>
    String(frame?.['pem']).split('BEGIN CERTIFICATE').length - 1;
  await until(
    () => roots(raw.frames.findLast(({ type }) => type === 'trust')) === count || undefined,
    15_000,
    () => `${count} roots were not sent last: ${JSON.stringify(raw.frames.map((f) => [f.type, roots(f)]))}`,
  );
}

const rotate = (step: string) => central.rest('POST', `/ca/rotation/${step}`);

interface Progress {
  readonly trust: { readonly acknowledgedCount: number };
}

const progress = async (): Promise<Progress> => (await central.rest('GET', '/ca/rotation')).body as Progress;

describe('an agent that lies in a rotation', () => {
  it('acknowledges no root that it was not sent, and nothing for another agent; the switch waits for the honest one', async () => {
    const [lying, honest] = [await enrolled('lying'), await enrolled('honest')];
    const [liar, other] = [await online(lying), await online(honest)];
    await rotate('prepare');
    await rotate('publish');
    const thumbprints = ((await central.rest('GET', '/ca')).body.generations as { thumbprint: string }[]).map(
      ({ thumbprint }) => thumbprint,
    );
    const lie = { type: 'trusted', thumbprints: [...thumbprints, 'e'.repeat(64)] };
    await sentRoots(liar, 2);
    liar.send(lie);
    await until(async () => ((await progress()).trust.acknowledgedCount === 1 ? true : undefined));
    // Only the old root is published again, and it still claims both: it is asked once more when the new one is
    // published again.
    await rotate('rollback');
    await sentRoots(liar, 1);
    liar.send(lie);
    await rotate('publish');
    await sentRoots(liar, 2);
    expect((await progress()).trust.acknowledgedCount).toBe(0);
    liar.send(lie);
    await until(async () => ((await progress()).trust.acknowledgedCount === 1 ? true : undefined));
    expect(await rotate('switch')).toMatchObject({
      status: 409,
      body: { code: 'would_cut_off_agents', detail: expect.stringMatching(/1 agent: honest/) },
    });
    other.send({ type: 'trusted', thumbprints });
    await until(async () => ((await progress()).trust.acknowledgedCount === 2 ? true : undefined));
    expect((await rotate('switch')).status).toBe(200);
    // What it claimed changes nothing for the step that cuts off: its certificate is of the authority before.
    expect(await rotate('retire')).toMatchObject({ status: 409, body: { detail: expect.stringContaining('lying') } });
    expect((await central.agent('honest'))?.['state']).toBe('online');
  });

  it('confirms no certificate that it was not sent: one of another agent ends its session', async () => {
    const lying = await enrolled('liar-2');
    await enrolled('honest-2');
    const { certificate } = (await central.agent('honest-2')) as { certificate: { thumbprint: string } };
    const liar = await online(lying);
    liar.send({ type: 'renew-installed', thumbprint: certificate.thumbprint });
    expect((await liar.close()).code).toBe(4510);
    expect((await central.agent('honest-2'))?.['certificate']).toEqual(certificate);
  });
});
