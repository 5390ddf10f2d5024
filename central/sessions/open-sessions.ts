// Opens the sessions of agents, and the handshake that leads to one.
import { getHeapStatistics } from 'node:v8';
import type { Logger } from 'pino';
import type { Incidents } from '../agents/incidents.ts';
import type { AgingClock } from '../aging-clock.ts';
import { listenerRefusal } from '../auth/address-rules.ts';
import type { RefusalAudit } from '../auth/records/refusal-audit.ts';
import type { OnlineAgents } from '../change/agents.ts';
import type { CentralConfig } from '../config.ts';
import type { CentralEvents, Events } from '../events.ts';
import type { MaintenanceMode } from '../agents/acts/maintenance-mode.ts';
import { Commands } from '../messaging/commands.ts';
import type { Descriptors } from '../listeners/limits/descriptors.ts';
import type { EventHub } from '../messaging/event-hub.ts';
import type { Metrics } from '../metrics.ts';
import type { AddressAccess } from '../parameters/address-access.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import { REFUSALS, refusal } from '../../shared/wire/refusals.ts';
import type { Store } from '../store/store.ts';
import { Admission } from './admission.ts';
import { HandshakeFailures } from './handshake-failures.ts';
import { Handshake } from './handshake.ts';
import { AgentRate, LOGIN_BURST, SECONDS_PER_LOGIN } from './limits/agent-rate.ts';
import { RefusedHellos } from './limits/refused-hellos.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import type { NoteQueue } from '../store/nodes/note-queue.ts';
import { onlineAgentsOfAll } from './online/online-agents.ts';
import { SessionsOfAll } from './online/sessions-of-all.ts';
import { Sessions, type SessionSettings } from './sessions.ts';

interface SessionsNeeds {
  readonly config: Pick<CentralConfig, 'centralName' | 'nodeName'>;
  readonly store: Pick<Store, 'agents' | 'inbox' | 'nodes' | 'outbox'>;
  readonly pki: Pick<Pki, 'authority' | 'revocationLists' | 'sign'>;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly incidents: Incidents;
  readonly refusals: Pick<RefusalAudit, 'record'>;
  readonly hub: Pick<EventHub, 'notify'>;
  readonly events: Events<CentralEvents>;
  readonly metrics: Metrics;
  readonly descriptors: Descriptors;
  readonly log: Logger;
  readonly now: () => number;
  readonly aging: AgingClock;
  readonly maintenanceMode: Pick<MaintenanceMode, 'refusal'>;
  readonly addressAccess: AddressAccess;
  readonly nodeNotes: NoteQueue;
  readonly nodes: { readonly self: string; isDrained(): boolean; list(): readonly NodeRecord[] };
}

export interface OpenedSessions {
  readonly sessions: Sessions;
  readonly sessionsOfAll: SessionsOfAll;
  /** Commands for agents. */
  readonly messages: Commands;
  readonly handshake: Handshake;
  readonly handshakeFailures: HandshakeFailures;
  readonly onlineAgents: OnlineAgents;
  readonly agentsOverTls: OnlineAgents;
}

export function openSessions(needs: SessionsNeeds): OpenedSessions {
  const { metrics, now, log, nodes, nodeNotes: notes } = needs;
  const { agents } = needs.store;
  const sessions = createSessions(needs);
  const handshakeFailures = new HandshakeFailures(metrics.instruments.queuegate_handshake_failures_total, now);
  return {
    sessions,
    sessionsOfAll: new SessionsOfAll({ sessions, agents, nodes, notes, log }),
    messages: new Commands({ ...needs, sessions }),
    handshake: createHandshake(needs, sessions, handshakeFailures),
    handshakeFailures,
    onlineAgents: onlineAgentsOfAll({ sessions, agents, nodes }),
    agentsOverTls: onlineAgentsOfAll({ sessions, agents, nodes }, ({ transport }) => transport === 'wss'),
  };
}

function createSessions(needs: SessionsNeeds) {
  const { config, store, pki, parameters, incidents, hub, events, log, now, aging } = needs;
  const { instruments } = needs.metrics;
  return new Sessions({
    store,
    incidents,
    node: config.nodeName,
    central: config.centralName,
    sign: (transcript) => pki.sign(transcript),
    settings: () => sessionSettings(parameters.values()),
    log,
    now,
    aging,
    heapLimitBytes: getHeapStatistics().heap_size_limit,
    onBudgets: ({ intakeBytes, waitingSessions, outflowBytes }) => {
      instruments.queuegate_intake_bytes.set(intakeBytes);
      instruments.queuegate_intake_waiting_sessions.set(waitingSessions);
      instruments.queuegate_outflow_bytes.set(outflowBytes);
    },
    control: {
      onOpened: (session) => events.emit('agentOnline', session),
      onFrame: (session, frame) => events.emit('agentControl', session, frame),
    },
    onOpened: ({ transport }) => instruments.queuegate_sessions.inc({ transport }),
    onPromoted: () => pki.revocationLists.touch(),
    onClosed: (facts, reason) => {
      instruments.queuegate_sessions.dec({ transport: facts.transport });
      events.emit('agentOffline', facts);
      instruments.queuegate_refusals_total.inc({ code: Object.hasOwn(REFUSALS, reason.code) ? reason.code : 'closed' });
    },
    onEvents: (count) => {
      instruments.queuegate_messages_received_total.inc(count);
      hub.notify();
    },
  });
}

function createHandshake(
  {
    config,
    store,
    pki,
    parameters,
    incidents,
    refusals,
    metrics,
    descriptors,
    log,
    now,
    aging,
    maintenanceMode,
    addressAccess,
    nodes,
  }: SessionsNeeds,
  sessions: Sessions,
  failures: HandshakeFailures,
): Handshake {
  const values = () => parameters.values();
  return new Handshake({
    central: config.centralName,
    agents: store.agents,
    sessions,
    admission: new Admission({
      maxAgents: () => values()['agents.max'],
      descriptors,
      sessions: () => sessions.size,
      elsewhere: () =>
        nodes
          .list()
          .filter(({ name, state }) => name !== nodes.self && state === 'alive')
          .reduce((sum, node) => sum + node.sessions, 0),
      random: Math.random,
    }),
    logins: new AgentRate(LOGIN_BURST, SECONDS_PER_LOGIN, now),
    incidents,
    refused: new RefusedHellos({ agents: store.agents, log, now }),
    mayStay: (listener, origin) =>
      listenerRefusal(values(), addressAccess, listener, origin) ??
      maintenanceMode.refusal() ??
      (nodes.isDrained() ? refusal('going_away', {}) : undefined),
    clientAuth: () => values()['websocket.secure.clientAuth'],
    authorities: () => pki.authority.generations().map(({ chain }) => chain[0]),
    authentication: () => ({
      authentication: values()['agents.authentication'],
      graceDays: values()['agents.certificate.graceDays'],
    }),
    certificateTime: () => aging.steady(),
    disabledRetrySeconds: () => values()['agents.disabledRetrySeconds'],
    welcomeTimeoutMs: () => values()['agents.welcomeTimeoutSeconds'] * 1000,
    log,
    now,
    onRefused: (reason, { listener, address }) => {
      metrics.instruments.queuegate_refusals_total.inc({ code: reason.code });
      failures.record(listener, reason, address);
      refusals.record(reason, { listener, address });
    },
  });
}

/** The parameters that a session begins with. */
export function sessionSettings(values: ParameterValues): SessionSettings {
  return {
    heartbeatSeconds: values['agents.heartbeatSeconds'],
    slowPeerSeconds: values['agents.slowPeerSeconds'],
    disabledRetrySeconds: values['agents.disabledRetrySeconds'],
    limits: {
      maxFrameBytes: values['agents.maxFrameBytes'],
      maxMessageBytes: values['agents.maxMessageBytes'],
      windowItems: values['agents.windowItems'],
      windowBytes: values['agents.windowBytes'],
    },
  };
}
