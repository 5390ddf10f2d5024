// What the agent and its doctor make of a server whose certificate has no subject: it is trusted, described, and
// refused with a cause.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { explainDialFailure } from '../../../agent/connection/faults.ts';
import { probeTls } from '../../../agent/connection/tls-probe.ts';
import { datesFault, nameFault, namesOf, trustPath } from '../../../agent/trust/path.ts';
import { loadTruststore } from '../../../agent/trust/truststore.ts';
import { firstInPem, peerCertificate, readCertificate } from '../../../shared/x509/certificates.ts';
import { pemOf } from '../../../shared/x509/pem.ts';
import { datedCertificate, utcTime } from '../../shared/x509/dated.ts';

const FIELD = new URL('../../fixtures/field-files/', import.meta.url).pathname;
const field = (name: string): string => readFileSync(`${FIELD}${name}`, 'utf8');
const NOW = new Date('2027-01-01T00:00:00Z');

let server: Server;
let port: number;
beforeEach(async () => {
  server = createServer({ cert: field('es.pem'), key: field('es.key') }, (socket) => socket.end()).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => {
  server.close();
});

test('the probe of the doctor sees it, and finds the way to its root', async () => {
  const target = { secure: true, host: '127.0.0.1', port };
  const { chain } = await probeTls(target, { timeoutMs: 10_000 });
  const path = trustPath(chain, [firstInPem(field('es-ca.pem'))], NOW);
  expect(path.anchor?.subject).toBe('CN=Example Root');
  const [leaf] = path.path;
  expect(leaf?.subject).toBe('');
  expect(leaf === undefined ? '' : namesOf(leaf)).toContain('DNS:localhost');
  expect(leaf === undefined ? undefined : nameFault(leaf, target)).toBeUndefined();
  expect(datesFault(path, target, 't.jks', NOW)).toBeUndefined();
});

test('a client that trusts only its root connects, and knows who it met', async () => {
  const { ca } = await loadTruststore({ path: `${FIELD}empty-subject.jks` });
  const socket = connect({ port, host: '127.0.0.1', ca: [...ca], allowPartialTrustChain: true });
  await once(socket, 'secureConnect');
  expect(peerCertificate(socket)?.subject).toBe('');
  socket.destroy();
});

test('a certificate with a date that is not in the calendar is refused as that, trusted or not', async () => {
  const { der, key } = datedCertificate(utcTime('250101000000Z'), utcTime('490230000000Z'));
  const odd = createServer(
    { cert: pemOf('CERTIFICATE', der), key: key.export({ type: 'pkcs8', format: 'pem' }) },
    (socket) => socket.end(),
  ).listen(0, '127.0.0.1');
  await once(odd, 'listening');
  const { port: oddPort } = odd.address() as AddressInfo;
  const socket = connect({
    port: oddPort,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: [pemOf('CERTIFICATE', der)],
  });
  const [error] = (await once(socket, 'error')) as [Error];
  odd.close();
  const target = { secure: true, host: 'localhost', port: oddPort };
  const shown = readCertificate(der);
  expect(explainDialFailure(error, { target, truststore: '/t.jks', timeoutSeconds: 1, now: NOW, shown })).toMatchObject(
    {
      code: 'tls_date_unreadable',
    },
  );
  expect(datesFault(trustPath([shown], [shown], NOW), target, '/t.jks', NOW)).toMatchObject({
    code: 'tls_date_unreadable',
  });
});

test('a client that does not trust it says so', async () => {
  const { ca } = await loadTruststore({ path: `${FIELD}samedn-ca.pem` });
  const socket = connect({ port, host: '127.0.0.1', ca: [...ca], allowPartialTrustChain: true });
  const [error] = (await once(socket, 'error')) as [Error];
  const shown = firstInPem(field('empty-name.pem'));
  const context = {
    target: { secure: true, host: '127.0.0.1', port },
    truststore: '/t.jks',
    timeoutSeconds: 1,
    now: NOW,
  };
  expect(explainDialFailure(error, { ...context, shown })).toMatchObject({ code: 'tls_unknown_authority' });
});
