// Runs `queue-agent certificate request` and `queue-agent certificate install`: enrollment without a connection to
// Central. The request leaves as a file, and a file with the certificates comes back.
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { replaceOwnFile } from '../../shared/files/secret-file.ts';
import { readCertificateFile } from './certificate-file.ts';
import { makeRequest } from './csr.ts';
import type { AgentConf } from '../conf.ts';
import type { Target } from '../target.ts';
import { trustCentral, type Enrollment } from './command.ts';
import { readEnrollUrl } from './enroll.ts';
import { agentFault } from '../errors.ts';
import {
  loadIdentity,
  loadKey,
  loadOrCreateKey,
  saveIdentity,
  type AgentKey,
  type Identity,
} from '../identity/identity.ts';

const MAX_FILE_BYTES = 256 * 1024;
/** X.520 ub-common-name. */
const MAX_COMMON_NAME = 64;

/** Writes the request for this machine's key, which is made if need be. */
export async function writeRequest(conf: AgentConf, out: string): Promise<AgentKey> {
  const key = await loadOrCreateKey(conf.dataFolder);
  const identity = await loadIdentity(conf.dataFolder);
  const { pem } = await makeRequest(key, conf.name, identity?.id ?? conf.id);
  // Not a secret; but an attacker who replaced it would get another key certified.
  await replaceOwnFile(out, Buffer.from(pem));
  return key;
}

/** Checks the file as a whole, then keeps what it says: roots first, then the identity. */
export async function installCertificate(
  conf: AgentConf,
  file: string,
  central: string | undefined,
  now: Date,
): Promise<Enrollment> {
  const key = await loadKey(conf.dataFolder);
  if (key === undefined) throw agentFault('request_missing', { folder: conf.dataFolder });
  const bytes = await readBoundedFile({
    path: file,
    what: 'The certificate file',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Name the file that "queuegate agents create --out FILE" wrote on Central.',
  });
  const read = readCertificateFile(bytes.toString('utf8'), key, now);
  if ('faults' in read) throw agentFault('certificate_file_unfit', { file, found: read.faults.join('; ') });
  const before = await loadIdentity(conf.dataFolder);
  if (before !== undefined && before.id !== read.id)
    throw agentFault('certificate_other_agent', { file, found: read.id, id: before.id });
  const { host, port, secure } = addressOf(conf, central, before);
  // A common name holds 64 characters; this machine knows what it asked for.
  const name = read.name.length === MAX_COMMON_NAME && conf.name.startsWith(read.name) ? conf.name : read.name;
  const identity: Identity = {
    id: read.id,
    name,
    central: read.central,
    signingKey: read.signingKey,
    certificate: read.certificate,
    host,
    port,
    secure,
  };
  const trusted = conf.central.secure ? await trustCentral(conf.dataFolder, read.roots) : undefined;
  await saveIdentity(conf.dataFolder, identity);
  return { identity, trusted };
}

/** What was named now, else what the configuration names, else where it enrolled before. */
function addressOf(conf: AgentConf, central: string | undefined, before: Identity | undefined): Target {
  if (central !== undefined) return readEnrollUrl(central);
  const [first] = conf.central.endpoints;
  if (first !== undefined) return { secure: conf.central.secure, ...first };
  if (before === undefined) throw agentFault('central_address_missing', {});
  return before;
}
