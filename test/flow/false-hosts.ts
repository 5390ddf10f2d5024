// Hosts that are not the Central an agent looks for: openssl s_server and nginx with certificates that openssl made,
// and sockets that say something else or nothing. Real programs, on free ports, ended by their own id.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { freePorts, run, Running, until, type Cleanup } from './processes.ts';
import { NEW_EC_KEY } from '../tool-arguments.ts';

/** For describe.skipIf: a missing peer skips loudly; with CI=true the test runs, and fails. */
export function lacksPeer(...programs: string[]): boolean {
  const missing = programs.filter((program) => spawnSync(program, ['-v'], { stdio: 'ignore' }).error !== undefined);
  if (missing.length === 0 || process.env['CI'] === 'true') return false;
  console.warn(`SKIPPED: ${missing.join(', ')} not installed; tests with it do not run.`);
  return true;
}

export interface IssuedFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface IssueOrder {
  readonly name: string;
  /** As openssl writes it: DNS:localhost,IP:127.0.0.1 */
  readonly names?: string;
  /** YYYYMMDDHHMMSSZ; from yesterday for a year unless said. */
  readonly from?: string;
  readonly until?: string;
  readonly authority?: boolean;
}

/** An authority of openssl's own (openssl ca), with dates as one likes. */
export class OpensslAuthority {
  readonly root: IssuedFiles;
  readonly #folder: string;
  #count = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.root = { certificate: join(folder, 'root.pem'), key: join(folder, 'root.key') };
  }

  static async make(
    cleanup: Cleanup,
    name: string,
    dates: Pick<IssueOrder, 'from' | 'until'> = {},
  ): Promise<OpensslAuthority> {
    const folder = await cleanup.folder();
    const authority = new OpensslAuthority(folder);
    await mkdir(join(folder, 'new'));
    await writeFile(join(folder, 'index'), '');
    await writeFile(join(folder, 'index.attr'), 'unique_subject = no\n');
    await writeFile(
      join(folder, 'ca.conf'),
      [
        '[ca]',
        'default_ca = here',
        '[here]',
        `database = ${folder}/index`,
        `new_certs_dir = ${folder}/new`,
        'rand_serial = yes',
        'default_md = sha256',
        'policy = any',
        '[any]',
        'commonName = supplied',
        '[req]',
        'distinguished_name = none',
        '[none]',
        '',
      ].join('\n'),
    );
    await authority.#sign({ name, authority: true, ...dates }, authority.root, [
      '-selfsign',
      '-keyfile',
      authority.root.key,
    ]);
    return authority;
  }

  async issue(order: IssueOrder): Promise<IssuedFiles> {
    const base = join(this.#folder, `leaf-${(this.#count += 1)}`);
    const files = { certificate: `${base}.pem`, key: `${base}.key` };
    await this.#sign(order, files, ['-cert', this.root.certificate, '-keyfile', this.root.key]);
    return files;
  }

  async #sign(
    { name, names, from, until: end, authority }: IssueOrder,
    files: IssuedFiles,
    signer: readonly string[],
  ): Promise<void> {
    const conf = join(this.#folder, 'ca.conf');
    const extensions = `${files.key}.ext`;
    await writeFile(
      extensions,
      authority === true
        ? 'basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n'
        : `basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n${names === undefined ? '' : `subjectAltName=${names}\n`}`,
    );
    await openssl(
      'req',
      '-new',
      '-config',
      conf,
      ...NEW_EC_KEY,
      '-keyout',
      files.key,
      '-out',
      `${files.key}.csr`,
      '-subj',
      `/CN=${name}`,
    );
    const dates = ['-startdate', from ?? opensslTime(-86_400_000), '-enddate', end ?? opensslTime(365 * 86_400_000)];
    await openssl(
      'ca',
      '-config',
      conf,
      '-batch',
      '-notext',
      '-in',
      `${files.key}.csr`,
      '-out',
      files.certificate,
      '-extfile',
      extensions,
      ...dates,
      ...signer,
    );
  }
}

/** Now, and so much later, as openssl ca wants it. */
export function opensslTime(laterMs: number): string {
  return new Date(Date.now() + laterMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
}

async function openssl(...args: string[]): Promise<void> {
  const { code, stderr } = await run('openssl', args);
  if (code !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
}

/** `openssl s_server` on a free port; with -www, because it ends with its standard input otherwise. */
export async function opensslServer(
  cleanup: Cleanup,
  { certificate, key }: IssuedFiles,
  ...more: string[]
): Promise<number> {
  const [port = 0] = await freePorts(1);
  const server = new Running('openssl', [
    's_server',
    '-www',
    '-accept',
    String(port),
    '-cert',
    certificate,
    '-key',
    key,
    ...more,
  ]);
  cleanup.add(() => server.stop());
  await server.printed(/ACCEPT/);
  return port;
}

/** nginx with one TLS port. */
export async function nginx(cleanup: Cleanup, { certificate, key }: IssuedFiles): Promise<number> {
  const [port = 0] = await freePorts(1);
  await startNginx(
    cleanup,
    port,
    `listen ${port} ssl; listen [::]:${port} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key}; ssl_protocols TLSv1.2 TLSv1.3; location / { return 200 "a web server\\n"; }`,
  );
  return port;
}

/**
 * nginx that takes plain connections and hands them on to a port of this host, with the address that they came from.
 */
export async function nginxForwarder(cleanup: Cleanup, to: number): Promise<number> {
  const [port = 0] = await freePorts(1);
  await startNginx(
    cleanup,
    port,
    `listen ${port}; location / { proxy_pass http://127.0.0.1:${to}; proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto http; }`,
  );
  return port;
}

/** nginx as it forwards unless it is configured otherwise: over HTTP/1.0, without Upgrade. */
export async function nginxWithoutUpgrade(cleanup: Cleanup, to: number): Promise<number> {
  const [port = 0] = await freePorts(1);
  await startNginx(cleanup, port, `listen ${port}; location / { proxy_pass http://127.0.0.1:${to}; }`);
  return port;
}

async function startNginx(cleanup: Cleanup, port: number, serves: string): Promise<void> {
  const folder = await cleanup.folder();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const http = [...temporary, 'access_log off;', `server { ${serves} }`];
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off;\nmaster_process off;\npid ${folder}/pid;\nerror_log ${folder}/error.log;\nevents {}\nhttp { ${http.join(' ')} }\n`,
  );
  const server = new Running('nginx', [
    '-p',
    folder,
    '-e',
    join(folder, 'error.log'),
    '-c',
    join(folder, 'nginx.conf'),
  ]);
  cleanup.add(() => server.stop());
  await until(async () => {
    if (!server.running) throw new Error(`nginx ended: ${server.stderr}`);
    return await fetch(`http://127.0.0.1:${port}`)
      .then(() => true)
      .catch(() => undefined);
  });
}

/** A TCP server that does with each connection what `act` does. */
export async function tcpHost(cleanup: Cleanup, act: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    act(socket);
  });
  server.listen(0);
  await once(server, 'listening');
  cleanup.add(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
