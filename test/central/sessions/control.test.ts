// Which part of Central a control frame of an agent goes to, and which parts learn of a new session.
import { describe, expect, it } from 'vitest';
import { createControl } from '../../../central/sessions/control.ts';
import type { Session } from '../../../central/sessions/session.ts';
import type { AgentControl } from '../../../shared/wire/messages.ts';
import { RELEASE_STATE } from './fake-agent.ts';

const session = { id: 's1' } as unknown as Session;
const thumbprint = '0'.repeat(64);
const frames: readonly AgentControl[] = [
  { type: 'renew', csr: '', thumbprint, signature: '' },
  { type: 'renew-installed', thumbprint },
  { type: 'trusted', thumbprints: [] },
  { type: 'trust-refused', code: 'x', detail: '', hint: '' },
  { type: 'consumers', position: null, inboxFull: false, consumers: [] },
  { type: 'expired', through: 0, items: [] },
  RELEASE_STATE,
  { type: 'services', services: [] },
  { type: 'task-states', through: 0, items: [] },
  { type: 'device-request', csr: '', names: [] },
];

describe('the control frames of an agent', () => {
  const calls: unknown[][] = [];
  const part = (name: string) => ({
    onOpened: (...words: unknown[]) => void calls.push([name, ...words]),
    onFrame: (...words: unknown[]) => void calls.push([name, ...words]),
  });
  const control = createControl({
    renewal: part('renewal'),
    trust: part('trust'),
    consumers: part('consumers'),
    expired: part('expired'),
    releases: part('releases'),
    services: part('services'),
    tasks: part('tasks'),
    devices: part('devices'),
  });

  it('go to the part that they are about, with their session', () => {
    for (const frame of frames) control.onFrame(session, frame);
    expect(calls.splice(0)).toEqual(
      ['renewal', 'renewal', 'trust', 'trust', 'consumers', 'expired', 'releases', 'services', 'tasks', 'devices'].map(
        (name, i) => [name, session, frames[i]],
      ),
    );
  });

  it('may follow a welcome: renewal, trust, releases and tasks learn of the session', () => {
    control.onOpened(session);
    expect(calls.splice(0)).toEqual([
      ['renewal', session],
      ['trust', session],
      ['releases', session],
      ['tasks', session],
    ]);
  });
});
