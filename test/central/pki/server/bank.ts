// A bank's own authority, made by openssl: a root, an intermediate, and whatever certificate a test asks for.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { QUICK_KEYTOOL } from '../../../shared/keystore/peers.ts';
import { openssl, temporaryFolder, type Folder } from '../folder.ts';

export interface Issued {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** Paths of the two. */
  readonly files: { readonly certificate: string; readonly key: string };
}

export interface Bank {
  readonly folder: Folder;
  readonly root: Issued;
  readonly intermediate: Issued;
  /** A certificate under the intermediate (or `by`), with openssl's own words for extensions, key and digest. */
  issue(
    name: string,
    more?: {
      extensions?: readonly string[];
      key?: readonly string[];
      digest?: string;
      days?: number;
      by?: Issued;
      from?: string;
    },
  ): Issued;
  /** Answers a certificate request (PEM) as an authority does. */
  sign(csr: string): string;
}

const SERVER = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=serverAuth',
];
const EC = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** By the names of their files. */
const firstAuthority = new Map<string, string>();
const AUTHORITY_FILES = ['root.key', 'root.crt', 'intermediate.key', 'intermediate.crt'];

/**
 * A bank in a folder of its own, whose root and intermediate are those of every such bank in this process: five
 * processes of openssl fewer for each test.
 */
export function sameBank(): Bank {
  const folder = temporaryFolder();
  for (const [name, text] of firstAuthority) folder.write(name, text);
  const bank = bankIn(folder, ['central.test']);
  for (const name of AUTHORITY_FILES) firstAuthority.set(name, readFileSync(folder.path(name), 'utf8'));
  return bank;
}

/** `names` are in every server certificate. */
export function makeBank(names: readonly string[] = ['central.test']): Bank {
  return bankIn(temporaryFolder(), names);
}

/** Goes on with the root and the intermediate that the folder has. */
function bankIn(folder: Folder, names: readonly string[]): Bank {
  const isNew = !existsSync(folder.path('intermediate.crt'));
  const san = `subjectAltName=${names.map((name) => (/^[\d.:]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')}`;
  const read = (name: string): Issued => {
    const files = { certificate: folder.path(`${name}.crt`), key: folder.path(`${name}.key`) };
    return { certificate: readFileSync(files.certificate, 'utf8'), key: readFileSync(files.key, 'utf8'), files };
  };
  const newKey = (name: string, algorithm: readonly string[]): void =>
    void openssl('genpkey', '-algorithm', ...algorithm, '-out', folder.path(`${name}.key`));
  if (isNew) makeRoot(folder, () => newKey('root', EC));
  const root = read('root');

  const bank: Omit<Bank, 'intermediate'> = {
    folder,
    root,
    issue(name, { extensions = [...SERVER, san], key = EC, digest = 'sha256', days = 365, by = root } = {}) {
      newKey(name, key);
      openssl(
        'req',
        '-new',
        '-key',
        folder.path(`${name}.key`),
        '-subj',
        `/O=Example Bank/CN=${name}`,
        '-out',
        folder.path(`${name}.csr`),
      );
      const file = folder.write(`${name}.ext`, `${extensions.join('\n')}\n`);
      openssl(
        'x509',
        '-req',
        '-in',
        folder.path(`${name}.csr`),
        '-CA',
        by.files.certificate,
        '-CAkey',
        by.files.key,
        '-CAcreateserial',
        '-days',
        String(days),
        `-${digest}`,
        '-extfile',
        file,
        '-out',
        folder.path(`${name}.crt`),
      );
      return read(name);
    },
    sign(csr) {
      openssl(
        'x509',
        '-req',
        '-in',
        folder.write('asked.csr', csr),
        '-CA',
        folder.path('intermediate.crt'),
        '-CAkey',
        folder.path('intermediate.key'),
        '-CAcreateserial',
        '-days',
        '90',
        '-copy_extensions',
        'copyall',
        '-out',
        folder.path('answer.crt'),
      );
      return readFileSync(folder.path('answer.crt'), 'utf8');
    },
  };
  const intermediate = isNew
    ? bank.issue('intermediate', {
        extensions: ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign,cRLSign'],
      })
    : read('intermediate');
  return { ...bank, intermediate, issue: (name, more = {}) => bank.issue(name, { by: intermediate, ...more }) };
}

function makeRoot(folder: Folder, newKey: () => void): void {
  newKey();
  openssl(
    'req',
    '-x509',
    '-new',
    '-key',
    folder.path('root.key'),
    '-subj',
    '/O=Example Bank/CN=Example Bank Root',
    '-days',
    '3650',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
    '-out',
    folder.path('root.crt'),
  );
}

/** Runs keytool; what it prints, or an error with all it said. */
export function keytool(...args: string[]): string {
  return execFileSync('keytool', [...QUICK_KEYTOOL, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
}
