// Updates the profile's truststore as Central says: adds the certificates that it names, removes those that it added
// before and names no longer, and reports the result. Manual entries are never touched. The connection has verified
// before that the update is Central's (agent/connection/connection.ts).
import type { X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '../../shared/files/disk-faults.ts';
import { certificatesInPem } from '../../shared/x509/certificates.ts';
import { CodedError, isCoded, systemCode, textOf } from '../../shared/errors.ts';
import { aliasLine, parseCertificate } from '../../shared/keystore/material.ts';
import type { Trust, Trusted, TrustRefused } from '../../shared/wire/messages.ts';
import type { AgentConf } from '../conf.ts';
import type { ControlLine, SendControl, TrustControl } from '../connection/control.ts';
import { agentFault } from '../errors.ts';
import { isValid, trustPath } from './path.ts';
import { validityWarning } from './truststore.ts';
import { loadManagedRoots, saveManagedRoots } from './managed-roots.ts';

interface TrustUpdatesOptions {
  /** As it is on disk now. */
  conf(): Promise<Pick<AgentConf, 'central' | 'truststore'>>;
  readonly dataFolder: string;
  /** The truststore was changed by this agent itself. */
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
      if (code !== lastCode) options.log.warn({ code }, `The truststore does not follow Central: ${message} ${hint}`);
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

/** Of what Central names, the thumbprints that are in the truststore now. */
async function update(options: TrustUpdatesOptions, frame: Trust, line: ControlLine | undefined): Promise<string[]> {
  const { updateTrusted, fingerprintOf } = await import('../../shared/truststore/update.ts');
  const { dataFolder, log } = options;
  const named = certificatesOf(frame.pem);
  const names = named.map((der) => fingerprintOf(der));
  const { central, truststore } = await options.conf();
  const { path: file, password, passwordHint } = truststore;
  const exists = await assertWritable(file);
  const given = await loadManagedRoots(dataFolder);
  const remove = new Set(given.filter((thumbprint) => !names.includes(thumbprint)));
  try {
    if (!exists) await makeFolder(dirname(file), 0o755);
    const { added, removed, trusted } = await updateTrusted({
      file,
      password,
      passwordHint,
      add: named,
      remove,
      async accept(next) {
        if (central.secure && line !== undefined && next.removed.length > 0)
          await assertReaches(file, line, next.trusted, options.now());
        // Recorded before it is written: an added certificate without a record could never be removed again.
        await saveManagedRoots(dataFolder, [
          ...given,
          ...next.added.map(({ certificates: [der] }) => fingerprintOf(der)),
        ]);
      },
    });
    const there = new Set(trusted.map((der) => fingerprintOf(der)));
    if (added.length > 0 || removed.length > 0) {
      await options.onWritten(file);
      const aliases = (entries: typeof added): string[] => entries.map(({ alias }) => alias);
      log.info(
        { truststore: file, added: aliases(added), removed: aliases(removed) },
        'the truststore follows Central',
      );
      for (const { alias, certificates } of added) warnOfDates(options, alias, file, certificates[0]);
      await saveManagedRoots(
        dataFolder,
        (await loadManagedRoots(dataFolder)).filter((thumbprint) => there.has(thumbprint)),
      );
    }
    return names.filter((thumbprint) => there.has(thumbprint));
  } catch (error) {
    if ((await loadManagedRoots(dataFolder)).length !== given.length) await saveManagedRoots(dataFolder, given);
    // Over ws the truststore verifies nothing: an agent without one, which cannot create one, lacks nothing.
    if (!exists && !central.secure) return [];
    throw error;
  }
}

/** A root of Central that is out of date by the clock of this host verifies nothing yet, or nothing any more. */
function warnOfDates({ log, now }: TrustUpdatesOptions, alias: string, file: string, der: Buffer): void {
  const certificate = parseCertificate(der);
  const found = certificate === undefined ? undefined : validityWarning(certificate, new Date(now()));
  if (found !== undefined) log.warn({ truststore: file }, `"${aliasLine(alias)}" in ${file} ${found}`);
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

/**
 * The file is replaced, so its own mode would not stop the update, least of all as root; but an operator who made it read-only wants
 * it to stay. True when it exists.
 */
async function assertWritable(file: string): Promise<boolean> {
  try {
    if (((await stat(file)).mode & 0o222) === 0) throw agentFault('truststore_read_only', { file });
    return true;
  } catch (error) {
    if (error instanceof CodedError) throw error;
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** What Central shows must be verified by what comes, or the agent would lock itself out at the next connection. */
async function assertReaches(file: string, line: ControlLine, next: readonly Buffer[], now: number): Promise<void> {
  // Java keeps certificates that OpenSSL does not read; they verify nothing here.
  const trusted = next.map((der) => parseCertificate(der)).filter((certificate) => certificate !== undefined);
  const reaches = (shown: readonly X509Certificate[]): boolean => {
    const { path, anchor } = trustPath(shown, trusted, new Date(now));
    return anchor !== undefined && path.every((certificate) => isValid(certificate, new Date(now)));
  };
  if (!reaches(line.shown()) && !reaches(await line.shownNow())) throw agentFault('trust_would_cut_off', { file });
}
