// Runs `queue-agent enroll` and the enrollment by a one-time file, and writes the results after Central accepted.
// Loaded on demand.
import { makeFolder } from '../../shared/files/disk-faults.ts';
import { textOf } from '../../shared/errors.ts';
import { certificatesInPem } from '../../shared/x509/certificates.ts';
import type { EnrollmentPending } from '../../shared/wire/enrollment.ts';
import type { AgentConf } from '../conf.ts';
import { enroll, readEnrollmentFile, readEnrollUrl, removeEnrollmentFile } from './enroll.ts';
import { agentFault } from '../errors.ts';
import { loadIdentity, loadOrCreateKey, saveIdentity, type Identity } from '../identity/identity.ts';
import { saveManagedRoots, trustFile } from '../trust/managed-roots.ts';

interface EnrollRequestOrder {
  readonly url: string;
  /** Undefined: an administrator is asked. */
  readonly token: string | undefined;
  readonly pin: string | undefined;
  /** Without a token: how long to wait for the administrator, and what to report once the request is pending. */
  readonly waitMs?: number;
  readonly onPending?: (pending: EnrollmentPending) => void;
  /** Also when this agent is enrolled already. */
  readonly replaceIdentity: boolean;
}

export interface Enrollment {
  readonly identity: Identity;
  /**
   * The file in the data folder that holds Central's roots now; undefined when it did before, or the agent speaks
   * plain.
   */
  readonly trusted: string | undefined;
}

/** Enrolls this agent and keeps what it learnt: identity, and Central's roots. */
export async function enrollAgent(conf: AgentConf, order: EnrollRequestOrder): Promise<Enrollment> {
  const existing = await loadIdentity(conf.dataFolder);
  if (existing !== undefined && !order.replaceIdentity)
    throw agentFault('already_enrolled', { name: existing.name, id: existing.id });
  await makeFolder(conf.dataFolder, 0o700);
  if (order.token === undefined && conf.central.secure && !readEnrollUrl(order.url).secure)
    throw agentFault('enroll_unproven', {});
  const key = await loadOrCreateKey(conf.dataFolder);
  const { proxies } = conf.central;
  const result = await enroll({ ...order, name: conf.name, id: conf.id, key, proxies });
  // The roots first: an identity without them would dial and be refused, roots without identity do nothing.
  const trusted = conf.central.secure ? await trustCentral(conf.dataFolder, result.truststore) : undefined;
  await saveIdentity(conf.dataFolder, result.identity);
  return { identity: result.identity, trusted };
}

/**
 * Enrolls by the one-time file that Central left on its own host; undefined when there is none. The file is removed
 * once it is used.
 */
export async function enrollByFile(conf: AgentConf, file: string): Promise<Identity | undefined> {
  const order = await readEnrollmentFile(file);
  if (order === undefined) return undefined;
  const { identity } = await enrollAgent(conf, {
    url: order.url,
    token: order.token,
    pin: order.pin,
    replaceIdentity: false,
  });
  await removeEnrollmentFile(file);
  return identity;
}

/**
 * Trusts Central by these roots (PEM) from now on, beside the profile's truststore; the file, when that changed
 * anything.
 */
export async function trustCentral(dataFolder: string, roots: string): Promise<string | undefined> {
  return (await saveManagedRoots(dataFolder, readRoots(roots))) ? trustFile(dataFolder) : undefined;
}

function readRoots(pem: string): Buffer[] {
  try {
    return certificatesInPem(pem).map(({ raw }) => raw);
  } catch (error) {
    throw agentFault('enrollment_answer_bad', { found: `its truststore cannot be read: ${textOf(error)}` }, error);
  }
}
