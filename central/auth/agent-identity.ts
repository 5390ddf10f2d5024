// Judges a hello: is it the registered agent, does it answer this challenge, was it made for this very connection?
// Each rule is one step below, in this order; the first that fails is the refusal. Knows no sockets and writes nothing.
import type { AgentRecord } from '../store/store.ts';
import type { Challenge, Hello } from '../../shared/wire/messages.ts';
import { helloTranscript, keyThumbprint, readPublicKey, verifyTranscript } from '../../shared/wire/proof.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import type { Origin } from './address-rules.ts';

/** The connection as Central sees it. */
export interface SeenConnection {
  readonly listener: 'plain' | 'secure';
  readonly origin: Origin;
  /** RFC 9266 value of the TLS connection that ends here; null on plain, or below TLS 1.3. */
  readonly binding: string | null;
}

export interface ProvenKey {
  readonly thumbprint: string;
}

/**
 * Steps that need no registry: the hello answers this challenge, is signed by the key it carries, and is bound to this connection.
 * Throws a refusal (shared/wire/refusals.ts).
 */
export function proveHello(hello: Hello, challenge: Challenge, seen: SeenConnection): ProvenKey {
  const key = readPublicKey(hello.key);
  if (key === undefined) throw refusal('bad_signature', {});
  if (hello.challenge !== challenge.nonce) throw refusal('replayed_hello', {});
  if (!verifyTranscript(helloTranscript(challenge, hello), hello.signature, key)) throw refusal('bad_signature', {});
  if (hello.scheme !== seen.origin.scheme) throw refusal('wrong_scheme', { found: hello.scheme, expected: seen.origin.scheme });
  if (hello.binding === null) {
    if (seen.listener === 'secure' && !seen.origin.proxied) throw refusal('binding_required', { address: seen.origin.address });
  } else if (hello.binding !== seen.binding) {
    throw refusal('binding_mismatch', {});
  }
  return { thumbprint: keyThumbprint(key) };
}

/** The step that needs the registry: `byId` is the agent registered under the hello's id, if any. */
export function judgeRegistration(hello: Hello, key: ProvenKey, byId: AgentRecord | undefined): AgentRecord {
  if (byId === undefined) throw refusal('unknown_agent', { id: hello.id });
  if (byId.keyThumbprint !== key.thumbprint) throw refusal('key_conflict', { id: hello.id });
  return byId;
}
