// Opens what listens: the apps for agents, their ports, and the administration's socket on this host.
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import { listenerRefusal } from '../auth/address-rules.ts';
import type { RefusalAudit } from '../auth/records/refusal-audit.ts';
import type { Revocations } from '../agents/revocation.ts';
import type { CentralConfig } from '../config.ts';
import { AddressAccess, AddressSet } from '../parameters/address-access.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { ParameterState } from '../parameters/state.ts';
import { differs } from '../parameters/values.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { ServerCredentials } from '../pki/server/slots.ts';
import { maxHandshakes } from '../sessions/admission.ts';
import type { OpenedSessions } from '../sessions/open-sessions.ts';
import type { EnrollmentPort } from './agent-socket.ts';
import type { DownloadsPort } from './downloads/routes.ts';
import type { OnUnexpected } from './http.ts';
import { createListenerApps, type ListenerApps } from './listener-apps.ts';
import { LocalAdministration } from './local-socket.ts';
import type { Descriptors } from './limits/descriptors.ts';
import { Listeners } from './reconcile.ts';

const RULES_OF_AGENTS = ['access.ws.allow', 'access.ws.deny', 'access.wss.allow', 'access.wss.deny'] as const;

interface ListenersNeeds {
  readonly config: Pick<
    CentralConfig,
    'adminBindAddress' | 'advertisedNames' | 'bindAddress' | 'centralName' | 'dataFolder'
  >;
  readonly pki: Pki;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly sessions: OpenedSessions['sessions'];
  readonly handshake: OpenedSessions['handshake'];
  readonly handshakeFailures: OpenedSessions['handshakeFailures'];
  readonly enrollment: EnrollmentPort;
  readonly revocations: Revocations;
  readonly downloads: DownloadsPort;
  readonly refusals: Pick<RefusalAudit, 'record'>;
  readonly descriptors: Descriptors;
  readonly addressAccess: AddressAccess;
  /** Takes the connections of callers of services. */
  readonly servicesPort: { readonly accept: (socket: Socket) => void };
  readonly log: Logger;
}

export interface OpenedListeners {
  readonly apps: ListenerApps;
  readonly listeners: Listeners<ServerCredentials>;
  readonly localSocket: LocalAdministration;
  /** Where agents enroll: the advertised name, and the port that is bound. */
  advertised(transport?: 'ws' | 'wss'): { readonly host: string; readonly port: number };
  /** True for a connection over the administration's socket on this host. */
  isLocal(socket: Socket): boolean;
  readonly onUnexpected: OnUnexpected;
  /** Applies what is not a port. */
  onParametersChanged(values: ParameterValues, before: ParameterValues): void;
}

export async function openListeners(needs: ListenersNeeds): Promise<OpenedListeners> {
  const {
    config,
    pki,
    parameters,
    sessions,
    handshake,
    handshakeFailures,
    enrollment,
    revocations,
    downloads,
    refusals,
    descriptors,
    addressAccess,
    log,
  } = needs;
  const values = (): ParameterValues => parameters.values();
  let proxies = new AddressSet(values()['websocket.trustedProxies']);
  const onUnexpected: OnUnexpected = (error, url, requestId) =>
    log.error(
      { error: textOf(error), stack: error instanceof Error ? error.stack : undefined, url, requestId },
      'a request failed unexpectedly',
    );
  const apps = await createListenerApps({
    central: config.centralName,
    credentials: pki.first,
    handshake,
    enrollment,
    revocationLists: pki.revocationLists,
    downloads,
    checkClientCertificate: (shown) => revocations.checkClientCertificate(shown),
    trustedProxies: () => proxies,
    maxFrameBytes: values()['agents.maxFrameBytes'],
    asksForCertificate: values()['websocket.secure.clientAuth'] !== 'none',
    deadlineMs: () => values()['agents.welcomeTimeoutSeconds'] * 1000,
    maxHandshakes: () => maxHandshakes(values()['agents.max']),
    sessions: () => sessions.size,
    descriptors,
    addressAccess,
    onFailure: (listener, fault, address) => {
      handshakeFailures.record(listener, fault, address);
      refusals.record(fault, { listener, address });
      log.debug({ listener, cause: fault.code, address }, 'a handshake failed');
    },
    onUnexpected,
  });
  const listeners = createListeners(needs, apps);
  const localSocket = new LocalAdministration({
    folder: config.dataFolder,
    accept: (socket) => apps.acceptLocal(socket),
    log,
    now: Date.now,
  });
  return {
    apps,
    listeners,
    localSocket,
    advertised: (transport = 'wss') => ({
      host: config.advertisedNames[0],
      port: listeners.port(transport) ?? values()[transport === 'ws' ? 'websocket.port' : 'websocket.secure.port'],
    }),
    isLocal: (socket) => localSocket.has(socket),
    onUnexpected,
    onParametersChanged(next, before) {
      // Of the listeners' own change, what connected while it was being stored.
      if (differs(next, before, ...RULES_OF_AGENTS))
        sessions.endWhere(({ listener, address, peer, transport }) =>
          listenerRefusal(next, addressAccess, listener, { address, peer, scheme: transport }),
        );
      if (differs(next, before, 'websocket.secure.clientAuth'))
        apps.askForCertificate(next['websocket.secure.clientAuth'] !== 'none');
      if (differs(next, before, 'websocket.trustedProxies')) proxies = new AddressSet(next['websocket.trustedProxies']);
      if (differs(next, before, 'agents.maxFrameBytes')) apps.setMaxFrameBytes(next['agents.maxFrameBytes']);
    },
  };
}

function createListeners(
  { config, pki, sessions, servicesPort, log }: ListenersNeeds,
  apps: ListenerApps,
): Listeners<ServerCredentials> {
  return new Listeners({
    bindAddresses: config.bindAddress === undefined ? [] : [config.bindAddress],
    adminBindAddresses: config.adminBindAddress === undefined ? [] : [config.adminBindAddress],
    accept: { ...apps.accept, services: servicesPort.accept },
    certificate: pki.live,
    onApplied: (applied) => {
      const access = new AddressAccess(() => applied);
      sessions.endWhere(({ listener, address, peer, transport }) =>
        listenerRefusal(applied, access, listener, { address, peer, scheme: transport }),
      );
    },
    log,
  });
}
