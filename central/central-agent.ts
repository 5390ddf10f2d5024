// Runs the agent on Central's own host: writes its one-time enrollment (0600) and its local configuration, and keeps
// its process running. It is an agent like any other: it enrolls, it signs, it has no rights of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../shared/files/disk-faults.ts';
import { replaceFile } from '../shared/files/atomic-file.ts';
import { createBackoff } from '../shared/backoff.ts';
import { replaceSecretFile } from '../shared/files/secret-file.ts';
import { removeUnfinishedFiles } from '../shared/files/unfinished-files.ts';
import { auditEntry, CENTRAL } from './audit.ts';
import { configFault, type CentralConfig } from './config.ts';
import { DEFAULT_ENROLLMENT_SECONDS, type EnrollmentTokens } from './enrollment/tokens.ts';
import type { ParameterValues } from './parameters/definitions.ts';
import { CENTRAL_AGENT_NAME } from './store/agent-names.ts';
import type { Store } from './store/store.ts';

interface CentralAgentOptions {
  /** Holds its profile and its data. */
  readonly folder: string;
  /** Of the agent: its command line. */
  readonly program: string;
  /** The template: profiles/central. */
  readonly profile: string;
  /** Makes a one-time enrollment token for it. */
  readonly enrollmentToken: () => Promise<string>;
  readonly wsPort: () => number;
  readonly localApiPort: number;
  readonly name: string;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
}

const PROFILE = resolve(fileURLToPath(import.meta.url), '../../profiles/central');
/** Beside Central's: packages of Central alone do not have it. */
const PROGRAM = resolve(fileURLToPath(import.meta.url), `../../agent/cli${extname(fileURLToPath(import.meta.url))}`);
const LOCAL_API_PORT = 8889;
/** A daemon that ends is started again: soon, and then less often. */
const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** From SIGTERM to SIGKILL. */
const STOP_GRACE_MS = 5_000;

export class CentralAgent {
  readonly #options: CentralAgentOptions;
  readonly #backoff = createBackoff(Math.random, FIRST_RESTART_MS, LONGEST_RESTART_MS);
  #state: 'new' | 'running' | 'stopped' = 'new';
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: CentralAgentOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    for (const part of ['.', 'profile/conf']) await removeUnfinishedFiles(join(this.#options.folder, part));
    await this.writeProfile();
    const token = existsSync(join(this.#options.folder, 'data', 'identity.json'))
      ? undefined
      : await this.#options.enrollmentToken();
    if (token !== undefined) {
      const enrollment = { url: `http://127.0.0.1:${this.#options.wsPort()}`, token };
      await replaceSecretFile(
        join(this.#options.folder, 'enrollment.json'),
        Buffer.from(`${JSON.stringify(enrollment)}\n`),
      );
    }
    this.#spawn();
  }

  /**
   * Its configuration says where the ws listener is; the agent reads it again at each dial, so that it follows a port
   * that moves.
   */
  async writeProfile(): Promise<void> {
    const { folder, profile, wsPort, localApiPort, name } = this.#options;
    const conf = join(folder, 'profile', 'conf');
    await makeFolder(conf, 0o700);
    await replaceFile(join(conf, 'agent.conf'), await readFile(join(profile, 'conf', 'agent.conf')), 0o600);
    const local = [
      '# Written by Central at each start and when its ws port moves: changes here do not stay.',
      `central.host = 127.0.0.1:${wsPort()}`,
      `agent.name = ${name}`,
      `localApi.port = ${localApiPort}`,
      'enrollment.file = ../enrollment.json',
      '',
    ];
    await replaceFile(join(conf, 'agent.local.conf'), Buffer.from(local.join('\n')), 0o600);
  }

  async stop(): Promise<void> {
    this.#state = 'stopped';
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    // On Windows this ends the process at once; its logs are on disk, so nothing is lost.
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
    await gone;
    clearTimeout(kill);
  }

  #spawn(): void {
    const { folder, program, log } = this.#options;
    const startedAt = performance.now();
    // The channel carries nothing: its end shows the agent that Central is gone, also after kill -9. Otherwise the old
    // agent would keep the data folder locked for the one that the next Central starts.
    const child = spawn(
      process.execPath,
      [program, 'start', '--profile', join(folder, 'profile'), '--data-folder', join(folder, 'data')],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    );
    this.#child = child;
    child.once('error', (error) => log.warn({ error: error.message }, 'the Central agent could not be started'));
    child.once('exit', (code, signal) => {
      if (this.#state !== 'running') return;
      if (performance.now() - startedAt > LONGEST_RESTART_MS) this.#backoff.reset();
      const delayMs = this.#backoff.next(FIRST_RESTART_MS);
      log.warn({ code, signal, restartInMs: delayMs }, 'the Central agent ended and is started again');
      this.#restart = setTimeout(() => this.#spawn(), delayMs);
    });
  }
}

interface CentralAgentNeeds {
  readonly config: Pick<CentralConfig, 'centralAgent' | 'dataFolder'>;
  readonly store: Pick<Store, 'agents'>;
  readonly enrollmentTokens: Pick<EnrollmentTokens, 'create'>;
  readonly parameters: { values(): Pick<ParameterValues, 'websocket.port'> };
  readonly listeners: { port(listener: 'ws'): number | undefined };
  readonly log: CentralAgentOptions['log'];
  readonly now: () => number;
}

/** The Central agent; undefined where the configuration has none. Errors: central_agent_missing. */
export function openCentralAgent(needs: CentralAgentNeeds): CentralAgent | undefined {
  const { config, parameters, listeners, log } = needs;
  if (!config.centralAgent) return undefined;
  if (!existsSync(PROGRAM)) throw configFault('central_agent_missing', { path: PROGRAM });
  return new CentralAgent({
    folder: join(config.dataFolder, 'central-agent'),
    program: PROGRAM,
    profile: PROFILE,
    enrollmentToken: async () => await enrollmentToken(needs),
    wsPort: () => listeners.port('ws') ?? parameters.values()['websocket.port'],
    localApiPort: LOCAL_API_PORT,
    name: CENTRAL_AGENT_NAME,
    log,
  });
}

async function enrollmentToken({ store, enrollmentTokens, now }: CentralAgentNeeds): Promise<string> {
  // Registered, but its data folder is gone: the name is reserved, so that the record can only be its own.
  const lost = await store.agents.findByName(CENTRAL_AGENT_NAME);
  if (lost !== undefined) {
    const reason = 'the Central agent lost its data folder and enrolls again';
    await store.agents.remove(lost.id, auditEntry(CENTRAL, 'agents.delete', { id: lost.id, reason }, now()));
  }
  const { token } = await enrollmentTokens.create(
    { lifetimeSeconds: DEFAULT_ENROLLMENT_SECONDS, maxUses: 1, agentName: CENTRAL_AGENT_NAME },
    CENTRAL,
  );
  return token;
}
