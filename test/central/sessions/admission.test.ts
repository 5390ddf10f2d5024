import { describe, expect, it } from 'vitest';
import { Admission, type Admitted } from '../../../central/sessions/admission.ts';
import type { CodedError } from '../../../shared/errors.ts';

const causeOf = (refused: unknown): unknown => ((refused as Error).cause as CodedError).code;

function admission(maxAgents: number, sessions = 0): Admission {
  return new Admission({ maxAgents: () => maxAgents, sessions: () => sessions, random: () => 0 });
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
});
