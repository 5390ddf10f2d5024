// When the agent asks for the certificate of its port for devices, which answers it takes, and what it keeps.
import type { X509Certificate } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { DeviceCertificate, namesIn } from '../../../../agent/local-api/devices/certificate.ts';
import { openAuthority, type Authority } from '../../../../central/pki/authority/authority.ts';
import { chainPem } from '../../../../central/pki/x509/certificate.ts';
import { readRequest } from '../../../../central/pki/x509/csr.ts';
import type { DeviceRequest } from '../../../../shared/wire/devices/frames.ts';
import type { AgentControl } from '../../../../shared/wire/messages.ts';
import { memoryStore } from '../../../central/fakes.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const DAY = 86_400_000;
let folder: string;
let clock: number;
let authority: Authority;

beforeEach(async () => {
  folder = temporaryFolder();
  clock = Date.now();
  authority = await openRoot();
});

async function openRoot(): Promise<Authority> {
  return await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: `c${clock}`, now: () => clock });
}

function agent(more: { trusted?: () => string[]; own?: () => X509Certificate | undefined } = {}) {
  const sent: AgentControl[] = [];
  const timers: (() => void)[] = [];
  let names: readonly string[] | undefined = ['hub'];
  let [changed, arrived] = [0, Promise.withResolvers<void>()];
  const notify = (): void => {
    arrived.resolve();
    arrived = Promise.withResolvers<void>();
  };
  const device = new DeviceCertificate({
    folder,
    names: () => names,
    trusted: async () => more.trusted?.() ?? [authority.pem],
    own: async () => more.own?.(),
    onChanged() {
      changed += 1;
      notify();
    },
    log: { debug() {}, info() {}, warn() {} },
    now: () => clock,
    after(_ms, run) {
      timers.push(run);
      return () => void timers.splice(timers.indexOf(run), 1);
    },
    random: () => 0,
  });
  const send = (frame: AgentControl): void => {
    sent.push(frame);
    notify();
  };
  return {
    device,
    sent,
    timers,
    changes: () => changed,
    setNames: (next: readonly string[] | undefined) => void (names = next),
    /** Does it, and waits for the next frame or change. */
    async next(act: () => void): Promise<void> {
      const { promise } = arrived;
      act();
      await promise;
    },
    send,
    async answer({ by = authority, for: issued = undefined as readonly string[] | undefined } = {}): Promise<void> {
      const { csr, names: asked } = sent.at(-1) as DeviceRequest;
      const { publicKey } = readRequest(csr);
      const made = await by.issueServer({ subject: 'CN=x', names: issued ?? asked, publicKey, lifetimeDays: 10 });
      await this.next(() => device.onFrame({ type: 'device-issued', pem: chainPem([made]) }));
    },
  };
}

it('is asked for when the agent is online, kept with its key in one file of mode 0600, and found again', async () => {
  const one = agent();
  await one.next(() => one.device.onOnline(one.send));
  expect(one.sent).toMatchObject([{ type: 'device-request', names: ['hub'] }]);
  await one.answer();
  const material = one.device.material();
  expect(material && namesIn(material)).toEqual(['hub']);
  expect((await stat(join(folder, 'device-port.pem'))).mode & 0o777).toBe(0o600);
  const again = agent();
  await again.device.load();
  expect(again.device.material()).toEqual(material);
  expect(one.device.fault()).toBeUndefined();
});

it('is asked for again at half of its life, for another name, and when another authority has signed since', async () => {
  const own: X509Certificate[] = [];
  const roots: string[] = [authority.pem];
  const one = agent({ trusted: () => roots, own: () => own.at(-1) });
  await one.next(() => one.device.onOnline(one.send));
  await one.answer();
  one.device.look();
  clock += 6 * DAY;
  await one.next(() => one.device.look());
  expect(one.sent).toHaveLength(2);
  await one.answer();
  one.setNames(['hub', '10.1.2.3']);
  await one.next(() => one.device.settingsChanged());
  expect(one.sent.at(-1)).toMatchObject({ names: ['hub', '10.1.2.3'] });
  await one.answer();
  clock += 60_000;
  const next = await openRoot();
  roots.push(next.pem);
  const { publicKey } = readRequest((one.sent.at(-1) as DeviceRequest).csr);
  own.push(await next.issueAgent({ id: 'a1', name: 'a1', publicKey, lifetimeDays: 10 }));
  await one.next(() => one.device.look());
  await one.answer({ by: next });
  expect(one.sent).toHaveLength(4);
  expect(one.device.material()?.certificate.issuer).toBe(next.certificate.subject);
});

it('is not taken from another authority or without a name; the one before stays', async () => {
  const one = agent();
  await one.next(() => one.device.onOnline(one.send));
  await one.answer({
    by: await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'x', now: () => clock }),
  });
  expect([one.device.material(), one.device.fault()?.code]).toEqual([undefined, 'device_certificate_unusable']);
  await one.next(() => one.device.settingsChanged());
  await one.answer({ for: ['other'] });
  expect(one.device.fault()?.message).toContain('it is not for hub');
});

it('says what Central refused or did not answer, and asks later', async () => {
  const one = agent();
  await one.next(() => one.device.onOnline(one.send));
  await one.next(() =>
    one.device.onFrame({ type: 'device-refused', code: 'device_name_taken', detail: 'd', hint: 'h' }),
  );
  expect(one.device.fault()).toMatchObject({ code: 'device_certificate_refused', hint: 'h' });
  clock += 2 * 60_000;
  await one.next(() => one.timers.at(-1)?.());
  await one.next(() => one.timers.at(-1)?.());
  expect(one.device.fault()).toMatchObject({ code: 'device_certificate_unanswered' });
  expect(one.changes()).toBe(2);
  one.device.onOffline();
  expect(one.timers).toEqual([]);
});

it('is not asked for when the port is off; a damaged file is as good as none', async () => {
  await writeFile(join(folder, 'device-port.pem'), 'x', { mode: 0o600 });
  const one = agent();
  one.setNames(undefined);
  await one.device.load();
  one.device.onOnline(one.send);
  one.setNames([]);
  await one.next(() => one.device.look());
  expect([one.sent, one.device.material(), one.device.fault()?.code]).toEqual([[], undefined, 'device_names_missing']);
});
