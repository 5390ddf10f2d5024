// Runs the real reverse proxies with the files of deploy/: each is copied into a temporary folder, with the ports,
// names, files and timeouts of the test in place of the examples. Nothing but those is changed, and each replacement
// has to be found.
import { readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { IssuedFiles } from './false-hosts.ts';
import { freePorts, ROOT, run, Running, until, type Cleanup, type Ended } from './processes.ts';

export const PROXY_FILES = [
  'nginx/terminate-tls.conf',
  'nginx/two-accounts.conf',
  'nginx/pass-tls-through.conf',
  'apache/terminate-tls.conf',
  'apache/two-accounts.conf',
  'haproxy/terminate-tls.cfg',
  'haproxy/two-accounts.cfg',
  'haproxy/pass-tls-through.cfg',
] as const;
export type ProxyFile = (typeof PROXY_FILES)[number];

type Product = 'nginx' | 'apache' | 'haproxy';
export const PROGRAMS: Readonly<Record<Product, string>> = { nginx: 'nginx', apache: 'apache2', haproxy: 'haproxy' };

export function productOf(file: ProxyFile): Product {
  return file.split('/', 1)[0] as Product;
}

export function proxyText(file: ProxyFile): string {
  return readFileSync(join(ROOT, 'deploy', file), 'utf8');
}

export interface ProxyOrder {
  /** The certificate of the proxy, and the root of Central. */
  readonly certificate: IssuedFiles;
  readonly centralRoot: string;
  /** Of Central: its port for wss, or for ws in the files of two accounts, whose Central is on loopback. */
  readonly to: number;
  readonly centralHost?: string;
  /** The range that the files of two accounts let in. */
  readonly allowed: string;
  readonly timeoutSeconds: number;
}

export interface ProxyCopy {
  readonly folder: string;
  readonly port: number;
  readonly program: string;
  /** The whole configuration. */
  readonly file: string;
}

/** The whole configuration of one proxy in a temporary folder. */
export async function copyProxy(cleanup: Cleanup, file: ProxyFile, order: ProxyOrder): Promise<ProxyCopy> {
  const product = productOf(file);
  const folder = await cleanup.folder();
  // Of the accounts that the proxies change to.
  await chmod(folder, 0o755);
  const files = join(folder, 'queuegate');
  await mkdir(files);
  await copyFile(order.certificate.certificate, join(files, 'certificate.pem'));
  await copyFile(order.certificate.key, join(files, 'key.pem'));
  const both = [order.certificate.certificate, order.certificate.key].map((path) => readFileSync(path, 'utf8'));
  await writeFile(join(files, 'certificate-and-key.pem'), both.join(''), { mode: 0o600 });
  await chmod(join(files, 'key.pem'), 0o600);
  await writeFile(join(files, 'central-root.pem'), order.centralRoot);
  const [port = 0] = await freePorts(1);
  const text = adapted(file, order, port, files);
  const whole = join(folder, 'whole.conf');
  await writeFile(whole, WHOLE[product](folder, text, file));
  return { folder, port, program: PROGRAMS[product], file: whole };
}

/** The arguments with which the product reads the file: to run it in the foreground, or to check it. */
function argumentsOf({ program, folder, file }: ProxyCopy, isCheck: boolean): string[] {
  if (program === 'nginx')
    return ['-p', folder, '-e', join(folder, 'error.log'), '-c', file, ...(isCheck ? ['-t'] : [])];
  if (program === 'apache2') return ['-d', folder, '-f', file, ...(isCheck ? ['-t'] : ['-DFOREGROUND'])];
  return isCheck ? ['-c', '-f', file] : ['-db', '-f', file];
}

/** What the product itself says about the file. */
export async function checkProxy(copy: ProxyCopy): Promise<Ended> {
  return await run(copy.program, argumentsOf(copy, true));
}

/** Starts the product as a process of ours, and waits until it listens. */
export async function startProxy(cleanup: Cleanup, copy: ProxyCopy): Promise<Running> {
  const running = new Running(copy.program, argumentsOf(copy, false));
  cleanup.add(() => running.stop('SIGTERM'));
  await until(async () => {
    if (!running.running) throw new Error(`${copy.program} ended:\n${running.stdout}\n${running.stderr}`);
    return await new Promise<true | undefined>((resolve) => {
      const socket = connect(copy.port, '127.0.0.1', () => {
        resolve(true);
        socket.destroy();
      }).on('error', () => resolve(undefined));
    });
  });
  return running;
}

/** An address of this host that is not loopback. */
export function outerAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  if (found === undefined) throw new Error('this host has no address but loopback: the test needs one');
  return found.address;
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ family }) => family === 'IPv6'));
}

function adapted(file: ProxyFile, order: ProxyOrder, port: number, files: string): string {
  const { to, centralHost = 'localhost', allowed, timeoutSeconds } = order;
  const isTwoAccounts = file.includes('two-accounts');
  const replacements: readonly (readonly [RegExp, string])[] = [
    [
      isTwoAccounts ? /127\.0\.0\.1:8787/g : /central\.example\.com:9150/g,
      `${isTwoAccounts ? '127.0.0.1' : centralHost}:${to}`,
    ],
    [/\b9150\b/g, String(port)],
    ...(isTwoAccounts ? [[/10\.0\.0\.0\/8/g, allowed] as const] : []),
    // Not that of a handshake.
    [
      /(?<=(?:_read_timeout|_send_timeout|proxy_timeout|Timeout|timeout (?:client|server|tunnel)) )60(?=s|$)/gm,
      String(timeoutSeconds),
    ],
    ...(file.includes('pass-tls-through') ? [] : [[/\/etc\/\w+\/queuegate/g, files] as const]),
    ...(file.includes('terminate') && !file.startsWith('apache')
      ? [[/central\.example\.com/g, 'localhost'] as const]
      : []),
  ];
  let text = proxyText(file)
    .split('\n')
    .filter((line) => hasIpv6() || !/\[::\]|:::/.test(line))
    .filter((line) => !line.startsWith('#'))
    .join('\n');
  for (const [pattern, value] of replacements) {
    if (text.search(pattern) === -1) throw new Error(`deploy/${file} has no ${String(pattern)}`);
    text = text.replaceAll(pattern, value);
  }
  return text;
}

/** As Debian sets it up, as far as the file relies on it. */
const WHOLE: Readonly<Record<Product, (folder: string, text: string, file: ProxyFile) => string>> = {
  nginx: (folder, text, file) => {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const head = ['daemon off;', `pid ${folder}/pid;`, `error_log ${folder}/error.log;`, 'events {}'];
    return file.includes('pass-tls-through')
      ? ['load_module /usr/lib/nginx/modules/ngx_stream_module.so;', ...head, text].join('\n')
      : [...head, 'http {', ...temporary, 'access_log off;', text, '}'].join('\n');
  },
  apache: (folder, text) =>
    [
      'ServerName localhost',
      `PidFile ${folder}/pid`,
      `ErrorLog ${folder}/error.log`,
      `Mutex file:${folder}`,
      `DefaultRuntimeDir ${folder}`,
      ...[
        'mpm_event',
        'authz_core',
        'authz_host',
        'reqtimeout',
        'socache_shmcb',
        'ssl',
        'proxy',
        'proxy_http',
        'headers',
      ].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
      // As in Debian's reqtimeout.conf, but shorter.
      'RequestReadTimeout header=4-8,minrate=500',
      'RequestReadTimeout body=4,minrate=500',
      ...(process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : []),
      text,
    ].join('\n'),
  haproxy: (_folder, text) => ['global', '    maxconn 1000', '', text].join('\n'),
};
