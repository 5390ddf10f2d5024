// Renews this agent's certificate: decides when (by the dates of its certificate, or when Central asks), checks the
// answer, and replaces the key. Files are agent/identity/identity.ts; Central's side is central/agents/renewal.ts.
// There is always a key on disk that Central accepts:
//
//   agent-key.next.pem is written      before Central hears of it; the current key is good
//   `renewed` is kept as nextCertificate   both keys are good; the next one is tried first
//   the first welcome with the next key    only that is good; it is renamed over the current one, then the identity follows
//
// A crash after any of these is repaired by reading what is there (loadCredentials).
import { createHash, type X509Certificate } from 'node:crypto';
import { certificatesInPem, firstInPem } from '../../shared/x509/certificates.ts';
import { isCoded, textOf } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import type { Renewed, RenewRefused, RenewNow } from '../../shared/wire/messages.ts';
import { renewTranscript, signTranscript } from '../../shared/wire/proof.ts';
import { hasUnreadableDate, timeLine, validityOf } from '../../shared/x509/validity.ts';
import type { RenewalControl, SendControl } from '../connection/control.ts';
import { agentFault } from '../errors.ts';
import {
  adoptNextKey,
  keepIdentity,
  loadCredentials,
  loadNextKey,
  loadOrCreateNextKey,
  type AgentKey,
  type Credentials,
} from '../identity/identity.ts';
import { makeRenewalRequest } from './csr.ts';
import { trustPath } from '../trust/path.ts';

interface RenewalPorts {
  /** The data folder. */
  readonly folder: string;
  /** Setting agent.renewal.freshKey. */
  freshKey(): boolean;
  /** What Central is trusted by now (PEM); none on plain, where the session's Central is all that is known. */
  trusted(): Promise<readonly string[]>;
  /** Ends the connection and dials again, with the next key. */
  reconnect(): void;
  /** The identity was written by the agent itself: the watcher ignores this change. */
  onWritten(): Promise<void>;
  /** The current key is another one now. */
  onKey(key: AgentKey): void;
  readonly log: {
    debug(facts: object, text: string): void;
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
  };
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
  readonly random: () => number;
}

/** At half of its life; the spread keeps those apart that were enrolled together. */
const EARLIEST = 0.45;
const LATEST = 0.55;
/** Timers are not trusted over days: clocks are set, machines sleep. */
const LONGEST_WAIT_MS = 3_600_000;
const ANSWER_MS = 30_000;
const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 6 * 3_600_000;
/** So that what is under way is acknowledged, and those that renewed together do not come back together. */
const RECONNECT_SPREAD_MS = 5_000;

/** When to renew a certificate with these dates: the same at each look, and after each restart. */
export function renewalTime(certificate: Pick<X509Certificate, 'raw'>): number {
  const { from, to } = validityOf(certificate);
  // A certificate that no one can verify is renewed at once.
  if (hasUnreadableDate(certificate)) return 0;
  const draw = createHash('sha256').update(certificate.raw).digest().readUInt32BE(0) / 2 ** 32;
  return from.getTime() + (to.getTime() - from.getTime()) * (EARLIEST + (LATEST - EARLIEST) * draw);
}

export class Renewal implements RenewalControl {
  readonly #ports: RenewalPorts;
  /** One act on the files at a time. */
  readonly #files = new Mutex();
  #send: SendControl | undefined;
  #cancel: (() => void) | undefined;
  /** The key of the request that is out. */
  #asked: AgentKey | undefined;
  /** Central wants it by then. */
  #wantedAt = Number.POSITIVE_INFINITY;
  #failures = 0;
  #notBefore = 0;
  #lastCode = '';

  constructor(ports: RenewalPorts) {
    this.#ports = ports;
  }

  /** Does something with the files of the data folder while nothing here changes them. */
  async alone<T>(act: () => Promise<T>): Promise<T> {
    return await this.#files.runExclusive(act);
  }

  onOnline(send: SendControl, key: AgentKey): void {
    this.#send = send;
    this.#do(async (credentials) => {
      await this.#settleKeys(credentials, key);
      await this.#look();
    });
  }

  onFrame(frame: Renewed | RenewRefused | RenewNow): void {
    switch (frame.type) {
      case 'renewed':
        return this.#do(async (credentials) => await this.#take(credentials, frame.pem));
      case 'renew-refused':
        return this.#failed(frame.code, `Central refused to renew the certificate: ${frame.detail} ${frame.hint}`);
      case 'renew-now':
        this.#wantedAt = Math.min(
          this.#wantedAt,
          this.#ports.now() + this.#ports.random() * frame.spreadSeconds * 1000,
        );
        return this.#do(async () => await this.#look());
    }
  }

  onOffline(): void {
    this.#send = undefined;
    this.#asked = undefined;
    // Central says it again.
    this.#wantedAt = Number.POSITIVE_INFINITY;
    this.#wait(undefined);
  }

  /** Queued behind running work; a failure is logged and retried, because the session continues without it. */
  #do(act: (credentials: Credentials) => Promise<void>): void {
    this.alone(async () => {
      const credentials = await loadCredentials(this.#ports.folder);
      if (credentials !== undefined && this.#send !== undefined) await act(credentials);
    }).catch((error: unknown) =>
      this.#failed(
        isCoded(error) ? error.code : 'internal',
        isCoded(error) ? `${error.message} ${error.hint}` : textOf(error),
      ),
    );
  }

  /**
   * The session was opened with `key`: the next key becomes the current one; with the current one, Central does not
   * know the next.
   */
  async #settleKeys({ identity, next }: Credentials, key: AgentKey): Promise<void> {
    const { folder, log } = this.#ports;
    if (next === undefined) return;
    if (next.key.thumbprint === key.thumbprint) {
      await adoptNextKey(folder, next);
      await this.#ports.onWritten();
      this.#ports.onKey(next.key);
      log.info({ key: key.thumbprint }, 'the fresh key was welcomed; the one before is removed');
    } else {
      const { nextCertificate: _unknown, ...known } = identity;
      await keepIdentity(folder, known);
      await this.#ports.onWritten();
      log.warn({ key: next.key.thumbprint }, 'Central does not know the fresh key; it is asked again');
    }
  }

  /** Asks, or waits until it is time to. */
  async #look(): Promise<void> {
    const { folder, now } = this.#ports;
    const credentials = await loadCredentials(folder);
    if (credentials === undefined || this.#asked !== undefined) return;
    if (credentials.next !== undefined) return this.#reconnect();
    const due = Math.max(
      Math.min(renewalTime(firstInPem(credentials.identity.certificate)), this.#wantedAt),
      this.#notBefore,
    );
    if (due <= now()) return await this.#ask(credentials);
    this.#waitToLook(due - now());
  }

  async #ask({ identity, key }: Credentials): Promise<void> {
    const { folder } = this.#ports;
    // One that Central may have heard of already is asked for again, whatever the setting says since.
    const asked = (await loadNextKey(folder)) ?? (this.#ports.freshKey() ? await loadOrCreateNextKey(folder) : key);
    const csr = makeRenewalRequest(asked, identity.name);
    if (this.#send === undefined) return;
    this.#asked = asked;
    const thumbprint = thumbprintOf(identity.certificate);
    this.#send({
      type: 'renew',
      csr: csr.pem,
      thumbprint,
      signature: signTranscript(renewTranscript(csr.der, thumbprint), key.privateKey),
    });
    this.#wait(ANSWER_MS, () =>
      this.#failed('no_answer', 'Central does not answer the request for another certificate.'),
    );
  }

  /** Keeps the certificate, if it is what was asked for. */
  async #take({ identity, key }: Credentials, pem: string): Promise<void> {
    const { folder, log } = this.#ports;
    const asked = this.#asked;
    if (asked === undefined) return;
    const certificate = await this.#validate(pem, asked, identity.id);
    const fresh = asked.thumbprint !== key.thumbprint;
    await keepIdentity(folder, fresh ? { ...identity, nextCertificate: pem } : { ...identity, certificate: pem });
    await this.#ports.onWritten();
    this.#asked = undefined;
    this.#wantedAt = Number.POSITIVE_INFINITY;
    [this.#failures, this.#notBefore, this.#lastCode] = [0, 0, ''];
    this.#send?.({ type: 'renew-installed', thumbprint: thumbprintOf(pem) });
    log.info({ until: timeLine(validityOf(certificate).to), key: fresh ? 'fresh' : 'the same' }, 'certificate renewed');
    if (fresh) this.#reconnect();
    else await this.#look();
  }

  async #validate(pem: string, asked: AgentKey, id: string): Promise<X509Certificate> {
    const chain = readChain(pem);
    const [certificate] = chain;
    const found = certificate === undefined ? 'it is none' : await this.#faultOf(certificate, chain, asked, id);
    if (certificate === undefined || found !== undefined)
      throw agentFault('renewal_unfit', { found: found ?? 'it is none' });
    return certificate;
  }

  async #faultOf(
    certificate: X509Certificate,
    chain: readonly X509Certificate[],
    asked: AgentKey,
    id: string,
  ): Promise<string | undefined> {
    const now = new Date(this.#ports.now());
    if (!certificate.checkPrivateKey(asked.privateKey)) return 'it is for another key';
    const uri = `URI:urn:queuegate:agent:${encodeURIComponent(id)}`;
    if (certificate.subjectAltName !== uri) return `it is for ${certificate.subjectAltName ?? 'no name'}`;
    const { from, to } = validityOf(certificate);
    if (!(from <= now && now < to))
      return `it is valid from ${timeLine(from)} until ${timeLine(to)}, and this machine's clock shows ${now.toISOString()}`;
    const trusted = (await this.#ports.trusted()).map((trust) => firstInPem(trust));
    if (trusted.length > 0 && trustPath(chain, trusted, now).anchor === undefined)
      return 'no certificate in the truststore issued it';
    return undefined;
  }

  #reconnect(): void {
    this.#wait(this.#ports.random() * RECONNECT_SPREAD_MS, () => this.#ports.reconnect());
  }

  #failed(code: string, text: string): void {
    const { log, now, random } = this.#ports;
    this.#asked = undefined;
    const retryMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 30)) * (1 + random() / 2);
    this.#failures += 1;
    this.#notBefore = now() + retryMs;
    // A repeated failure is logged once.
    log[code === this.#lastCode ? 'debug' : 'warn']({ code, retryInSeconds: Math.round(retryMs / 1000) }, text);
    this.#lastCode = code;
    if (this.#send !== undefined) this.#waitToLook(retryMs);
  }

  #waitToLook(ms: number): void {
    this.#wait(Math.min(ms, LONGEST_WAIT_MS), () => this.#do(async () => await this.#look()));
  }

  /**
   * One timer: what is waited for now takes the place of what was before. None while offline, although files that were
   * read meanwhile ask for one: it would keep a stopped agent running.
   */
  #wait(ms: number | undefined, run: () => void = () => undefined): void {
    this.#cancel?.();
    this.#cancel = ms === undefined || this.#send === undefined ? undefined : this.#ports.after(ms, run);
  }
}

function readChain(pem: string): X509Certificate[] {
  try {
    return certificatesInPem(pem);
  } catch (error) {
    throw agentFault('renewal_unfit', { found: `it cannot be read: ${textOf(error)}` }, error);
  }
}

function thumbprintOf(pem: string): string {
  return createHash('sha256').update(firstInPem(pem).raw).digest('hex');
}
