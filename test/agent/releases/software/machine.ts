// A machine with an installed agent: the real launcher, slots and state; what it would start as Node.js says which slot
// it is, and the daemon of that slot runs in the process of the test.
import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { softwareSlot, type SoftwareSlot } from '../../../../agent/software-slot.ts';
import { signManifest } from '../../../../shared/releases/build-signature.ts';
import {
  branch,
  cleanup,
  copyOf,
  release,
  run,
  type Branch,
  type FalseCentral,
  type Release,
  type RunOptions,
} from '../central.ts';

const LAUNCH = resolve(import.meta.dirname, '../../../../deploy/queue-agent/launch');
/** In the place of Node.js. */
const NODE = '#!/bin/sh\necho "$QUEUE_AGENT_SLOT"\n';
const MACHINE = 'linux-x64';

export const buildKey = generateKeyPairSync('ed25519').privateKey;

function signed(made: Release, key: KeyObject): Release {
  return { ...made, signature: JSON.stringify(signManifest(made.text, key, 'build')) };
}

/** A program of this version. */
export function program(version: string, key: KeyObject = buildKey): Release {
  const files = { 'agent/cli.js': `// ${version}\n`, 'agent/main.js': `// main of ${version}\n`, 'node-options': '\n' };
  return signed(release(files, { kind: 'software', name: `queue-agent-program-${version}` }), key);
}

export function runtime(version: string, machine = MACHINE): Release {
  const name = `queue-agent-runtime-${version}-${machine}`;
  return signed(release({ node: `${NODE}# ${version}\n` }, { kind: 'software', name, executable: ['node'] }), buildKey);
}

export interface Machine extends Branch {
  /** With lib/ and software/. */
  readonly root: string;
}

export async function machine(central: FalseCentral): Promise<Machine> {
  const conf = `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${central.port}\n`;
  const pem = createPublicKey(buildKey).export({ format: 'pem', type: 'spki' });
  const folders = await branch({
    'conf/agent.conf': conf,
    'conf/agent.local.conf': 'software.signers=conf/build-key.pem\n',
    'conf/build-key.pem': pem,
  });
  const root = folder();
  for (const made of ['lib/factory/program/agent', 'lib/factory/runtime', 'software/state', 'software/slots'])
    mkdirSync(join(root, made), { recursive: true });
  cpSync(LAUNCH, join(root, 'lib/launch'));
  writeFileSync(join(root, 'lib/factory/program/agent/cli.js'), '// factory\n');
  writeFileSync(join(root, 'lib/factory/runtime/node'), NODE);
  chmodSync(join(root, 'lib/factory/runtime/node'), 0o755);
  // The watchdog of the launcher looks at once whether what it watches has ended.
  mkdirSync(join(root, 'bin'));
  writeFileSync(join(root, 'bin/sleep'), '#!/bin/sh\nexec /bin/sleep 0.01\n');
  chmodSync(join(root, 'bin/sleep'), 0o755);
  return { ...folders, root };
}

export async function copyOfMachine(from: Machine): Promise<Machine> {
  const root = folder();
  cpSync(from.root, root, { recursive: true });
  return { ...(await copyOf(from)), root };
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'queuegate-machine-'));
  cleanup.push(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** What the launcher starts. */
export function launch({ root }: Machine): SoftwareSlot {
  const software = join(root, 'software');
  const environment = { PATH: `${join(root, 'bin')}:/usr/bin:/bin`, QUEUE_AGENT_SOFTWARE_FOLDER: software };
  const { stdout, stderr } = spawnSync(join(root, 'lib/launch'), ['start'], { encoding: 'utf8', env: environment });
  const slot = softwareSlot({ QUEUE_AGENT_SOFTWARE_FOLDER: software, QUEUE_AGENT_SLOT: stdout.trim() });
  if (slot === undefined) throw new Error(`the launcher started nothing: ${stdout} ${stderr}`);
  return slot;
}

export function stateFile({ root }: Machine, name: string): string | undefined {
  const file = join(root, 'software/state', name);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/** Starts the daemon of the slot that the launcher chooses; `restarted` resolves when it wants to be started again. */
export async function start(of: Machine, options: Omit<RunOptions, 'software'> = {}) {
  const slot = launch(of);
  const { promise: restarted, resolve: restart } = Promise.withResolvers<'restart'>();
  const part = (name: 'program' | 'runtime'): string =>
    slot.pair[name] === null ? join(of.root, 'lib/factory', name) : join(slot.folder, 'slots', slot.pair[name]);
  const agent = await run(of, {
    ...options,
    software: {
      slot,
      running: { program: part('program'), runtime: part('runtime') },
      machine: MACHINE,
      restart: () => restart('restart'),
    },
  });
  return { slot, agent, restarted };
}

export type Started = Awaited<ReturnType<typeof start>>;

/** Starts it again each time it wants that, as a service manager does, until `done`. */
export async function serve(of: Machine, done: Promise<unknown>, onStarted?: (started: Started) => void) {
  for (;;) {
    const started = await start(of);
    onStarted?.(started);
    if ((await Promise.race([started.restarted, done.then(() => 'done' as const)])) === 'done') return started;
    await started.agent.stop();
  }
}

export function slotFolder({ root }: Machine, digest: string): string {
  return join(root, 'software/slots', digest);
}
