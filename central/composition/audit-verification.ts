// Verifies the chain of the audit log in the background, from the last verified entry on, and wholly once a day or on
// request. The newest verified entry is kept in a 0600 file beside the store, so that a chain whose end was cut off is
// found as well.
import { join } from 'node:path';
import type { Logger } from 'pino';
import { textOf, type CodedError } from '../../shared/errors.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { replaceSecretFile } from '../../shared/files/secret-file.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import { CHAIN_START, type AuditFault, type AuditHead, type AuditStore } from '../store/audit-store.ts';

/** In the data folder: number and hash of the newest verified entry. */
export const AUDIT_HEAD_FILE = 'audit-head';
const MAX_FILE_BYTES = 1024;
/** Some milliseconds of the reading thread. */
const STEP = 2_000;
/** Faults that a report lists; one is enough to distrust the log. */
const MAX_FAULTS = 20;
const DAY_MS = 86_400_000;
const START: AuditHead = { number: 0, hash: CHAIN_START };

interface AuditReport {
  readonly valid: boolean;
  readonly entryCount: number;
  /** The hash of the newest entry; null where there is none. */
  readonly head: string | null;
  readonly faults: readonly CodedError[];
}

interface AuditVerificationOptions {
  readonly folder: string;
  readonly store: Pick<AuditStore, 'check' | 'head'>;
  readonly log: Pick<Logger, 'error' | 'warn'>;
  readonly now: () => number;
}

export class AuditVerification {
  readonly #options: AuditVerificationOptions;
  readonly #file: string;
  /** The newest verified entry; undefined until the file was read. */
  #verified: AuditHead | undefined;
  #written = 0;
  #wholeAt: number;
  readonly #problems = new Map<string, Problem>();

  constructor(options: AuditVerificationOptions) {
    this.#options = options;
    this.#file = join(options.folder, AUDIT_HEAD_FILE);
    this.#wholeAt = options.now();
  }

  /** Verifies what was added; called every few seconds, one at a time, and before the store stops. */
  async run(): Promise<void> {
    const { now } = this.#options;
    const faults: CodedError[] = [];
    if (now() - this.#wholeAt >= DAY_MS) {
      this.#wholeAt = now();
      faults.push(...(await this.verify()).faults);
    }
    const from = this.#verified ?? (await this.#kept());
    const checked = await this.#check(from, undefined);
    faults.push(...checked.faults);
    this.#verified = checked.last;
    this.#report(faults);
    // After a fault the file stays what it was: it is the evidence.
    if (this.#problems.size === 0 && checked.last.number > this.#written) await this.#keep(checked.last);
  }

  /** Verifies all entries. `head`: the hash of an entry that must be there, as it was noted elsewhere. */
  async verify(head?: string): Promise<AuditReport> {
    const { faults, count, last, found } = await this.#check(START, head);
    const kept = await this.#kept();
    const cut =
      kept.number > 0 && (await this.#options.store.check(kept, 0)).faults.length > 0 ? [headFault(kept)] : [];
    const noted =
      head === undefined || found ? [] : [problemFault('audit_head_missing', { hash: head, entries: last.number })];
    const all = [...faults, ...cut, ...noted];
    this.#report([...faults, ...cut]);
    return { valid: all.length === 0, entryCount: count, head: count === 0 ? null : last.hash, faults: all };
  }

  problems(): Problem[] {
    return [...this.#problems.values()];
  }

  async #check(from: AuditHead, head: string | undefined) {
    const { store } = this.#options;
    const faults: CodedError[] = [];
    let [last, count, found, more] = [from, 0, false, true];
    while (more) {
      const step = await store.check(last, STEP, head);
      for (const fault of step.faults) if (faults.length < MAX_FAULTS) faults.push(faultOf(fault, last));
      [last, count, found, more] = [step.last, count + step.count, found || step.found, step.count === STEP];
    }
    return { faults, last, count, found };
  }

  #report(faults: readonly CodedError[]): void {
    for (const fault of faults) {
      if (this.#problems.has(fault.message) || this.#problems.size >= MAX_FAULTS) continue;
      this.#problems.set(fault.message, problemOf(fault, this.#options.now()));
      this.#options.log.error({ code: fault.code }, `${fault.message} ${fault.hint}`);
    }
  }

  async #keep(head: AuditHead): Promise<void> {
    try {
      await replaceSecretFile(this.#file, Buffer.from(`${JSON.stringify(head)}\n`));
      this.#written = head.number;
    } catch (error) {
      // Until it can be written again, a cut end is found down to the entry that the file names.
      this.#options.log.warn({ error: textOf(error) }, 'the head of the audit log could not be kept');
    }
  }

  /** A missing or unreadable file: everything is verified, and nothing is known about the end. */
  async #kept(): Promise<AuditHead> {
    const bytes = await readBoundedFile({
      path: this.#file,
      what: 'The head of the audit log',
      maxBytes: MAX_FILE_BYTES,
      hint: 'Remove it: Central writes another one.',
      ifMissing: 'ignore',
    });
    const [, number, hash] = /^\{"number":(\d{1,15}),"hash":"([0-9a-f]{64})"\}\s*$/.exec(bytes?.toString() ?? '') ?? [];
    return number === undefined || hash === undefined ? START : { number: Number(number), hash };
  }
}

interface AuditNeeds extends Pick<AuditVerificationOptions, 'log' | 'now'> {
  readonly config: { readonly dataFolder: string };
  readonly store: { readonly audit: AuditStore };
}

export function openAudit({ config, store, log, now }: AuditNeeds) {
  const { audit } = store;
  return {
    audit,
    auditVerification: new AuditVerification({ folder: config.dataFolder, store: audit, log, now }),
  };
}

function headFault({ number, hash }: AuditHead): CodedError {
  return problemFault('audit_head_missing', { hash, entries: number });
}

function faultOf(fault: AuditFault, from: AuditHead): CodedError {
  if (fault.kind === 'head') return headFault(from);
  if (fault.kind === 'altered') return problemFault('audit_entry_altered', { number: fault.number });
  return problemFault('audit_entries_missing', { first: fault.number, through: fault.through });
}
