// Who a device is by its client certificate, over real TLS: by the names in it, and only while certificate, authorities
// and names count.
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { readConsumers } from '../../../../agent/consumer-settings.ts';
import { DeviceCallers } from '../../../../agent/local-api/devices/callers.ts';
import { isCoded } from '../../../../shared/errors.ts';
import { parseProperties } from '../../../../shared/settings/properties.ts';
import { makeBank, sameBank, type Bank, type Issued } from '../../../central/pki/server/bank.ts';

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const consumers = (text: string) =>
  readConsumers([parseProperties(Buffer.from(`consumer.tills.types=t\n${text}`), 'f')]);

function clientCertificate(bank: Bank, file: string, names = `subjectAltName=DNS:${file}`, by = bank.root): Issued {
  return bank.issue(file, { extensions: ['basicConstraints=CA:FALSE', 'extendedKeyUsage=clientAuth', names], by });
}

/** Asks on one connection who it is, as often as wanted. */
async function setUp(bank: Bank, conf: string) {
  let now = Date.now();
  const callers = new DeviceCallers(() => now);
  callers.use(bank.root.certificate, consumers(conf));
  const { certificate: cert, key } = bank.issue('hub', { by: bank.root });
  const server = createServer({ cert, key, ca: bank.root.certificate, requestCert: true, rejectUnauthorized: false });
  const carriers: Socket[] = [];
  const sockets: TLSSocket[] = [];
  server.on('connection', (carrier: Socket) => {
    callers.began(carrier);
    carriers.push(carrier);
  });
  server.on('secureConnection', (socket: TLSSocket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  ends.push(() => server.close());
  await once(server, 'listening');
  return {
    callers,
    pass: (ms: number) => void (now += ms),
    dial: async (shown?: Issued) => {
      const own = shown === undefined ? {} : { cert: shown.certificate, key: shown.key };
      const { port } = server.address() as AddressInfo;
      const servername = 'central.test';
      const socket = connect({ host: '127.0.0.1', port, servername, ca: bank.root.certificate, ...own });
      ends.push(() => socket.destroy());
      await Promise.all([once(socket, 'secureConnect'), once(server, 'secureConnection')]);
      const [carrier, secure] = [carriers.at(-1), sockets.at(-1)];
      return () => {
        const found = carrier && callers.consumerOf(secure, carrier);
        return isCoded(found) ? `${found.code}: ${found.message}` : found;
      };
    },
  };
}

it('is the consumer that names a host name of it, else the one of all others; a wildcard in it is not any name', async () => {
  const bank = sameBank();
  const conf = 'consumer.tills.certificates=Till-1.bank, cn.bank\nconsumer.rest.types=r\nconsumer.rest.certificates=*';
  const { dial } = await setUp(bank, conf);
  expect((await dial(clientCertificate(bank, 'till-1.bank')))()).toBe('tills');
  expect((await dial(clientCertificate(bank, 'cn.bank', 'keyUsage=digitalSignature')))()).toBe('tills');
  expect((await dial(clientCertificate(bank, 'any', 'subjectAltName=DNS:*.bank')))()).toBe('rest');
  expect((await dial())()).toBeUndefined();
});

it('is not accepted of another authority, for another use, with another name, and once it has expired', async () => {
  const bank = sameBank();
  const { dial, pass } = await setUp(bank, 'consumer.tills.certificates=till-1.bank');
  const foreign = clientCertificate(makeBank(), 'till-1.bank');
  expect((await dial(foreign))()).toMatch(/^device_caller_denied: .*not verified/);
  const forServers = bank.issue('s', {
    extensions: ['extendedKeyUsage=serverAuth', 'subjectAltName=DNS:till-1.bank'],
    by: bank.root,
  });
  expect((await dial(forServers))()).toMatch(/not verified \(INVALID_PURPOSE\)/);
  expect((await dial(clientCertificate(bank, 'till-2.bank')))()).toMatch(/no consumer is configured/);
  const caller = await dial(clientCertificate(bank, 'till-1.bank'));
  expect(caller()).toBe('tills');
  pass(366 * 86_400_000);
  expect(caller()).toMatch(/it expired at/);
});

it('ends on open connections with its name in the configuration, and with the authorities that verified it', async () => {
  const bank = sameBank();
  const { callers, dial } = await setUp(bank, 'consumer.tills.certificates=till-1.bank');
  const caller = await dial(clientCertificate(bank, 'till-1.bank'));
  callers.use(bank.root.certificate, consumers('consumer.tills.certificates=till-3.bank'));
  expect(caller()).toMatch(/no consumer is configured/);
  callers.use(bank.root.certificate, consumers('consumer.tills.certificates=till-1.bank'));
  expect(caller()).toBe('tills');
  callers.use(bank.intermediate.certificate, consumers('consumer.tills.certificates=till-1.bank'));
  expect(caller()).toMatch(/have changed since it connected/);
  callers.use(undefined, []);
  expect(caller()).toMatch(/have changed/);
});
