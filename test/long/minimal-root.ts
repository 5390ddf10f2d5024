// A root file system of a minimal Debian without Node.js, in a folder: runs commands and units in it as on a machine of
// its own, but without systemd. Needs root and debootstrap.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, Running, type Cleanup, type Ended } from '../flow/processes.ts';

const MIRROR = 'http://deb.debian.org/debian';
const SUITE = 'bookworm';
/** A variable of this shell must not decide what happens in there. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };

/** Why the tests cannot run here; undefined: they can. */
export async function obstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  const missing = ['debootstrap', 'dpkg-deb', 'systemd-analyze'].find(
    (tool) => spawnSync('which', [tool]).status !== 0,
  );
  if (missing !== undefined) return `needs ${missing}`;
  if (spawnSync('unshare', ['--mount', 'true']).status !== 0) return 'may not mount';
  const mirror = await fetch(`${MIRROR}/dists/${SUITE}/Release`, { method: 'HEAD' }).catch(() => undefined);
  return mirror?.ok === true ? undefined : `needs ${MIRROR}`;
}

export class MinimalRoot {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(cleanup: Cleanup): Promise<MinimalRoot> {
    const folder = join(await cleanup.folder(), 'root');
    const made = await run('debootstrap', ['--variant=minbase', SUITE, folder, MIRROR]);
    if (made.code !== 0) throw new Error(`debootstrap failed:\n${made.stdout}\n${made.stderr}`);
    writeFileSync(join(folder, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n');
    writeFileSync(join(folder, 'etc/resolv.conf'), readFileSync('/etc/resolv.conf'));
    return new MinimalRoot(folder);
  }

  path(inRoot: string): string {
    return join(this.folder, inRoot);
  }

  has(inRoot: string): boolean {
    return existsSync(this.path(inRoot));
  }

  /** Runs a command as root of that machine, to its end. */
  async run(...words: readonly string[]): Promise<Ended> {
    return await this.#start(words, {}).ended();
  }

  /** What a command prints; throws when it fails. */
  async print(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...words);
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
    return stdout;
  }

  /**
   * Runs the ExecStart line of a unit with its account, groups, folder, mask, input and environment, without new
   * privileges and capabilities.
   */
  startUnit(cleanup: Cleanup, unit: string): Running {
    const text = readFileSync(this.path(`/lib/systemd/system/${unit}`), 'utf8');
    const all = (key: string): string[] =>
      [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);
    const [user = '', folder = '/'] = [all('User')[0], all('WorkingDirectory')[0]];
    const variables = [
      ...all('Environment'),
      ...all('EnvironmentFile').flatMap((file) =>
        readFileSync(this.path(file.replace(/^-/, '')), 'utf8')
          .split('\n')
          .filter((line) => /^[A-Z]/.test(line)),
      ),
    ];
    const input = all('StandardInput')[0]?.replace('file:', '') ?? '/dev/null';
    const running = this.#start(
      [
        'sh',
        '-c',
        'exec <"$0" && exec "$@"',
        input,
        'setpriv',
        `--reuid=${user}`,
        `--regid=${user}`,
        '--init-groups',
        '--no-new-privs',
        '--bounding-set=-all',
        'sh',
        '-c',
        'umask 077 && cd "$0" && exec "$@"',
        folder,
        ...(all('ExecStart')[0] ?? '').split(' '),
      ],
      Object.fromEntries(variables.map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)])),
    );
    cleanup.add(() => running.stop());
    return running;
  }

  /** In a namespace of mounts that ends with the command. */
  #start(words: readonly string[], environment: Readonly<Record<string, string>>): Running {
    const script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
    const assigned = Object.entries({ ...ENVIRONMENT, ...environment }).map(([name, value]) => `${name}=${value}`);
    return new Running('unshare', [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      this.folder,
      'env',
      '-i',
      ...assigned,
      ...words,
    ]);
  }
}
