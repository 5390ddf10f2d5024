// The step of the doctor for the port for devices: whether it is open or can be opened, its certificate, whether names and
// addresses match, and who may use it. Nothing is changed: a free port is taken for a moment.
import { lookup as systemLookup } from 'node:dns/promises';
import { createServer, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { textOf } from '../../shared/errors.ts';
import { timeLine, validityOf } from '../../shared/x509/validity.ts';
import type { AgentConf } from '../conf.ts';
import { askDaemon } from '../local-api/client.ts';
import { isFor, namesIn, readDeviceMaterial, type DeviceMaterial } from '../local-api/devices/certificate.ts';
import { deviceFault } from '../local-api/devices/errors.ts';
import { wantedNames } from '../local-api/devices/names.ts';
import { readAuthorities } from '../local-api/devices/open-devices.ts';
import { listening } from '../local-api/devices/port.ts';
import { step, Stopped, type Notes, type Walk } from './step.ts';

/** The addresses of a host name. */
export type Lookup = (name: string) => Promise<readonly string[]>;

interface DevicePortOptions {
  /** Of each question to the daemon or to a name server. */
  readonly timeoutMs: number;
  readonly now: () => Date;
  readonly lookup?: Lookup;
}

type Conf = Pick<AgentConf, 'consumers' | 'dataFolder' | 'localApi'>;

/** The value is true when it is open, or could be opened once the agent has a certificate. */
export async function* examineDevicePort(conf: Conf, options: DevicePortOptions): Walk<boolean> {
  try {
    yield* step('device port', undefined, async (notes) => {
      await lookAtPort(conf, options, notes);
      await lookAtCertificate(conf, options, notes);
      await lookAtCallers(conf, notes);
    });
    return true;
  } catch (error) {
    if (error instanceof Stopped) return false;
    throw error;
  }
}

/** Errors: device_port_taken, device_port_refused. */
async function lookAtPort(
  { dataFolder, localApi }: Conf,
  { timeoutMs }: DevicePortOptions,
  notes: Notes,
): Promise<void> {
  const { tlsPort: port, tlsAddress: address } = localApi;
  const where = `port ${port} at ${address === '' ? 'all addresses of this host' : address}`;
  const answer = await askDaemon(dataFolder, timeoutMs);
  const found = answer.kind === 'status' ? answer.status.devicePort : null;
  if (found?.state === 'open' && found.port === port && found.address === address)
    return notes.say(`${where}: open, ${found.connectionCount ?? 0} connected`);
  const server = createServer();
  await listening(server, port, address);
  await new Promise((resolve) => server.close(resolve));
  if (answer.kind !== 'status') return notes.say(`${where}: free; the agent opens it when it runs`);
  notes.warn(`${where}: free, and the running agent does not listen on it. See the problems in "queue-agent status"`);
}

/** Errors: device_names_missing, device_certificate_expired. */
async function lookAtCertificate(
  { dataFolder, localApi }: Conf,
  { timeoutMs, now, lookup = lookUp }: DevicePortOptions,
  notes: Notes,
): Promise<void> {
  const wanted = wantedNames(localApi.tlsNames, localApi.tlsAddress);
  if (wanted.length === 0) throw deviceFault('device_names_missing', {});
  const material = await readMaterial(dataFolder, notes);
  if (material !== undefined) {
    const { to } = validityOf(material.certificate);
    notes.say(`certificate for ${namesIn(material).join(', ')} until ${timeLine(to)}`);
    if (to <= now()) throw deviceFault('device_certificate_expired', { until: timeLine(to) });
    const missing = wanted.filter((name) => !isFor(material.certificate, name));
    if (missing.length > 0)
      notes.warn(`the certificate is not for ${missing.join(', ')}: the agent requests another one when it is online`);
  }
  const own = localApi.tlsAddress === '' ? ownAddresses() : [localApi.tlsAddress];
  const known = await Promise.all(wanted.map(async (name) => await addressesOf(name, lookup, timeoutMs)));
  for (const [index, name] of wanted.entries()) {
    const addresses = known[index];
    if (addresses === undefined)
      notes.warn(`the name ${name} cannot be resolved here: devices need it in DNS, or in their list of hosts`);
    else if (!addresses.some((address) => own.includes(address)))
      notes.warn(`${name} is at ${addresses.join(', ')}: the port listens at ${own.join(', ') || 'no other address'}`);
  }
}

/** Undefined: there is none to be examined. */
async function readMaterial(folder: string, notes: Notes): Promise<DeviceMaterial | undefined> {
  try {
    const material = await readDeviceMaterial(folder);
    if (material === undefined)
      notes.warn('there is no certificate yet: the agent requests it from Central when it is online');
    return material;
  } catch (error) {
    notes.warn(`its certificate cannot be read (${textOf(error)}): the agent requests another one when it is online`);
    return undefined;
  }
}

/** Errors: file faults, device_client_ca_bad. */
async function lookAtCallers({ consumers, localApi: { tlsClientCa: file } }: Conf, notes: Notes): Promise<void> {
  const named = consumers.filter(({ name }) => name !== 'default');
  if (named.length === 0)
    notes.warn('every request is refused: name a consumer for the devices (consumer.NAME.types) and send its token');
  if (file === undefined) return;
  const { count } = await readAuthorities(file);
  const accepted = named.filter(({ certificates }) => certificates.length > 0).map(({ name }) => name);
  notes.say(`client certificates of ${count === 1 ? 'one authority' : `${count} authorities`} in ${file}`);
  if (accepted.length > 0) notes.say(`consumers with certificates: ${accepted.join(', ')}`);
  else notes.warn('no client certificate is accepted: name their host names in consumer.NAME.certificates');
}

/** Undefined: not to be found in time. */
async function addressesOf(name: string, lookup: Lookup, timeoutMs: number): Promise<readonly string[] | undefined> {
  if (isIP(name) !== 0) return [name];
  const tooLate = new AbortController();
  try {
    return await Promise.race([lookup(name), delay(timeoutMs, undefined, { signal: tooLate.signal })]);
  } catch {
    // Whatever the name server says: it is a warning.
    return undefined;
  } finally {
    tooLate.abort();
  }
}

async function lookUp(name: string): Promise<string[]> {
  return (await systemLookup(name, { all: true })).map(({ address }) => address);
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address));
}
