// Which part of an agent a control frame of Central goes to, and that each part learns of every session.
import { describe, expect, it } from 'vitest';
import { createControl, NO_CONTROL, type ControlLine } from '../../../agent/connection/control.ts';
import type { CentralControl } from '../../../shared/wire/messages.ts';

const frames: Readonly<Record<string, CentralControl>> = {
  renewed: { type: 'renewed', pem: 'p' },
  'renew-refused': { type: 'renew-refused', code: 'c', detail: 'd', hint: 'h' },
  'renew-now': { type: 'renew-now', spreadSeconds: 1 },
  trust: { type: 'trust', pem: 'p', signature: 's' },
  'expired-recorded': { type: 'expired-recorded', through: 1 },
  'release-cancel': { type: 'release-cancel', kind: 'profile', generation: 1 },
  'release-measure': { type: 'release-measure' },
  'task-states-recorded': { type: 'task-states-recorded', through: 1 },
  'task-cancel': { type: 'task-cancel', tasks: [] },
  'device-issued': { type: 'device-issued', pem: 'p' },
  'device-refused': { type: 'device-refused', code: 'c', detail: 'd', hint: 'h' },
};

function recorded() {
  const calls: unknown[][] = [];
  const part = (name: string) => ({
    onOnline: (...words: unknown[]) => void calls.push([name, 'online', ...words]),
    onFrame: (frame: CentralControl) => void calls.push([name, frame.type]),
    onOffline: () => void calls.push([name, 'offline']),
  });
  const control = createControl({
    renewal: part('renewal'),
    trust: part('trust'),
    consumers: part('consumers'),
    expired: part('expired'),
    releases: part('releases'),
    streams: {
      http: { ...part('services'), onStream: (stream) => void calls.push(['http', stream.id]) },
      taskLogs: { onStream: (stream) => void calls.push(['task-log', stream.id]) },
    },
    tasks: part('tasks'),
    devices: part('devices'),
  });
  return { control, calls };
}

describe('the control of a connection', () => {
  it('names in the hello what Central may ask for', () => {
    expect(recorded().control.capabilities).toEqual([
      'renewal',
      'trust',
      'consumers',
      'expired',
      'deduplication',
      'releases.1',
      'releases.measure',
      'streams.1',
      'tasks.1',
      'devices.1',
    ]);
    expect(NO_CONTROL.capabilities).toEqual([]);
  });

  it('gives each frame to the part that it is about', () => {
    const { control, calls } = recorded();
    for (const frame of Object.values(frames)) {
      control.onFrame(frame);
      NO_CONTROL.onFrame(frame);
    }
    expect(calls).toEqual([
      ['renewal', 'renewed'],
      ['renewal', 'renew-refused'],
      ['renewal', 'renew-now'],
      ['trust', 'trust'],
      ['expired', 'expired-recorded'],
      ['releases', 'release-cancel'],
      ['releases', 'release-measure'],
      ['tasks', 'task-states-recorded'],
      ['tasks', 'task-cancel'],
      ['devices', 'device-issued'],
      ['devices', 'device-refused'],
    ]);
  });

  it('says to each part when a session begins, with what it needs, and when it ends', () => {
    const { control, calls } = recorded();
    const send = (): void => undefined;
    const line = { key: { thumbprint: 't' } } as unknown as ControlLine;
    control.onOnline(send, line);
    control.onOffline();
    expect(calls).toEqual([
      ['renewal', 'online', send, line.key],
      ['trust', 'online', send, line],
      ['consumers', 'online', send],
      ['expired', 'online', send],
      ['releases', 'online', send, line],
      ['services', 'online', send],
      ['tasks', 'online', send],
      ['devices', 'online', send],
      ['renewal', 'offline'],
      ['trust', 'offline'],
      ['consumers', 'offline'],
      ['expired', 'offline'],
      ['releases', 'offline'],
      ['services', 'offline'],
      ['tasks', 'offline'],
      ['devices', 'offline'],
    ]);
  });
});
