// Bait for parsers that backtrack, in all that an agent takes from Central, from files, and from programs on its host.
import { X509Certificate } from 'node:crypto';
import { createServer, request } from 'node:http';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readCertificateFile } from '../../agent/enrollment/certificate-file.ts';
import { enroll } from '../../agent/enrollment/enroll.ts';
import { trustCentral } from '../../agent/enrollment/command.ts';
import { openLocalApi } from '../../agent/local-api/listeners.ts';
import { LOCAL_API_FILE } from '../../agent/local-api/file.ts';
import { ConsumerTokens } from '../../agent/local-api/tokens.ts';
import { fakePorts } from './local-api/parts.ts';
import { loadOrCreateKey, saveIdentity, type AgentKey } from '../../agent/identity/identity.ts';
import { Renewal } from '../../agent/renewal/renewal.ts';
import { createTrustUpdates } from '../../agent/trust/updates.ts';
import { openAuthority, type Authority } from '../../central/pki/authority/authority.ts';
import { chainPem } from '../../central/pki/x509/certificate.ts';
import { MESSAGE_SCHEMA } from '../../shared/delivery/message.ts';
import { ENROLLED, ENROLLMENT_PENDING } from '../../shared/wire/enrollment.ts';
import { RENEWED, TRUST } from '../../shared/wire/messages.ts';
import { BAITS, CostCheck, stringPlaces, whateverComesOfIt } from '../bait.ts';
import { memoryStore } from '../central/fakes.ts';
import { Cleanup } from '../flow/processes.ts';

const proxies = { wss: undefined, ws: undefined };
const cleanup = new Cleanup();
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };
let folder: string;
let key: AgentKey;
let authority: Authority;

beforeAll(async () => {
  folder = await cleanup.folder();
  key = await loadOrCreateKey(folder);
  authority = await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now: Date.now });
});
afterAll(() => cleanup.run());

test('no renewed certificate of Central costs more CPU than its length', async () => {
  const certificate = chainPem([
    await authority.issueAgent({
      id: 'a1',
      name: 'branch',
      publicKey: new X509Certificate(authority.pem).publicKey,
      lifetimeDays: 1,
    }),
  ]);
  await saveIdentity(folder, {
    id: 'a1',
    name: 'branch',
    central: 'central.test',
    signingKey: 'S'.repeat(64),
    certificate,
    host: 'h',
    port: 1,
    secure: true,
  });
  const cost = new CostCheck();
  for (const { maxLength } of stringPlaces(RENEWED)) {
    for (const [bait, textOf] of Object.entries(BAITS)) {
      let asked = 0;
      const renewal = new Renewal({
        folder,
        freshKey: () => false,
        trusted: async () => [authority.pem],
        reconnect: () => undefined,
        onWritten: async () => undefined,
        onKey: () => undefined,
        log: SILENT,
        now: () => Date.now() + 2 * 86_400_000,
        after: () => () => undefined,
        random: () => 0,
      });
      renewal.onOnline(() => void (asked += 1), key);
      await renewal.alone(async () => undefined);
      expect(asked).toBe(1);
      const pem = textOf(maxLength);
      await cost.check(bait, async () => {
        renewal.onFrame({ type: 'renewed', pem });
        await renewal.alone(async () => undefined);
      });
    }
  }
  expect(cost.faults(30)).toEqual([]);
});

test('nothing that Central names to be trusted costs more CPU than its length', async () => {
  const cost = new CostCheck();
  const conf = {
    central: { secure: true, proxied: false, endpoints: [], port: 1, proxies },
    truststore: { path: `${folder}/truststore.p12`, password: 'changeit', declaredType: undefined, origin: 'test' },
    dataFolder: folder,
  };
  const control = createTrustUpdates({
    conf: async () => conf,
    dataFolder: folder,
    onWritten: async () => undefined,
    log: SILENT,
    now: Date.now,
  });
  const answered: (() => void)[] = [];
  control.onOnline(() => answered.shift()?.(), { key, time: 0, shown: () => [], shownNow: async () => [] });
  for (const { place, maxLength } of stringPlaces(TRUST).filter(({ place: at }) => at === '/pem')) {
    for (const [bait, textOf] of Object.entries(BAITS)) {
      const [pem, file] = [textOf(maxLength), textOf(256 * 1024)];
      await cost.check(`${place}, ${bait}`, async () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        answered.push(resolve);
        control.onFrame({ type: 'trust', pem, signature: 'AAAA' });
        await promise;
      });
      await cost.check(`roots of an enrollment, ${bait}`, () =>
        whateverComesOfIt(async () => await trustCentral(conf as unknown as Parameters<typeof trustCentral>[0], pem)),
      );
      await cost.check(`certificate file, ${bait}`, () => readCertificateFile(file, key, new Date()));
    }
  }
  expect(cost.faults(90)).toEqual([]);
});

test('no string in the answer to an enrollment costs more CPU than its length', async () => {
  const cost = new CostCheck();
  let answer: string;
  const server = createServer((_request, response) => response.end(answer));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const schema of [ENROLLED, ENROLLMENT_PENDING]) {
    for (const { place, maxLength, with: withText } of stringPlaces(schema)) {
      for (const [bait, textOf] of Object.entries(BAITS)) {
        answer = JSON.stringify(withText(textOf(maxLength)));
        await cost.check(`${place}, ${bait}`, () =>
          whateverComesOfIt(
            async () =>
              await enroll({
                url,
                token: undefined,
                pin: undefined,
                name: 'branch',
                id: undefined,
                key,
                proxies,
                waitMs: 0,
              }),
          ),
        );
      }
    }
  }
  server.closeAllConnections();
  server.close();
  expect(cost.faults(200)).toEqual([]);
});

test('no string that a local program sends costs more CPU than its length', async () => {
  const cost = new CostCheck();
  const dataFolder = await cleanup.folder();
  const ports = fakePorts();
  const settings = { port: 0, socket: join(dataFolder, 'local-api.sock'), group: undefined };
  const api = await openLocalApi({
    settings,
    dataFolder,
    tokens: await ConsumerTokens.open({ dataFolder, folder: dataFolder, consumers: [], now: ports.now }),
    ports,
    log: SILENT,
  });
  const { token, url } = JSON.parse(await readFile(join(dataFolder, LOCAL_API_FILE), 'utf8')) as {
    token: string;
    url: string;
  };
  // What is measured is the daemon: the client writes bytes that are ready.
  const call = async (method: string, path: string, body?: Buffer, authorization = `Bearer ${token}`): Promise<void> =>
    await new Promise((resolve, reject) => {
      const json = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length };
      const sent = request(`${url}${path}`, { method, headers: { authorization, ...json } }, (answer) =>
        answer.resume().on('close', resolve),
      );
      sent.on('error', reject).end(body);
    });
  for (const [bait, textOf] of Object.entries(BAITS)) {
    for (const { place, maxLength, with: withText } of stringPlaces(MESSAGE_SCHEMA)) {
      const event = Buffer.from(JSON.stringify(withText(textOf(maxLength))));
      await cost.check(`event${place}, ${bait}`, () => call('POST', '/api/v1/events', event));
    }
    const long = textOf(1_000_000);
    const [event, through] = [Buffer.from(long), Buffer.from(JSON.stringify({ through: long }))];
    await cost.check(`event as it is, ${bait}`, () => call('POST', '/api/v1/events', event));
    await cost.check(`acknowledgement, ${bait}`, () => call('POST', '/api/v1/commands/ack', through));
    const query = encodeURIComponent(textOf(2_000).toWellFormed());
    for (const name of ['limit', 'waitSeconds', 'x'])
      await cost.check(`query ${name}, ${bait}`, () => call('GET', `/api/v1/commands?${name}=${query}`));
    const text = textOf(8_000);
    await cost.check(`token, ${bait}`, () =>
      whateverComesOfIt(async () => await call('GET', '/api/v1/status', undefined, text)),
    );
  }
  await api.stop();
  expect(cost.faults(200)).toEqual([]);
});
