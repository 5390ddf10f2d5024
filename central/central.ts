// Central's composition root: makes every service once, in the order in which they need each other, and ends them in the
// opposite order. Nothing else constructs services. What a person sees at the start is main.ts's.
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getHeapStatistics } from 'node:v8';
import type { Logger } from 'pino';
import { textOf, type CodedError } from '../shared/errors.ts';
import { replaceSecretFile } from '../shared/files/secret-file.ts';
import { VERSION } from '../shared/version.ts';
import { signTranscript } from '../shared/wire/proof.ts';
import { adminRoutes, MAX_ADMIN_BODY_BYTES } from './admin/routes.ts';
import type { StatusReport } from './admin/services.ts';
import { Admission, maxHandshakes } from './sessions/admission.ts';
import {
  AgentRate,
  LOGIN_BURST,
  RENEWAL_BURST,
  SECONDS_PER_LOGIN,
  SECONDS_PER_RENEWAL,
} from './sessions/limits/agent-rate.ts';
import { createControl } from './sessions/control.ts';
import { Renewals } from './agents/renewal.ts';
import { createRevocations } from './agents/revocation.ts';
import { Handshake } from './sessions/handshake.ts';
import { findAgent, findAgentId } from './agents/lookup.ts';
import { NameReport } from './agents/name-faults.ts';
import { HandshakeFailures } from './sessions/handshake-failures.ts';
import { Incidents } from './agents/incidents.ts';
import type { SessionFacts } from './sessions/session.ts';
import { Sessions, sessionSettings } from './sessions/sessions.ts';
import { auditEntry, CENTRAL } from './audit.ts';
import { addressBlock, AddressSet, isLoopback, transportRefusal } from './auth/address-rules.ts';
import { openWrongAttempts } from './auth/attempt-records.ts';
import { createEnrollmentTokens, DEFAULT_ENROLLMENT_SECONDS, type EnrollmentTokens } from './enrollment/tokens.ts';
import { createOperators, type Operators } from './auth/api-tokens.ts';
import { siteOf } from './auth/wrong-attempts.ts';
import { CentralAgent } from './central-agent.ts';
import { ADMINISTRATOR_TOKEN_FILE, type CentralConfig } from './config.ts';
import { createHttpApp } from './listeners/http.ts';
import { LocalAdministration } from './listeners/local-socket.ts';
import { createListenerApps, type ListenerApps } from './listeners/listener-apps.ts';
import { Listeners } from './listeners/reconcile.ts';
import { EventHub } from './messaging/event-hub.ts';
import { createMetrics } from './metrics.ts';
import type { ParameterValues } from './parameters/definitions.ts';
import type { OnlineAgent } from './change/agents.ts';
import { Changes } from './change/changes.ts';
import { ParameterService } from './parameters/service.ts';
import { ParameterState } from './parameters/state.ts';
import { sameValue } from './parameters/values.ts';
import { createApprovals } from './enrollment/approvals.ts';
import { createEnrollment, enrollmentLine } from './enrollment/enrollment.ts';
import { createAgentCredentials } from './enrollment/credentials.ts';
import { createIssuing } from './enrollment/offline.ts';
import { openPki, type Pki } from './pki/pki.ts';
import { createRecoveries } from './enrollment/recovery.ts';
import { RevocationLists } from './pki/revocation-lists.ts';
import type { ServerCredentials } from './pki/server/slots.ts';
import { CENTRAL_AGENT_NAME } from './store/agent-names.ts';
import type { StoreBounds } from './store/space/bounds.ts';
import { Backups, removeLeftovers, type RestoreOutcome, type StagedRestore } from './store/backup/backup.ts';
import { SpaceWatch } from './store/space/watch.ts';
import { openStore, openStoreFiles } from './store/open-store.ts';
import type { Store } from './store/store.ts';
import { Maintenance } from './maintenance.ts';

export interface RunningCentral {
  /** The first administrator's token, when this start made it. */
  readonly administratorToken: string | undefined;
  /** What listens where and how encrypted, in words. */
  readonly listens: readonly string[];
  /** What is wrong already, such as a port that another process holds. */
  readonly problems: readonly string[];
  /** Makes a one-time enrollment token; with the complete line for the agent's machine, which has the token in it. */
  enrollment(): Promise<{ readonly token: string; readonly line: string }>;
  port(listener: 'plain' | 'secure' | 'https' | 'http'): number | undefined;
  /** Resolves with the error that made it impossible to go on; Central must then be stopped. */
  readonly failed: Promise<CodedError>;
  /** Resolves with the store that an administrator brought; Central must then be stopped, and started again with it. */
  readonly restore: Promise<StagedRestore>;
  /** The newest cursor of an event, once Central has stopped. */
  lastCursor(): number;
  /** Ends in order, bounded. May be called twice. */
  stop(): Promise<void>;
}

/** Sessions are given this long to close on a stop. */
const SESSIONS_STOP_MS = 3_000;
/** The store keeps what it saw until it is pruned by the live parameter (central/maintenance.ts). */
const DEDUPLICATION_CAP_MS = 366 * 86_400_000;
const PROFILE = resolve(fileURLToPath(import.meta.url), '../../profiles/central');
const CENTRAL_AGENT_API_PORT = 8889;

/** Starts Central; `restored` is what this start comes from, if it does not come from a person. Throws what the operator has to fix; then nothing runs. */
export async function startCentral(
  config: CentralConfig,
  log: Logger,
  restored: RestoreOutcome | null,
): Promise<RunningCentral> {
  const { promise: failed, resolve: fail } = Promise.withResolvers<CodedError>();
  const store = await openStore({
    folder: config.dataFolder,
    deduplicationMs: DEDUPLICATION_CAP_MS,
    namesOfCentral: [config.centralName, config.hostName, ...config.advertisedNames],
    onFailure: fail,
  });
  try {
    return await compose(config, log, store, failed, restored);
  } catch (error) {
    await store.stop();
    throw error;
  }
}

async function compose(
  config: CentralConfig,
  log: Logger,
  store: Store,
  failed: Promise<CodedError>,
  restored: RestoreOutcome | null,
): Promise<RunningCentral> {
  const now = (): number => Date.now();
  const central = config.centralName;
  const startedAt = now();
  await store.agents.endSessionsOfNode(central, startedAt, 'Central ended without closing it');

  const enrollmentTokens = createEnrollmentTokens({ tokens: store.tokens, audit: store.audit, now });
  const metrics = createMetrics();
  const {
    queuegate_refusals_total: refusals,
    queuegate_handshake_failures_total: failuresTotal,
    queuegate_messages_received_total: received,
    queuegate_sessions: sessionsOpen,
  } = metrics.instruments;

  await removeLeftovers(config.dataFolder);
  const { promise: restore, resolve: apply } = Promise.withResolvers<StagedRestore>();

  const hub = new EventHub(store.inbox);
  const incidents = new Incidents(store.agents, log);
  const names = new NameReport({ agents: store.agents, log });
  await names.measure();
  const attempts = openWrongAttempts({
    record: (incident) => incidents.record(incident),
    onWrong: (secret) => metrics.instruments.queuegate_wrong_secrets_total.inc({ secret }),
    now,
  });
  const operators = createOperators({ tokens: store.tokens, audit: store.audit, attempts, now });
  const handshakeFailures = new HandshakeFailures(failuresTotal, now);
  const after = (ms: number, run: () => void): (() => void) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  };
  const changes = new Changes({ node: central, log, now, after });
  const state = await ParameterState.open({
    store: store.parameters,
    overrides: config.overrides,
    onRolledBack: (pending) => changes.recordRollback('parameters', pending),
    log,
    now,
  });
  const values = (): ParameterValues => state.values();
  await store.bound(storeBounds(values()));
  const parameters: ParameterService = new ParameterService({
    state,
    applier: {
      check: (next, before) => listeners.check(next, before),
      apply: (next, before) => listeners.apply(next, before),
      describe: (next) => listeners.describe(next),
    },
    changes,
    agents: { online: async () => sessions.online().map(onlineAgent) },
    onChanged: (next, before) => onParametersChanged(next, before),
    log,
    now,
    after,
  });
  const pki: Pki = await openPki({
    store,
    keySources: { dataFolder: config.dataFolder, ...config.keySources },
    central,
    advertised: config.advertisedNames,
    hostName: config.hostName,
    parameters: state,
    changes,
    agents: {
      online: async () =>
        sessions
          .online()
          .filter(({ transport }) => transport === 'wss')
          .map(onlineAgent),
    },
    requestReconnect: (spreadSeconds) =>
      sessions.requestReconnect(({ transport }) => transport === 'wss', spreadSeconds),
    sessions: { online: () => sessions.online(), of: (agentId) => sessions.of(agentId) },
    askRenewal: () => sessions.each((session) => renewals.askToRenew(session)),
    profilesFolder: config.profilesFolder,
    show: (credentials) => apps.show(credentials),
    metrics,
    log,
    now,
    after,
  });
  const backups = new Backups({
    folder: config.dataFolder,
    store,
    files: openStoreFiles(config.dataFolder),
    keys: pki.keys,
    central,
    now,
  });
  const revocationLists = new RevocationLists({ authority: pki.authority, certificates: store.certificates, now });
  const renewals = new Renewals({
    agents: store.agents,
    certificates: store.certificates,
    authority: pki.authority,
    lifetimeDays: () => values()['agents.certificate.lifetimeDays'],
    online: () => sessions.size,
    rate: new AgentRate(RENEWAL_BURST, SECONDS_PER_RENEWAL, now),
    incidents,
    metrics,
    log,
    now,
  });
  const sessions: Sessions = new Sessions({
    store,
    incidents,
    node: central,
    central,
    sign: (transcript) => signTranscript(transcript, pki.signingKey.key),
    settings: () => sessionSettings(values()),
    log,
    now,
    heapLimitBytes: getHeapStatistics().heap_size_limit,
    onBudgets: ({ intakeBytes, waitingSessions, outflowBytes }) => {
      metrics.instruments.queuegate_intake_bytes.set(intakeBytes);
      metrics.instruments.queuegate_intake_waiting_sessions.set(waitingSessions);
      metrics.instruments.queuegate_outflow_bytes.set(outflowBytes);
    },
    control: createControl({ renewal: renewals, trust: pki.trustPublication }),
    onOpened: (facts) => sessionsOpen.inc({ transport: facts.transport }),
    onPromoted: () => revocationLists.touch(),
    onClosed: (facts, reason) => {
      sessionsOpen.dec({ transport: facts.transport });
      refusals.inc({ code: /^[a-z_]+$/.test(reason) ? reason : 'closed' });
    },
    onEvents: (count) => {
      received.inc(count);
      hub.notify();
    },
  });
  const space = new SpaceWatch({
    store,
    hold: (on) => sessions.each((session) => session.hold(on)),
    metrics,
    log,
    now,
  });
  const revocations = createRevocations({
    agents: store.agents,
    certificates: store.certificates,
    audit: store.audit,
    sessions,
    lists: revocationLists,
    log,
    now,
  });
  const handshake = new Handshake({
    central,
    agents: store.agents,
    sessions,
    admission: new Admission({
      maxAgents: () => values()['agents.max'],
      sessions: () => sessions.size,
      random: Math.random,
    }),
    logins: new AgentRate(LOGIN_BURST, SECONDS_PER_LOGIN, now),
    incidents,
    mayStay: (listener, origin) => transportRefusal(values(), listener, origin),
    clientAuth: () => values()['websocket.secure.clientAuth'],
    authorities: () => pki.authority.generations().map(({ chain }) => chain[0]),
    authentication: () => ({
      authentication: values()['agents.authentication'],
      graceDays: values()['agents.certificate.graceDays'],
    }),
    welcomeTimeoutMs: () => values()['agents.welcomeTimeoutSeconds'] * 1000,
    log,
    now,
    onRefused: (reason, { listener, address }) => {
      refusals.inc({ code: reason.code });
      handshakeFailures.record(listener, reason, address);
    },
  });
  const credentials = createAgentCredentials({
    authority: pki.authority,
    trust: pki.trust,
    certificates: store.certificates,
    signingKey: pki.signingKey.publicKey,
    central,
    lifetimeDays: () => values()['agents.certificate.lifetimeDays'],
    now,
  });
  const ofEnrollment = {
    agents: store.agents,
    enrollments: store.enrollments,
    audit: store.audit,
    credentials,
    attempts,
    policy: () => values()['agents.enrollment'],
    now,
  };
  const approvals = createApprovals({
    ...ofEnrollment,
    blockOf: addressBlock,
    siteOf,
    onPending: (count) => metrics.instruments.queuegate_pending_enrollments.set(count),
  });
  const onRecovered = (agentId: string): void => {
    sessions.identityReplaced(agentId);
    revocationLists.touch();
  };
  const recoveries = createRecoveries({ ...ofEnrollment, pin: () => pki.pin(), onRecovered });
  const issuing = createIssuing({
    ...ofEnrollment,
    authority: pki.authority,
    trust: pki.trust,
    signing: pki.signingCertificate,
  });
  const enrollment = createEnrollment({ ...ofEnrollment, tokens: enrollmentTokens, approvals, recoveries });

  let proxies = new AddressSet(values()['websocket.trustedProxies']);
  const onUnexpected = (error: unknown, url: string): void =>
    log.error(
      { error: textOf(error), stack: error instanceof Error ? error.stack : undefined, url },
      'a request failed unexpectedly',
    );
  const apps: ListenerApps = await createListenerApps({
    central,
    credentials: pki.first,
    handshake,
    enrollment,
    revocationLists,
    checkClientCertificate: (shown) => revocations.checkClientCertificate(shown),
    trustedProxies: () => proxies,
    maxFrameBytes: values()['agents.maxFrameBytes'],
    asksForCertificate: values()['websocket.secure.clientAuth'] !== 'none',
    deadlineMs: () => values()['agents.welcomeTimeoutSeconds'] * 1000,
    maxHandshakes: () => maxHandshakes(values()['agents.max']),
    admin: async (_listener, server, gate) => {
      const app = createHttpApp({ server, gate, maxBodyBytes: MAX_ADMIN_BODY_BYTES, onUnexpected });
      await adminRoutes(app, {
        operators,
        enrollmentTokens,
        parameters,
        changes,
        agents: {
          find: (reference) => findAgent(store.agents, reference),
          findId: (reference) => findAgentId(store.agents, reference),
          list: (page) => store.agents.list(page),
          incidents: (page) => store.agents.incidents(page),
          remove: (id, actor) => revocations.remove(id, actor),
          revoke: (id, reason, terms, actor) => revocations.revoke(id, reason, terms, actor),
        },
        messages: {
          async append(agentId, messages) {
            const { 'agents.outbox.maxMessages': maxMessages, 'agents.outbox.maxBytes': maxBytes } = values();
            const appended = await store.outbox.append(agentId, messages, { maxMessages, maxBytes }, now());
            sessions.notify(agentId);
            return appended;
          },
          deadLetters: (page) => store.inbox.deadLetters(page),
        },
        backups: {
          make: (password, actor) => backups.make(password, actor),
          stage: (sealed, password, actor) => backups.stage(sealed, password, actor),
          apply,
        },
        events: {
          read: (after, filter, limit, gone) => store.inbox.read(after, filter, limit, gone),
          lastCursor: () => store.inbox.lastCursor(),
          wait: (cursor, signal) => hub.wait(cursor, signal),
        },
        authority: {
          get pem() {
            return pki.trust.pem();
          },
          get pin() {
            return pki.pin();
          },
          signingKey: pki.signingKey.fingerprint,
        },
        approvals,
        issuing,
        recoveries,
        authorityService: pki.authorityService,
        serverCertificates: pki.serverCertificates,
        expiry: pki.expiry,
        revocationLists,
        rotation: pki.rotation,
        profileFaults: () => pki.profiles?.faults() ?? [],
        advertised: () => ({
          host: config.advertisedNames[0],
          port: listeners.port('secure') ?? values()['websocket.secure.port'],
        }),
        status: () => status(),
        store: { stats: () => store.stats(), space: () => space.current() },
        handshakeFailures,
        metrics,
        isLocal: (socket) => localSocket.has(socket),
        now,
        onUnexpected,
      });
      await app.ready();
      return app;
    },
    onFailure: (listener, fault, address) => {
      handshakeFailures.record(listener, fault, address);
      log.debug({ listener, cause: fault.code, address }, 'a handshake came to nothing');
    },
    onUnexpected,
  });
  const localSocket: LocalAdministration = new LocalAdministration({
    folder: config.dataFolder,
    accept: (socket) => apps.acceptLocal(socket),
    log,
  });
  const listeners: Listeners<ServerCredentials> = new Listeners({
    bindAddresses: config.bindAddress === undefined ? [] : [config.bindAddress],
    adminBindAddresses: config.adminBindAddress === undefined ? [] : [config.adminBindAddress],
    accept: apps.accept,
    certificate: pki.live,
    onApplied: (applied) => {
      sessions.endWhere((facts) =>
        transportRefusal(applied, facts.listener, {
          address: facts.address,
          peer: facts.peer,
          scheme: facts.transport,
        }),
      );
    },
    log,
  });
  const status = (): StatusReport => ({
    central,
    node: central,
    version: VERSION,
    startedAt,
    listeners: listeners.listening(),
    certificate: certificateStatus(pki.identity.current()),
    restore: restored,
    problems: [
      ...listeners.trouble(['plain', 'secure', 'https']),
      ...(parameters.trouble === null ? [] : [parameters.trouble]),
    ],
    // What an agent's traffic, a name or any account of the host can cause is no reason for a balancer to take Central down.
    advice: [...space.trouble(), ...names.problems(), ...listeners.trouble(['http']), ...localSocket.problems()],
  });
  const centralAgent = config.centralAgent
    ? createCentralAgent(config, {
        store,
        enrollmentTokens,
        plainPort: () => listeners.port('plain') ?? values()['websocket.port'],
        log,
      })
    : undefined;
  const onParametersChanged = (next: ParameterValues, before: ParameterValues): void => {
    const moved = (...names: readonly (keyof ParameterValues)[]): boolean =>
      names.some((name) => !sameValue(next[name], before[name]));
    if (moved('deadLetters.maxPerAgent', 'deadLetters.maxBytesPerAgent', 'agents.eventsPerDay', 'store.reserveBytes'))
      store
        .bound(storeBounds(next))
        .catch((error: unknown) => log.error({ error: textOf(error) }, 'the bounds of the store could not be set'));
    if (moved('websocket.secure.clientAuth')) apps.askForCertificate(next['websocket.secure.clientAuth'] !== 'none');
    if (!moved('websocket.trustedProxies', 'agents.maxFrameBytes', 'websocket.port')) return;
    proxies = new AddressSet(next['websocket.trustedProxies']);
    apps.setMaxFrameBytes(next['agents.maxFrameBytes']);
    centralAgent
      ?.writeProfile()
      .catch((error: unknown) =>
        log.error({ error: textOf(error) }, 'the configuration of the Central agent could not be written'),
      );
  };
  const maintenance = new Maintenance({
    store,
    values,
    metrics,
    log,
    now,
    renewCertificate: () => pki.renew(),
    revocationLists,
    expiry: pki.expiry,
    approvals,
    names,
    trust: pki.rotation,
    space,
    incidents,
  });

  // Listeners first, so that nobody comes in any more; the store last, so that what was accepted is committed.
  let lastCursor = 0;
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      listeners.stop();
      await localSocket
        .stop()
        .catch((error: unknown) =>
          log.error({ error: textOf(error) }, 'the socket of the administration could not be removed'),
        );
      maintenance.stop();
      pki.trustPublication.stop();
      parameters.stop();
      await changes.stop();
      await centralAgent?.stop();
      await sessions.stop(values()['agents.drainSpreadSeconds'], SESSIONS_STOP_MS);
      localSocket.cut();
      await apps.stop();
      // A store that has failed does not tell; then nobody takes its place.
      await incidents.flush(now());
      lastCursor = await store.inbox.lastCursor().catch(() => lastCursor);
      await store.stop();
      log.info('Central stopped');
    })();
    return stopping;
  };
  try {
    await listeners.start(values());
    await localSocket.start();
    maintenance.start();
    pki.trustPublication.start();
    await pki.profiles?.follow();
    const administratorToken = await firstToken(operators, config);
    await centralAgent?.start();
    return {
      administratorToken,
      listens: [...listeners.words(), ...localSocket.words()],
      problems: [...status().problems, ...status().advice],
      enrollment: async () => {
        const { token } = await enrollmentTokens.create(
          { lifetimeSeconds: DEFAULT_ENROLLMENT_SECONDS, maxUses: 1, agentName: null },
          CENTRAL,
        );
        return {
          token,
          line: enrollmentLine({
            host: config.advertisedNames[0],
            port: listeners.port('secure') ?? values()['websocket.secure.port'],
            token,
            pin: pki.pin(),
          }),
        };
      },
      port: (listener) => listeners.port(listener),
      failed,
      restore,
      lastCursor: () => lastCursor,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function storeBounds(values: ParameterValues): StoreBounds {
  return {
    deadLettersPerAgent: values['deadLetters.maxPerAgent'],
    deadLetterBytesPerAgent: values['deadLetters.maxBytesPerAgent'],
    eventsPerDay: values['agents.eventsPerDay'],
    reserveBytes: values['store.reserveBytes'],
  };
}

/** What is told of the server certificate: never its key. */
function certificateStatus(credentials: ServerCredentials | undefined): StatusReport['certificate'] {
  if (credentials === undefined) return null;
  const { subject, names, notAfter, thumbprint } = credentials;
  return { subject, names, notAfter, thumbprint };
}

/** The view of the parameters on a session. What comes unencrypted through a proxy's line counts as unencrypted. */
function onlineAgent({
  agentId,
  agentName,
  listener,
  transport,
  address,
  peer,
  loopback,
  certificate,
  since,
}: SessionFacts): OnlineAgent {
  const plainHop = listener === 'plain' && !isLoopback(peer);
  return {
    agentId,
    name: agentName,
    transport: plainHop ? 'ws' : transport,
    address,
    loopback: loopback && !plainHop,
    byKeyAlone: certificate === null,
    since,
  };
}

interface CentralAgentParts {
  readonly store: Store;
  readonly enrollmentTokens: EnrollmentTokens;
  readonly plainPort: () => number;
  readonly log: Logger;
}

function createCentralAgent(
  config: CentralConfig,
  { store, enrollmentTokens, plainPort, log }: CentralAgentParts,
): CentralAgent {
  return new CentralAgent({
    folder: join(config.dataFolder, 'central-agent'),
    profile: PROFILE,
    async enrollmentToken() {
      // Registered, but its data folder is gone: the name is reserved, so that the record can only be its own.
      const lost = await store.agents.findByName(CENTRAL_AGENT_NAME);
      if (lost !== undefined) {
        await store.agents.remove(lost.id);
        await store.audit.append(
          auditEntry(
            CENTRAL,
            'agent.remove',
            { id: lost.id, reason: 'the Central agent lost its data folder and enrolls anew' },
            Date.now(),
          ),
        );
      }
      return (
        await enrollmentTokens.create(
          { lifetimeSeconds: DEFAULT_ENROLLMENT_SECONDS, maxUses: 1, agentName: CENTRAL_AGENT_NAME },
          CENTRAL,
        )
      ).token;
    },
    plainPort,
    localApiPort: CENTRAL_AGENT_API_PORT,
    name: CENTRAL_AGENT_NAME,
    log,
  });
}

/** Shown once by main.ts; afterwards it is in its 0600 file only, and its hash in the store. */
async function firstToken(operators: Operators, config: CentralConfig): Promise<string | undefined> {
  if ((await operators.list()).length > 0) return undefined;
  // A file that cannot be written is found now: a token that nobody has would lock the administrator out.
  await replaceSecretFile(join(config.dataFolder, ADMINISTRATOR_TOKEN_FILE), Buffer.alloc(0));
  const token = await operators.first();
  if (token !== undefined)
    await replaceSecretFile(join(config.dataFolder, ADMINISTRATOR_TOKEN_FILE), Buffer.from(`${token}\n`));
  return token;
}
