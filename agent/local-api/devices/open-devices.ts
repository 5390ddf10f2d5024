// Opens what the port for devices consists of beside the listener: its settings, which a reload changes, its certificate,
// and who devices are by certificates of their own.
import type { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import { isCoded, textOf, type CodedError } from '../../../shared/errors.ts';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { certificatesInPem, firstInPem } from '../../../shared/x509/certificates.ts';
import { MAX_DEVICE_NAMES } from '../../../shared/wire/devices/frames.ts';
import type { DevicePortReport } from '../../../shared/wire/services/frames.ts';
import { loadAgentConf, type AgentConf, type AgentConfRequest } from '../../conf.ts';
import { loadIdentity } from '../../identity/identity.ts';
import { loadTrusted } from '../../trust/trusted.ts';
import { DeviceCallers } from './callers.ts';
import { DeviceCertificate } from './certificate.ts';
import { deviceFault } from './errors.ts';
import { wantedNames } from './names.ts';
import type { DevicePortStatus, DeviceSettings } from './port.ts';

interface DevicesNeeds {
  readonly request: AgentConfRequest;
  /** The configuration of the start. */
  readonly conf: Pick<AgentConf, 'consumers' | 'dataFolder' | 'localApi'>;
  readonly log: Logger;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
}

export interface Devices {
  readonly certificate: DeviceCertificate;
  readonly callers: DeviceCallers;
  settings(): DeviceSettings;
  /** The port as the listeners saw it last. */
  saw(status: DevicePortStatus | null): void;
  /** For Central. */
  report(): DevicePortReport;
  /** Called whenever the listeners have looked at the port. */
  onLook(listener: () => void): void;
  /** Applies other settings, and reads the authorities of devices again. */
  use(conf: Pick<AgentConf, 'consumers' | 'localApi'>): Promise<void>;
  /** Certificate or settings are others. */
  onChanged(listener: () => void): void;
}

export async function openDevices({ request, conf, log, now, after }: DevicesNeeds): Promise<Devices> {
  const { dataFolder } = conf;
  let { localApi } = conf;
  let listener = (): void => undefined;
  let onLook = (): void => undefined;
  let seen: DevicePortStatus | null = null;
  const callers = new DeviceCallers(now);
  let fault = await useCallers(callers, conf);
  const certificate = new DeviceCertificate({
    folder: dataFolder,
    names: () => (localApi.tlsPort === 0 ? undefined : wantedNames(localApi.tlsNames, localApi.tlsAddress)),
    trusted: async () => {
      const fresh = await loadAgentConf(request);
      return fresh.central.secure ? (await loadTrusted({ ...fresh, dataFolder })).ca : [];
    },
    own: async () => {
      const identity = await loadIdentity(dataFolder);
      return identity === undefined ? undefined : firstInPem(identity.certificate);
    },
    onChanged: () => listener(),
    log,
    now,
    after,
    random: Math.random,
  });
  await certificate.load();
  return {
    certificate,
    callers,
    settings: () => ({ port: localApi.tlsPort, address: localApi.tlsAddress, fault }),
    async use({ localApi: fresh, consumers }): Promise<void> {
      fault = await useCallers(callers, { localApi: fresh, consumers });
      const before = [localApi.tlsPort, localApi.tlsAddress, ...localApi.tlsNames].join();
      localApi = fresh;
      if (before !== [fresh.tlsPort, fresh.tlsAddress, ...fresh.tlsNames].join()) certificate.settingsChanged();
      listener();
    },
    saw(status): void {
      seen = status;
      onLook();
    },
    report: () => (seen === null ? null : reportOf(seen)),
    onLook: (next) => void (onLook = next),
    onChanged: (next) => void (listener = next),
  };
}

function reportOf({ port, state, names, notAfter, clientCertificates, connectionCount }: DevicePortStatus) {
  return {
    listenPort: port,
    state,
    names: names.slice(0, MAX_DEVICE_NAMES),
    notAfter,
    clientCertificates,
    connectionCount,
  };
}

const MAX_FILE_BYTES = 128 * 1024;

/** Without authorities that can be read, no client certificate is accepted. Returns why. */
async function useCallers(
  callers: DeviceCallers,
  { localApi, consumers }: Pick<AgentConf, 'consumers' | 'localApi'>,
): Promise<CodedError | undefined> {
  const { tlsPort, tlsClientCa: file } = localApi;
  let authorities: string | undefined;
  let fault: CodedError | undefined;
  try {
    if (tlsPort !== 0 && file !== undefined) ({ authorities } = await readAuthorities(file));
  } catch (error) {
    if (!isCoded(error)) throw error;
    fault = error;
  }
  callers.use(authorities, consumers);
  return fault;
}

/** PEM of all of them. Errors: file faults, device_client_ca_bad. */
export async function readAuthorities(file: string): Promise<{ readonly authorities: string; readonly count: number }> {
  const bytes = await readBoundedFile({
    path: file,
    what: 'The file with the authorities of devices',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Set localApi.tls.clientCa to a file with their certificates (PEM).',
  });
  const bad = (found: string, cause?: unknown): CodedError =>
    deviceFault('device_client_ca_bad', { file, found }, cause);
  let found: X509Certificate[];
  try {
    found = certificatesInPem(bytes.toString('utf8'));
  } catch (error) {
    throw bad(textOf(error), error);
  }
  if (found.length === 0) throw bad('it has no certificate');
  const other = found.find(({ ca }) => !ca);
  if (other !== undefined) throw bad(`${JSON.stringify(other.subject.slice(0, 128))} is not an authority`);
  return { authorities: found.map((one) => one.toString()).join(''), count: found.length };
}
