// Runs `queue-agent recover`: enrolls an agent that Central no longer accepts again with a recovery code, whatever it
// trusted before. A new key is created beside the old one, and the identity is written last: a power cut leaves
// either the old or the new agent.
import { makeFolder } from '../../shared/files/disk-faults.ts';
import { isCoded } from '../../shared/errors.ts';
import { spkiOf } from '../../shared/x509/public-key.ts';
import { answerProof, pinOf, sameProof, type Enrolled } from '../../shared/wire/enrollment.ts';
import { readRecoveryCode, recoveryKey, recoveryProof } from '../../shared/wire/recovery.ts';
import { makeRequest } from './csr.ts';
import type { AgentConf } from '../conf.ts';
import { agentName, dialTargets, type Target, targetName, withProxy } from '../target.ts';
import { trustCentral, type Enrollment } from './command.ts';
import { postEnrollment, shownBy } from './request.ts';
import { agentFault } from '../errors.ts';
import {
  adoptRecoveryKey,
  isForKey,
  loadIdentity,
  loadOrCreateRecoveryKey,
  saveIdentity,
  type AgentKey,
  type Identity,
} from '../identity/identity.ts';
import { identityOf } from './enroll.ts';

interface Attempt {
  readonly code: Buffer;
  readonly key: AgentKey;
  readonly name: string;
  readonly id: string | undefined;
  /** TLS ends at a proxy: what it shows is not what Central shows. */
  readonly proxied: boolean;
}

/**
 * Enrolls this agent again with a recovery code, and saves the result. Running it again with the same code repairs a
 * lost answer.
 */
export async function recoverAgent(conf: AgentConf, text: string): Promise<Enrollment> {
  const code = readRecoveryCode(text);
  if (code === undefined) throw agentFault('recovery_code_bad', { found: text.length });
  const before = await readIdentity(conf.dataFolder);
  const targets = targetsOf(conf, before);
  await makeFolder(conf.dataFolder, 0o700);
  const key = await loadOrCreateRecoveryKey(conf.dataFolder);
  const attempt = {
    code: recoveryKey(code),
    key,
    name: before === undefined ? conf.name : agentName(conf, before),
    id: before?.id ?? conf.id,
    proxied: conf.central.proxied,
  };
  const { target, answer } = await firstAnswer(targets, attempt);

  // What is trusted first, and nothing is taken away: until the identity is written, the old one goes on as it was.
  const trusted = conf.central.secure ? await trustCentral(conf.dataFolder, answer.truststore) : undefined;
  const identity = identityOf(answer, target);
  await saveIdentity(conf.dataFolder, identity);
  await adoptRecoveryKey(conf.dataFolder);
  return { identity, trusted };
}

/** A damaged identity is one of the things that a recovery repairs. */
async function readIdentity(folder: string): Promise<Identity | undefined> {
  try {
    return await loadIdentity(folder);
  } catch (error) {
    if (!isCoded(error, 'identity_damaged')) throw error;
    return undefined;
  }
}

function targetsOf(conf: AgentConf, identity: Identity | undefined): Target[] {
  const { secure, endpoints, proxies } = conf.central;
  const targets =
    identity === undefined
      ? endpoints.map(({ host, port }) => withProxy({ secure, host, port }, proxies))
      : dialTargets(conf, identity);
  if (targets.length === 0) throw agentFault('recovery_address_missing', { folder: conf.dataFolder });
  return targets;
}

/** Each host in turn, as when dialling; a refusal of Central is its word. */
async function firstAnswer(
  targets: readonly Target[],
  attempt: Attempt,
): Promise<{ readonly target: Target; readonly answer: Enrolled }> {
  let last: unknown;
  for (const target of targets) {
    try {
      return { target, answer: await askAt(target, attempt) };
    } catch (error) {
      if (!isCoded(error) || !error.retryable) throw error;
      last = error;
    }
  }
  throw last;
}

async function askAt(target: Target, { code, key, name, id, proxied }: Attempt): Promise<Enrolled> {
  const csr = await makeRequest(key, name, id);
  // An attacker on the line may present any certificate: its pin is part of the proof, and Central compares it with its
  // own.
  const top = target.secure ? (await shownBy(target)).at(-1) : undefined;
  if (target.secure && top === undefined)
    throw agentFault('no_central', { target: targetName(target), found: 'with no certificate' });
  const pin = top === undefined || proxied ? null : pinOf(spkiOf(top.publicKey));
  const proof = recoveryProof(code, { name, id, pin, csrDer: csr.der });
  const answer = await postEnrollment(
    target,
    { csr: csr.pem, name, ...(id === undefined ? {} : { id }), pin, proof },
    top?.toString(),
  );
  if ('state' in answer || answer.proof === undefined || !sameProof(answer.proof, answerProof(code, proof, answer)))
    throw agentFault('enrollment_answer_bad', { found: 'it is not proven with the recovery code' });
  if (!isForKey(answer.certificate, key))
    throw agentFault('enrollment_answer_bad', { found: 'its certificate is for another key' });
  return answer;
}
