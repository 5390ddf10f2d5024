// Owns the agent on Central's own host: leaves it the one-time enrollment (0600), writes its local configuration, and keeps its
// process running. It is an agent like any other: it enrolls, it signs, it has no right of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { replaceFile } from '../shared/files/atomic-file.ts';
import { createBackoff } from '../shared/backoff.ts';
import { replaceSecretFile } from '../shared/files/secret-file.ts';

export interface CentralAgentOptions {
  /** Holds its profile and its data. */
  readonly folder: string;
  /** The template: profiles/central. */
  readonly profile: string;
  /** Makes a one-time enrollment token for it. */
  readonly enrollmentToken: () => Promise<string>;
  readonly plainPort: () => number;
  readonly localApiPort: number;
  readonly name: string;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
}

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
    await this.writeProfile();
    const token = existsSync(join(this.#options.folder, 'data', 'identity.json'))
      ? undefined
      : await this.#options.enrollmentToken();
    if (token !== undefined) {
      const enrollment = { url: `http://127.0.0.1:${this.#options.plainPort()}`, token };
      await replaceSecretFile(
        join(this.#options.folder, 'enrollment.json'),
        Buffer.from(`${JSON.stringify(enrollment)}\n`),
      );
    }
    this.#spawn();
  }

  /** Its configuration says where the plain listener is; the agent reads it again at each dial, so that it follows a port that moves. */
  async writeProfile(): Promise<void> {
    const { folder, profile, plainPort, localApiPort, name } = this.#options;
    const conf = join(folder, 'profile', 'conf');
    await mkdir(conf, { recursive: true, mode: 0o700 });
    await replaceFile(join(conf, 'agent.conf'), await readFile(join(profile, 'conf', 'agent.conf')), 0o600);
    const local = [
      '# Written by Central at each start and when its plain port moves: changes here do not stay.',
      `central.host = 127.0.0.1:${plainPort()}`,
      `agent.name = ${name}`,
      `local.api.port = ${localApiPort}`,
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
    // On Windows this ends the process at once; its logs are on disk, so nothing is lost by it.
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
    await gone;
    clearTimeout(kill);
  }

  #spawn(): void {
    const { folder, log } = this.#options;
    const program = fileURLToPath(import.meta.url);
    const extension = program.endsWith('.ts') ? 'ts' : 'js';
    const cli = join(dirname(program), '..', 'agent', `cli.${extension}`);
    const startedAt = performance.now();
    // The channel carries nothing: its end tells the agent that Central is gone, also after kill -9. Else the old agent would hold the
    // data folder against the one that the next Central starts.
    const child = spawn(
      process.execPath,
      [cli, 'start', '--profile', join(folder, 'profile'), '--data-folder', join(folder, 'data')],
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
