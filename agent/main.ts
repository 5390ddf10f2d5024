// The composition root of the agent: opens every part once, and stops them in a written order. The command line is
// cli.ts.
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeFolder } from '../shared/files/disk-faults.ts';
import type { Logger } from 'pino';
import { textOf, type CodedError } from '../shared/errors.ts';
import { removeUnfinishedFiles } from '../shared/files/unfinished-files.ts';
import { machineTarget } from '../shared/platform/machine.ts';
import { changedSettings } from '../shared/settings/settings.ts';
import { freshFolder } from '../shared/sqlite/fresh-folder.ts';
import { openLog } from '../shared/terminal/log.ts';
import { VERSION } from '../shared/version.ts';
import { openAgentStore, type AgentStore } from './store/store.ts';
import { Routing } from './store/routing.ts';
import { FIXED_SETTINGS, LIVE_SETTINGS, loadAgentConf, type AgentConf, type AgentConfRequest } from './conf.ts';
import { agentName, targetName } from './target.ts';
import { ConsumerReport } from './connection/consumer-report.ts';
import { expiredReport } from './connection/expired-report.ts';
import { createControl } from './connection/control.ts';
import { Daemon } from './daemon.ts';
import type { LocalApiPorts } from './local-api/types.ts';
import { openDevices, type Devices } from './local-api/devices/open-devices.ts';
import { inboxProblems } from './local-api/inbox-problems.ts';
import { openLocalApi, type LocalApi } from './local-api/listeners.ts';
import {
  identityFile,
  loadCredentials,
  loadIdentity,
  loadOrCreateKey,
  type AgentKey,
  type Credentials,
} from './identity/identity.ts';
import { ConsumerTokens } from './local-api/tokens.ts';
import type { ReleaseNeeds } from './releases/manager.ts';
import { openReleases, type Releases } from './releases/open-releases.ts';
import { Renewal } from './renewal/renewal.ts';
import { Services } from './services/services.ts';
import { TaskLogs } from './tasks/task-logs.ts';
import { Tasks } from './tasks/tasks.ts';
import { TaskReport } from './connection/task-report.ts';
import { softwareSlot, type SoftwareSlot } from './software-slot.ts';
import { createTrustUpdates } from './trust/updates.ts';
import { trustFile, trustFolder } from './trust/managed-roots.ts';
import { loadTrusted } from './trust/trusted.ts';

/** How long (source, id) is remembered (docs/RELIABILITY.md, promise 7). */
const DEDUPLICATION_MS = 7 * 86_400_000;
const EXPIRE_MS = 30_000;
const PRUNE_MS = 6 * 3_600_000;
/** Messages of one burst are closer to each other. */
const RECENT_MS = 200;

interface RunningAgent {
  readonly conf: AgentConf;
  /** Resolves when the agent has ended by itself, with the error that ended it. */
  readonly failed: Promise<CodedError>;
  /** Resolves when it is to be stopped and started again, with other software. */
  readonly restart: Promise<'restart'>;
  /** Reads the configuration again (SIGHUP). Never rejects. */
  reload(): Promise<void>;
  /** Ends in order: local API, releases, connection, store. May be called twice. */
  stop(): Promise<void>;
}

/** What the parts share. */
interface Ground {
  readonly request: AgentConfRequest;
  /** The configuration of the start. */
  readonly conf: AgentConf;
  readonly store: AgentStore;
  /** Of programs on this host. */
  readonly tokens: ConsumerTokens;
  readonly devices: Devices;
  readonly log: Logger;
  readonly now: () => number;
  /** The name that is in every line of the log. */
  readonly who: { agent: string };
}

/** The part that keeps a session with Central. */
interface CentralLink {
  readonly daemon: Daemon;
  readonly releases: Releases;
  readonly services: Services;
  readonly tasks: Tasks;
  readonly report: TaskReport;
  /** The current key, for the status. A dial reads the key together with the identity. */
  key(): AgentKey;
}

/** Starts the daemon. Throws what the operator has to fix; then nothing runs. */
export async function startAgent(request: AgentConfRequest): Promise<RunningAgent> {
  const conf = await loadAgentConf(request);
  const who = { agent: await nameAtStart(conf) };
  const { log } = openLog(conf.logLevel, () => who);
  const now = (): number => Date.now();
  const { promise: failed, resolve: fail } = Promise.withResolvers<CodedError>();
  const { promise: restart, resolve: startAgain } = Promise.withResolvers<'restart'>();
  const fresh = freshFolder(conf.dataFolder);
  const opened = new AsyncDisposableStack();
  try {
    await makeFolder(conf.dataFolder, 0o700);
    const store = openAgentStore({
      folder: conf.dataFolder,
      outbox: conf.outbox,
      inbox: conf.inbox,
      deduplicationMs: DEDUPLICATION_MS,
      now,
      onFailure: (error) => {
        log.fatal({ code: error.code }, `${error.message} ${error.hint}`);
        fail(error);
      },
    });
    opened.defer(() => store.stop());
    await removeUnfinished(conf);
    // Before anything is received: each command is routed when it is stored.
    const gone = await store.inbox.route(new Routing(conf.consumers));
    const { dataFolder, consumers, localApi: settings } = conf;
    const tokens = await ConsumerTokens.open({ dataFolder, folder: settings.consumersFolder, consumers, gone, now });
    const devices = await openDevices({ request, conf, log, now, after });
    const ground: Ground = { request, conf, store, tokens, devices, log, now, who };
    const link = await openCentralLink(ground, {
      onCommitted: () => reload(ground, link),
      restart: () => startAgain('restart'),
    });
    const { daemon, releases, tasks } = link;
    opened.defer(() => daemon.stop());
    opened.defer(() => releases.stop());
    opened.defer(() => tasks.stop());
    await tasks.start();
    const ports = localApiPorts(ground, link);
    const api = await openLocalApi({ settings, dataFolder, tokens, devices, ports, log });
    devices.onChanged(() => api.devicesChanged());
    opened.defer(() => api.stop());
    store.outbox.onAppended(() => daemon.notify());
    const maintenance = startMaintenance(store, log);
    opened.defer(() => maintenance.stop());
    announce(conf, api, link.key().thumbprint, log);
    daemon.start((error) => fail(error as CodedError));
    return {
      conf,
      failed,
      restart,
      reload: () => reload(ground, link),
      async stop(): Promise<void> {
        if (opened.disposed) return;
        // In the opposite order: maintenance, local API, tasks, releases, connection, store.
        await opened.disposeAsync();
        log.info('stopped');
      },
    };
  } catch (error) {
    await opened.disposeAsync();
    fresh?.takeBack();
    throw error;
  }
}

/**
 * Removes what a killed process left unfinished: keys, tokens, and the truststore, whose folder may hold files of
 * others.
 */
async function removeUnfinished({ dataFolder, localApi, truststore }: AgentConf): Promise<void> {
  for (const folder of [dataFolder, trustFolder(dataFolder), localApi.consumersFolder])
    await removeUnfinishedFiles(folder);
  // Where there is none, connections say so.
  const path = await realpath(truststore.path).catch(() => truststore.path);
  await removeUnfinishedFiles(dirname(path), basename(path));
}

/** What releases may ask of the process. */
interface ReleaseActs {
  /** Another release is the profile. */
  readonly onCommitted: () => Promise<void>;
  /** Other software is to run. */
  readonly restart: () => void;
}

/** The daemon with what concerns certificates, trust and releases. */
async function openCentralLink(ground: Ground, acts: ReleaseActs): Promise<CentralLink> {
  const { request, conf, store, devices, log, now, who } = ground;
  const { dataFolder } = conf;
  const slot = softwareSlot(request.environment);
  let key = await loadOrCreateKey(dataFolder);
  const renewal: Renewal = new Renewal({
    folder: dataFolder,
    freshKey: () => conf.renewWithFreshKey,
    trusted: async () => {
      const fresh = await loadAgentConf(request);
      return fresh.central.secure ? (await loadTrusted({ ...fresh, dataFolder })).ca : [];
    },
    reconnect: () => daemon.reconnect(),
    onWritten: async () => {
      await daemon.changedByItself(identityFile(dataFolder));
      devices.certificate.look();
    },
    onKey: (next) => (key = next),
    log,
    now,
    after,
    random: Math.random,
  });
  const trust = createTrustUpdates({
    conf: () => loadAgentConf(request),
    dataFolder,
    onWritten: (file) => daemon.changedByItself(file),
    log,
    now,
  });
  const consumers = new ConsumerReport({ read: () => store.inbox.consumerPositions(), log, after });
  const expired = expiredReport(store.inbox, { log, after });
  store.inbox.onChanged(() => {
    consumers.changed();
    expired.changed();
  });
  const services = new Services(conf.services, devices);
  const { tasks, taskLogs, report } = openTasks(ground);
  const releases = openReleases(releaseNeeds(ground, slot, acts, () => daemon));
  const daemon: Daemon = new Daemon({
    firstConf: conf,
    firstName: who.agent,
    onName: (name) => (who.agent = name),
    conf: () => loadAgentConf(request),
    // Key and logs stay in the folder of the start, whatever the configuration says since.
    credentials: async (fresh) => {
      const found = await renewal.alone(async () => await findCredentials({ ...fresh, dataFolder }, log));
      if (found !== undefined) ({ key } = found);
      return found;
    },
    trusted: (fresh) => loadTrusted({ ...fresh, dataFolder }),
    watched: (fresh) => watchedFiles({ ...fresh, dataFolder }),
    control: createControl({
      renewal,
      trust,
      consumers,
      expired,
      releases,
      streams: { http: services, taskLogs },
      tasks: report,
      devices: devices.certificate,
    }),
    outbox: store.outbox,
    inbox: store.inbox,
    software: slot?.pair,
    log,
    now,
  });
  return { daemon, releases, services, tasks, report, key: () => key };
}

/** The tasks, and what reports them to Central. */
function openTasks({ request, conf, store, tokens, log, now, who }: Ground): {
  tasks: Tasks;
  taskLogs: TaskLogs;
  report: TaskReport;
} {
  const tasks = new Tasks({
    dataFolder: conf.dataFolder,
    runnerSocket: conf.runnerSocket,
    profileFolder: conf.profile.folder,
    handlers: conf.taskHandlers,
    queues: conf.queues,
    agentName: () => who.agent,
    records: store.tasks,
    tokens: tokens.tasks,
    environment: request.environment,
    onReport: () => report.handlersChanged(),
    now,
    log,
  });
  const report: TaskReport = new TaskReport({
    records: store.tasks,
    handlers: () => tasks.report(),
    cancel: (canceled) => tasks.cancel(canceled),
    log,
    after,
  });
  report.follow(store, () => tasks.hint());
  const taskLogs = new TaskLogs({ place: (key) => tasks.place(key), records: store.tasks, log });
  return { tasks, taskLogs, report };
}

function releaseNeeds(
  { request, conf: { dataFolder }, store, log }: Ground,
  slot: SoftwareSlot | undefined,
  { onCommitted, restart }: ReleaseActs,
  daemon: () => Daemon,
): ReleaseNeeds {
  return {
    dataFolder,
    identity: () => loadIdentity(dataFolder),
    conf: (release) => loadAgentConf(release === undefined ? request : { ...request, release }),
    livePlan: () => daemon().livePlan(),
    plansFor: (candidate) => daemon().plansFor(candidate),
    attempt: (plan, signal) => daemon().attempt(plan, signal),
    onCommitted,
    software: {
      slot,
      running: { program: join(import.meta.dirname, '..'), runtime: dirname(process.execPath) },
      signers: async () => (await loadAgentConf(request)).softwareSigners,
      machine: machineTarget(),
      connection: () => daemon().status(),
      restart,
    },
    isBusy: recentMessages(store),
    log,
    after,
    clock: () => performance.now(),
    wait: async (ms, signal) => await delay(ms, undefined, { signal }),
  };
}

/** True while messages come and go: downloads wait for them. */
function recentMessages({ outbox, inbox }: AgentStore): () => boolean {
  let at = -RECENT_MS;
  const note = (): void => void (at = performance.now());
  outbox.onAppended(note);
  inbox.onChanged(note);
  return () => performance.now() - at < RECENT_MS;
}

function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** What local programs may use of the daemon and the logs. */
function localApiPorts({ store, log, now }: Ground, link: CentralLink): LocalApiPorts {
  const { daemon } = link;
  return {
    append: (messages) => store.outbox.append(messages),
    take: (consumer, max, after) => store.inbox.take(consumer, max, after),
    deliver: (consumer, through) => store.inbox.deliver(consumer, through),
    lastCursor: (consumer) => store.inbox.lastCursor(consumer),
    waitForCommands: (consumer, timeoutMs, signal, after) =>
      store.inbox.waitForCommands(consumer, timeoutMs, signal, after),
    acknowledge: (consumer, through) => store.inbox.acknowledge(consumer, through),
    consumers: () => store.inbox.consumers(),
    status: async () => ({
      name: daemon.name(),
      version: VERSION,
      keyThumbprint: link.key().thumbprint,
      connection: daemon.status(),
      outbox: counted(await store.outbox.depth()),
      inbox: counted(await store.inbox.depth()),
      releases: link.releases.status(),
      accounts: link.tasks.status().accounts,
    }),
    problems: () => [...inboxProblems(store.inbox), ...link.tasks.problems()],
    notReady: async () => ((await store.outbox.isFull()) ? ['outbox_full'] : []),
    incidents: (page) => store.incidents(page),
    deadLetters: (page) => store.deadLetters(page),
    now,
    maxMessageBytes: () => daemon.maxMessageBytes(),
    source: () => `/agents/${daemon.name()}`,
    onUnexpected: (error, requestId) =>
      log.error({ error: textOf(error), ...(requestId === undefined ? {} : { request: requestId }) }, 'local API'),
  };
}

/** Expires and prunes messages, also while the agent is not connected. */
function startMaintenance(store: AgentStore, log: Logger): { stop(): void } {
  const expiring = setInterval(() => {
    // A store that fails reports itself (onFailure).
    Promise.all([store.outbox.expire(), store.inbox.expire()]).catch((error: unknown) =>
      log.debug({ error: textOf(error) }, 'expiry'),
    );
  }, EXPIRE_MS);
  const pruning = setInterval(() => {
    store.prune().catch((error: unknown) => log.debug({ error: textOf(error) }, 'pruning'));
  }, PRUNE_MS);
  return {
    stop() {
      clearInterval(expiring);
      clearInterval(pruning);
    },
  };
}

/** How much a log holds, in the words of the local API. */
function counted({ messages, bytes, oldestAt }: { messages: number; bytes: number; oldestAt: number | null }) {
  return {
    bytes,
    messageCount: messages,
    oldestAt: oldestAt === null ? null : new Date(oldestAt).toISOString(),
  };
}

/** What it found, said once at the start: a setting that means nothing is a setting that somebody believes in. */
function announce(conf: AgentConf, api: LocalApi, key: string, log: Logger): void {
  const { secure, endpoints, proxies } = conf.central;
  const proxy = (secure ? proxies.wss : proxies.ws)?.proxy;
  log.info(
    {
      version: VERSION,
      profile: conf.profile.folder,
      ...(conf.profile.release === null ? {} : { base: conf.profile.base }),
      dataFolder: conf.dataFolder,
      central: endpoints.map(({ host, port }) => targetName({ secure, host, port })),
      // Never its login.
      ...(proxy === undefined ? {} : { proxy: `${proxy.host}:${proxy.port} (${proxy.origin})` }),
      truststore: secure ? conf.truststore.path : 'none (plain)',
      localApi: api.addresses(),
      key,
    },
    'queue agent started',
  );
  if (conf.unknownKeys.length > 0)
    log.info(
      { keys: conf.unknownKeys.map(({ name }) => name) },
      'keys of agent.conf that mean nothing to this agent; they are kept as they are',
    );
  for (const warning of conf.warnings) log.warn(warning);
}

/**
 * Applies log.level, agent.queues, consumers, services and handlers of tasks. Names the settings that count from the next
 * connection on, and those that need a restart.
 */
async function reload(
  { request, conf, store, tokens, devices, log }: Ground,
  { services, tasks, report }: Pick<CentralLink, 'report' | 'services' | 'tasks'>,
): Promise<void> {
  try {
    const fresh = await loadAgentConf(request);
    log.level = fresh.logLevel;
    const gone = await store.inbox.route(new Routing(fresh.consumers));
    await tokens.change(fresh.consumers, gone);
    services.use(fresh.services);
    await devices.use(fresh);
    await tasks.configure(fresh);
    report.handlersChanged();
    const changed = changedSettings(conf.settings, fresh.settings).filter((name) => !LIVE_SETTINGS.has(name));
    log.info(
      {
        logLevel: fresh.logLevel,
        consumers: fresh.consumers.map(({ name }) => name),
        services: fresh.services.map(({ name }) => name),
        taskHandlers: fresh.taskHandlers.map(({ name }) => name),
        nextConnection: changed.filter((name) => !FIXED_SETTINGS.has(name)),
        needsRestart: changed.filter((name) => FIXED_SETTINGS.has(name)),
      },
      'the configuration was read again',
    );
  } catch (error) {
    log.error(
      { error: textOf(error) },
      'the configuration could not be read again; the agent continues with the previous one',
    );
  }
}

/** Identity and key on disk; without them, the enrollment by the one-time file, if there is one. */
async function findCredentials(conf: AgentConf, log: Logger): Promise<Credentials | undefined> {
  const found = await loadCredentials(conf.dataFolder);
  if (found !== undefined || conf.enrollmentFile === undefined) return found;
  const { enrollByFile } = await import('./enrollment/command.ts');
  const enrolled = await enrollByFile(conf, conf.enrollmentFile);
  if (enrolled === undefined) return undefined;
  log.info({ id: enrolled.id, name: enrolled.name, central: enrolled.central }, 'enrolled by the one-time file');
  return await loadCredentials(conf.dataFolder);
}

/** The name that it enrolled with, unless another one is configured. */
async function nameAtStart(conf: AgentConf): Promise<string> {
  try {
    const identity = await loadIdentity(conf.dataFolder);
    return identity === undefined ? conf.name : agentName(conf, identity);
  } catch {
    // The first dial reports what is wrong with it.
    return conf.name;
  }
}

function proxyFiles({ central: { proxies } }: AgentConf): string[] {
  const files = [proxies.wss, proxies.ws].flatMap((choice) => choice?.proxy.passwordFile ?? []);
  return [...new Set(files)];
}

function watchedFiles(conf: AgentConf): string[] {
  return [
    join(conf.profile.folder, 'conf', 'agent.conf'),
    join(conf.profile.base, 'conf', 'agent.local.conf'),
    ...proxyFiles(conf),
    conf.truststore.path,
    trustFile(conf.dataFolder),
    identityFile(conf.dataFolder),
    ...(conf.enrollmentFile === undefined ? [] : [conf.enrollmentFile]),
  ];
}
