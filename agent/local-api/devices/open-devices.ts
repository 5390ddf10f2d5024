// Opens what the port for devices consists of beside the listener: its settings, which a reload changes, and its
// certificate.
import type { Logger } from 'pino';
import { firstInPem } from '../../../shared/x509/certificates.ts';
import { loadAgentConf, type AgentConf, type AgentConfRequest } from '../../conf.ts';
import { loadIdentity } from '../../identity/identity.ts';
import { loadTrusted } from '../../trust/trusted.ts';
import { DeviceCertificate } from './certificate.ts';
import { wantedNames } from './names.ts';
import type { DeviceSettings } from './port.ts';

interface DevicesNeeds {
  readonly request: AgentConfRequest;
  /** The configuration of the start. */
  readonly conf: Pick<AgentConf, 'dataFolder' | 'localApi'>;
  readonly log: Logger;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
}

export interface Devices {
  readonly certificate: DeviceCertificate;
  settings(): DeviceSettings;
  /** Applies other settings. */
  use(localApi: AgentConf['localApi']): void;
  /** Certificate or settings are others. */
  onChanged(listener: () => void): void;
}

export async function openDevices({ request, conf, log, now, after }: DevicesNeeds): Promise<Devices> {
  const { dataFolder } = conf;
  let { localApi } = conf;
  let listener = (): void => undefined;
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
    settings: () => ({ port: localApi.tlsPort, address: localApi.tlsAddress }),
    use(fresh): void {
      const before = [localApi.tlsPort, localApi.tlsAddress, ...localApi.tlsNames].join();
      localApi = fresh;
      if (before === [fresh.tlsPort, fresh.tlsAddress, ...fresh.tlsNames].join()) return;
      certificate.settingsChanged();
      listener();
    },
    onChanged: (next) => void (listener = next),
  };
}
