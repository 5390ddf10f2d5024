import { describe, expect, it, vi } from 'vitest';
import type { Descriptors } from '../../../central/listeners/limits/descriptors.ts';
import { Admission, maxHandshakes, type Admitted } from '../../../central/sessions/admission.ts';
import type { CodedError } from '../../../shared/errors.ts';

const causeOf = (refused: unknown): unknown => ((refused as Error).cause as CodedError).code;

function admission(maxAgents: number, sessions = 0, few: Partial<Descriptors> = {}): Admission {
  const descriptors = {
    sessions: 1_000,
    handshakes: () => 100_000,
    limit: 4_096,
    onSessionsFull: vi.fn<() => void>(),
    ...few,
  };
  return new Admission({
    maxAgents: () => maxAgents,
    descriptors,
    sessions: () => sessions,
    elsewhere: () => 0,
    random: () => 0,
  });
}

describe('handshakes', () => {
  it('2,000 agents of one address may be on the way to their welcome at once', () => {
    const door = admission(10_000);
    for (let i = 0; i < 2_000; i += 1)
      expect(door.enter('192.0.2.1', () => expect.unreachable())).toHaveProperty('leave');
    expect(door.pendingHandshakes).toBe(2_000);
  });

  it('the silent ones of one address give way to newcomers, who read `busy` and come back', () => {
    const door = admission(100);
    const busy: CodedError[] = [];
    for (let i = 0; i < 60; i += 1) door.enter('192.0.2.1', (fault) => busy.push(fault));
    expect(door.pendingHandshakes).toBe(25);
    expect(busy.map((fault) => [fault.code, fault.retryable, causeOf(fault)])).toEqual(
      Array.from({ length: 35 }, () => ['busy', true, 'place_given_up']),
    );
    for (const address of ['192.0.2.2', '2001:db8::1'])
      expect(door.enter(address, () => expect.unreachable())).toHaveProperty('leave');
  });

  it('one who has said hello keeps its place; then more from its address read `busy`', () => {
    const door = admission(100);
    for (let i = 0; i < 25; i += 1) (door.enter('192.0.2.1', () => expect.unreachable()) as Admitted).works();
    const refused = door.enter('192.0.2.1', () => expect.unreachable());
    expect([(refused as CodedError).code, causeOf(refused)]).toEqual(['busy', 'address_share_full']);
  });

  it('none begins while as many agents are connected as this installation is made for', () => {
    expect(causeOf(admission(100, 100).enter('192.0.2.1', () => undefined))).toBe('places_full');
  });

  it('none begins while the file descriptors for agents are in use, which is reported', () => {
    const onSessionsFull = vi.fn<() => void>();
    const refused = admission(100, 7, { sessions: 7, onSessionsFull }).enter('192.0.2.1', () => undefined);
    expect([(refused as CodedError).code, causeOf(refused)]).toEqual(['busy', 'descriptors_full']);
    expect(onSessionsFull).toHaveBeenCalledOnce();
  });

  it('are at most as many at once as there are file descriptors for them', () => {
    const few = admission(10_000, 0, { handshakes: () => 3 });
    for (let i = 0; i < 3; i += 1) (few.enter(`192.0.2.${i}`, () => expect.unreachable()) as Admitted).works();
    expect((few.enter('192.0.2.9', () => undefined) as CodedError).code).toBe('busy');
  });

  it('of half of all agents may be in progress, rounded up, and fifty at least', () => {
    expect([10_000, 101, 100, 10].map((maxAgents) => maxHandshakes(maxAgents))).toEqual([5_000, 51, 50, 50]);
  });

  it('that are refused are spread over the time that Central needs for all agents', () => {
    const seconds = (maxAgents: number, random: number): number =>
      new Admission({
        maxAgents: () => maxAgents,
        descriptors: { sessions: 1, handshakes: () => 1, limit: 1, onSessionsFull: () => undefined },
        sessions: () => 0,
        elsewhere: () => 0,
        random: () => random,
      }).retryAfterSeconds();
    expect([seconds(10_000, 0), seconds(10_000, 0.5), seconds(10_000, 0.999)]).toEqual([1, 11, 21]);
    // A small installation has a second to spread over.
    expect([seconds(10, 0), seconds(10, 0.999)]).toEqual([1, 2]);
  });
});

it('counts the agents of other nodes', () => {
  const open = (elsewhere: number): boolean => {
    const descriptors = { sessions: 100, handshakes: () => 100, limit: 100, onSessionsFull: () => undefined };
    const port = { maxAgents: () => 10, descriptors, sessions: () => 4, elsewhere: () => elsewhere, random: () => 0 };
    return 'leave' in new Admission(port).enter('192.0.2.1', () => undefined);
  };
  expect([open(5), open(6)]).toEqual([true, false]);
});
