// Follows Central's updates of what it is trusted by: replaces the certificates that Central gave (managed-roots.ts),
// and reports the result. The connection has verified before that the update is Central's
// (agent/connection/connection.ts).
import type { X509Certificate } from 'node:crypto';
import { isCoded, textOf } from '../../shared/errors.ts';
import { parseCertificate } from '../../shared/keystore/material.ts';
import type { Trust, Trusted, TrustRefused } from '../../shared/wire/messages.ts';
import { certificatesInPem, firstInPem } from '../../shared/x509/certificates.ts';
import type { AgentConf } from '../conf.ts';
import type { ControlLine, SendControl, TrustControl } from '../connection/control.ts';
import { agentFault } from '../errors.ts';
import { loadManagedRoots, saveManagedRoots, trustFile } from './managed-roots.ts';
import { isValid, trustPath } from './path.ts';
import { loadTruststore, readTrusted } from './truststore.ts';

interface TrustUpdatesOptions {
  /** As it is on disk now. */
  conf(): Promise<Pick<AgentConf, 'central' | 'truststore'>>;
  readonly dataFolder: string;
  /** A watched file was changed by this agent itself. */
  onWritten(file: string): Promise<void>;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
  readonly now: () => number;
}

/** The protocol's bound on detail and hint. */
const bounded = (text: string): string => text.slice(0, 1024);

interface Line {
  readonly send: SendControl;
  readonly line: ControlLine;
}

export function createTrustUpdates(options: TrustUpdatesOptions): TrustControl {
  let online: Line | undefined;
  let waiting: Trust | undefined;
  let running = false;
  let lastCode = '';

  /** One after the other; of several that wait the newest counts. */
  async function run(): Promise<void> {
    if (running) return;
    running = true;
    for (let frame = waiting, to = online; frame !== undefined; frame = waiting, to = online) {
      waiting = undefined;
      const answer = await follow(frame, to?.line);
      if (to === online) to?.send(answer);
    }
    running = false;
  }

  async function follow(frame: Trust, line: ControlLine | undefined): Promise<Trusted | TrustRefused> {
    try {
      const thumbprints = await update(options, frame, line);
      lastCode = '';
      return { type: 'trusted', thumbprints };
    } catch (error) {
      const { code, message, hint } = isCoded(error)
        ? error
        : agentFault('trust_failed', { found: textOf(error) }, error);
      // The same failure at each welcome is logged once.
      if (code !== lastCode)
        options.log.warn({ code }, `What Central is trusted by stays as it is: ${message} ${hint}`);
      lastCode = code;
      return { type: 'trust-refused', code, detail: bounded(message), hint: bounded(hint) };
    }
  }

  return {
    onOnline(send, line): void {
      online = { send, line };
    },
    onFrame(frame): void {
      waiting = frame;
      // Never rejects: a failure becomes an answer.
      void run();
    },
    onOffline(): void {
      online = undefined;
    },
  };
}

/** Replaces what Central gave; the thumbprints of what it names are trusted then. */
async function update(options: TrustUpdatesOptions, frame: Trust, line: ControlLine | undefined): Promise<string[]> {
  const { fingerprintOf } = await import('../../shared/truststore/update.ts');
  const { dataFolder, log, now } = options;
  const named = certificatesOf(frame.pem);
  const conf = await options.conf();
  // What cannot be read verifies nothing, and is replaced.
  const before = await loadManagedRoots(dataFolder).catch(() => []);
  const isWithdrawn = before.some((der) => !named.some((other) => other.equals(der)));
  if (isWithdrawn && conf.central.secure && line !== undefined)
    await assertReaches(line, [...(await ofProfile(conf.truststore)), ...named], now());
  const names = named.map((der) => fingerprintOf(der));
  if (await saveManagedRoots(dataFolder, named)) {
    const file = trustFile(dataFolder);
    await options.onWritten(file);
    log.info({ file, thumbprints: names }, 'the agent trusts what Central names');
    // A root that is out of date by the clock of this host verifies nothing yet, or nothing any more.
    const { warnings } = readTrusted(
      named.map((der, place) => ({ alias: `Central ${place + 1}`, der })),
      file,
      new Date(now()),
    );
    for (const warning of warnings) log.warn({ file }, warning);
  }
  return names;
}

/** Empty where the profile has no truststore that opens: then only what Central names counts. */
async function ofProfile(truststore: AgentConf['truststore']): Promise<Buffer[]> {
  try {
    return (await loadTruststore(truststore)).ca.map((pem) => firstInPem(pem).raw);
  } catch (error) {
    if (isCoded(error)) return [];
    throw error;
  }
}

function certificatesOf(pem: string): Buffer[] {
  try {
    const found = certificatesInPem(pem).map(({ raw }) => raw);
    if (found.length === 0) throw new TypeError('it names no certificate');
    return found;
  } catch (error) {
    throw agentFault('trust_unreadable', { found: textOf(error) }, error);
  }
}

/** What Central shows must be verified by what comes, or the agent would lock itself out at the next connection. */
async function assertReaches(line: ControlLine, next: readonly Buffer[], now: number): Promise<void> {
  // Java keeps certificates that OpenSSL does not read; they verify nothing here.
  const trusted = next.map((der) => parseCertificate(der)).filter((certificate) => certificate !== undefined);
  const reaches = (shown: readonly X509Certificate[]): boolean => {
    const { path, anchor } = trustPath(shown, trusted, new Date(now));
    return anchor !== undefined && path.every((certificate) => isValid(certificate, new Date(now)));
  };
  if (!reaches(line.shown()) && !reaches(await line.shownNow())) throw agentFault('trust_would_cut_off', {});
}
