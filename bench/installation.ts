// Installs the product as a user has it: the output of `npm run build` in a folder of its own, since type stripping
// costs memory and start time. Gives Central with a fresh copy of a data folder in which agents are enrolled.
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { generateKeyPairSync, createPublicKey } from 'node:crypto';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { makeRequest } from '../agent/enrollment/csr.ts';
import type { Enrolled } from '../shared/wire/enrollment.ts';
import { keyThumbprint } from '../shared/wire/proof.ts';
import { ENROLL_PATH } from '../shared/wire/messages.ts';
import type { AgentSeed } from './load/queuegate.ts';
import { Program } from './process.ts';

const ROOT = resolve(import.meta.dirname, '..');
const ENROLLMENTS_AT_ONCE = 16;
/** As many as one may have. */
const USES_OF_TOKEN = 10_000;

export interface RunningCentral {
  readonly program: Program;
  readonly folder: string;
  readonly token: string;
  readonly ports: { readonly wss: number; readonly https: number; readonly http: number };
  rest(method: string, path: string, body?: unknown): Promise<unknown>;
}

interface CentralOptions {
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Works on the data folder before Central starts. */
  readonly beforeStart?: (folder: string) => Promise<void>;
}

export class Installation {
  /** Everything of this run; removed at the end. */
  readonly folder: string;
  #started = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** `root`: the checkout to build; its node_modules are taken. */
  static async build(root: string = ROOT): Promise<Installation> {
    const folder = await mkdtemp(join(tmpdir(), 'queuegate-bench-'));
    const installation = new Installation(folder);
    try {
      await new Program(process.execPath, [
        join(root, 'node_modules/typescript/bin/tsc'),
        '-p',
        join(root, 'tsconfig.build.json'),
        '--outDir',
        join(folder, 'dist'),
      ]).done();
      await cp(join(root, 'profiles'), join(folder, 'dist/profiles'), { recursive: true });
      await cp(join(root, 'package.json'), join(folder, 'package.json'));
      await symlink(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
    } catch (error) {
      await installation.remove();
      throw error;
    }
    return installation;
  }

  get agentsFile(): string {
    return join(this.folder, 'agents.json');
  }

  get dist(): string {
    return join(this.folder, 'dist');
  }

  get agentCli(): string {
    return join(this.dist, 'agent/cli.js');
  }

  get profile(): string {
    return join(this.dist, 'profiles/default');
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /**
   * Enrolls so many agents over REST and wss, once; every Central of this run begins with a copy of that data folder.
   */
  async enroll(count: number): Promise<void> {
    const central = await this.#run(join(this.folder, 'template'), {});
    const tokens: string[] = [];
    for (let uses = 0; uses < count; uses += USES_OF_TOKEN) {
      const terms = { maxUses: Math.min(USES_OF_TOKEN, count - uses), lifetimeSeconds: 3600 };
      const { token } = (await central.rest('POST', '/enrollment-tokens', terms)) as { token: string };
      tokens.push(token);
    }
    const ca = String(await central.rest('GET', '/ca/trust-bundle.pem'));
    const agent = new Agent({ keepAlive: true, maxSockets: ENROLLMENTS_AT_ONCE, ca });
    const seeds: AgentSeed[] = [];
    let next = 0;
    const enrollOn = async (): Promise<void> => {
      while (next < count) {
        const index = next;
        next += 1;
        seeds[index] = await enrollOne(
          agent,
          central.ports.wss,
          tokens[Math.floor(index / USES_OF_TOKEN)] ?? '',
          `bench-${String(index).padStart(5, '0')}`,
        );
      }
    };
    await Promise.all(Array.from({ length: ENROLLMENTS_AT_ONCE }, enrollOn));
    agent.destroy();
    await writeFile(this.agentsFile, JSON.stringify(seeds), { mode: 0o600 });
    await central.program.stop();
  }

  /** Central on free ports, with a data folder of its own. */
  async startCentral(options: CentralOptions): Promise<RunningCentral> {
    this.#started += 1;
    const folder = join(this.folder, `central-${this.#started}`);
    await cp(join(this.folder, 'template'), folder, { recursive: true });
    await options.beforeStart?.(folder);
    return await this.#run(folder, options);
  }

  async #run(folder: string, { nodeArgs = [], env = {} }: CentralOptions): Promise<RunningCentral> {
    await mkdir(folder, { recursive: true });
    const unit = await unitMemory();
    const ports = ['--websocket-port', '--websocket-secure-port', '--https-port', '--http-port'].flatMap((flag) => [
      flag,
      '0',
    ]);
    const program = new Program(
      process.execPath,
      [
        ...unit.nodeArgs,
        ...nodeArgs,
        join(this.folder, 'dist/central/main.js'),
        '--data-folder',
        folder,
        '--advertised-names',
        'localhost',
        ...ports,
      ],
      { cwd: folder, env: { ...unit.env, ...env } },
    );
    await program.printed(/Administration: .*\n/);
    const port = (title: string): number =>
      Number(new RegExp(`${title} listens .*, port (\\d+)`).exec(program.text)?.[1] ?? 0);
    const token = (await readFile(join(folder, 'administrator-token'), 'utf8')).trim();
    const found = {
      wss: port('The WebSocket \\(wss\\)'),
      https: port('HTTPS administration'),
      http: port('HTTP administration'),
    };
    return {
      program,
      folder,
      token,
      ports: found,
      async rest(method, path, body) {
        const answer = await fetch(`http://127.0.0.1:${found.http}/api/v1${path}`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}: ${text}`);
        return text.startsWith('{') || text.startsWith('[') ? (JSON.parse(text) as unknown) : text;
      },
    };
  }
}

/** What the unit of the package sets for Central's memory. */
async function unitMemory(): Promise<{ env: Record<string, string>; nodeArgs: string[] }> {
  const unit = await readFile(join(ROOT, 'deploy/queuegate-central/systemd/queuegate-central.service'), 'utf8');
  const env = Object.fromEntries(
    Array.from(unit.matchAll(/^Environment=(MALLOC_\w+)=(\d+)$/gm), ([, name, value]) => [name, value]),
  );
  const flags = /^ExecStart=\S+\/node (--.*) \S+main\.js$/m.exec(unit)?.[1];
  if (Object.keys(env).length === 0 || flags === undefined)
    throw new Error('the unit of Central sets no bounds of memory');
  return { env, nodeArgs: flags.split(' ') };
}

async function enrollOne(agent: Agent, port: number, token: string, name: string): Promise<AgentSeed> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const csr = await makeRequest(
    {
      privateKey,
      pem,
      publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      thumbprint: keyThumbprint(publicKey),
    },
    name,
  );
  const answer = await post(agent, port, JSON.stringify({ csr: csr.pem, name, token }));
  const { id, centralName: central, signingKey, certificate } = answer as Enrolled;
  return { pem, identity: { id, name, central, signingKey, certificate, host: 'localhost', port, secure: true } };
}

function post(agent: Agent, port: number, body: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: 'localhost',
        port,
        path: ENROLL_PATH,
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () =>
          answer.statusCode === 200
            ? resolve(JSON.parse(text))
            : reject(new Error(`enrollment was answered with ${answer.statusCode}: ${text}`)),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
