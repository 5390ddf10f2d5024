// A branch machine as the package makes it, in a folder: launcher, bundle, Node.js, and what starts the agent again
// when it ends.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { bundleAgent } from '../../../deploy/bundle.ts';
import type { Entry } from '../../../deploy/entry.ts';
import { programEntries, softwareRelease } from '../../../deploy/packages.ts';
import { machineTarget } from '../../../shared/platform/machine.ts';
import { signManifest } from '../../../shared/releases/build-signature.ts';
import { branch, release, type FalseCentral, type Release } from '../../agent/releases/central.ts';
import { ROOT, run, Running, type Cleanup } from '../../flow/processes.ts';

const FAST_LIFE = resolve(import.meta.dirname, 'fast-life.ts');
const { privateKey: buildKey } = generateKeyPairSync('ed25519');

const program: Entry[] = programEntries(await bundleAgent());

interface Version {
  readonly version: string;
  readonly isFast?: boolean;
  /** In place of what the build made. */
  readonly cli?: string;
}

/** The files of the program as it is built, with a version of its own. */
function filesOf({ version, isFast = true, cli }: Version): Record<string, string | Buffer> {
  const files = Object.fromEntries(program.map(({ path, content }) => [path, content] as const));
  const options = isFast ? `--import=${FAST_LIFE}` : '--max-semi-space-size=1';
  return {
    ...files,
    'node-options': `${options}\n`,
    'package.json': `{"type":"module","version":"${version}"}\n`,
    ...(cli === undefined ? {} : { 'agent/cli.js': cli }),
  };
}

export function programRelease(version: Version): Release {
  const made = release(filesOf(version), { kind: 'software', name: `queue-agent-program-${version.version}` });
  return { ...made, signature: JSON.stringify(signManifest(made.text, buildKey, 'build')) };
}

/** The archive (.qgs) of a program, for the import at a Central. */
export function programArchive(version: Version): Buffer {
  const entries = Object.entries(filesOf(version)).map(([path, content]) => ({
    path,
    content: Buffer.from(content),
    executable: false,
  }));
  const build = { key: buildKey, keyId: 'build' };
  return softwareRelease(`queue-agent-program-${version.version}`, entries, build, 0).archive;
}

/** Node.js of this process, for this machine. */
export function runtimeRelease(): Release {
  const name = `queue-agent-runtime-${process.versions.node}-${machineTarget()}`;
  const node = readFileSync(process.execPath);
  const made = release({ node }, { kind: 'software', name, executable: ['node'] });
  return { ...made, signature: JSON.stringify(signManifest(made.text, buildKey, 'build')) };
}

interface MachineOptions {
  readonly isFast?: boolean;
  /** Of the launcher: its watchdog sleeps so many seconds in place of five. */
  readonly sleepSeconds?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

export class BranchMachine {
  readonly root: string;
  readonly data: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #cleanup: Cleanup;
  /** What the launcher started, and how each process ended. */
  readonly slots: string[] = [];
  readonly ends: string[] = [];
  output = '';
  #isStopped = false;
  #running: Running | undefined;

  private constructor(cleanup: Cleanup, root: string, data: string, environment: Readonly<Record<string, string>>) {
    this.#cleanup = cleanup;
    this.root = root;
    this.data = data;
    this.#environment = environment;
  }

  static async make(cleanup: Cleanup, central: FalseCentral, options: MachineOptions = {}): Promise<BranchMachine> {
    const folders = await branch({
      'conf/agent.conf': `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${central.port}\n`,
    });
    return await BranchMachine.install(cleanup, folders, options);
  }

  /** With the profile and the data of an agent that is enrolled. */
  static async install(
    cleanup: Cleanup,
    { profile, data }: { readonly profile: string; readonly data: string },
    { isFast = true, sleepSeconds = 5, environment = {} }: MachineOptions = {},
  ): Promise<BranchMachine> {
    const root = await cleanup.folder();
    // The folder of the software is made by the agent where it is missing, as in an archive that was just unpacked.
    for (const folder of ['lib/factory/runtime', 'bin']) mkdirSync(join(root, folder), { recursive: true });
    cpSync(join(ROOT, 'deploy/queue-agent/launch'), join(root, 'lib/launch'));
    writeFileSync(join(root, 'lib/build-key.pem'), createPublicKey(buildKey).export({ format: 'pem', type: 'spki' }));
    symlinkSync(process.execPath, join(root, 'lib/factory/runtime/node'));
    for (const [path, content] of Object.entries(filesOf({ version: '0.0.1', isFast }))) {
      mkdirSync(dirname(join(root, 'lib/factory/program', path)), { recursive: true });
      writeFileSync(join(root, 'lib/factory/program', path), content);
    }
    writeFileSync(join(root, 'bin/sleep'), `#!/bin/sh\nexec /bin/sleep ${sleepSeconds}\n`);
    chmodSync(join(root, 'bin/sleep'), 0o755);
    writeFileSync(join(root, 'steps'), '');
    return new BranchMachine(cleanup, root, data, {
      PATH: `${join(root, 'bin')}:/usr/bin:/bin`,
      QUEUE_AGENT_PROFILE: profile,
      QUEUE_AGENT_DATA_FOLDER: data,
      QUEUE_AGENT_LOCAL_API_PORT: '0',
      QUEUE_AGENT_SOFTWARE_FOLDER: join(root, 'software'),
      STEPS: join(root, 'steps'),
      ...environment,
    });
  }

  /** What another command of the agent prints. */
  async print(...words: readonly string[]): Promise<string> {
    const { stdout, stderr } = await run(join(this.root, 'lib/launch'), words, { env: this.#environment });
    return `${stdout}${stderr}`;
  }

  /** Starts the agent, and again each time it ends. */
  serve(): void {
    this.#cleanup.add(() => this.stop());
    void this.#serve();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running?.stop();
  }

  get pid(): number | undefined {
    return this.#running?.child.pid;
  }

  stateFile(name: string): string | undefined {
    const file = join(this.root, 'software/state', name);
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  }

  get steps(): string[] {
    return readFileSync(join(this.root, 'steps'), 'utf8').split('\n').filter(Boolean);
  }

  async #serve(): Promise<void> {
    while (!this.#isStopped) {
      const running = new Running(join(this.root, 'lib/launch'), ['start'], { env: this.#environment });
      this.#running = running;
      const { code, signal, stdout, stderr } = await running.ended();
      this.ends.push(signal ?? String(code));
      this.output += `${stdout}${stderr}`;
    }
  }
}
