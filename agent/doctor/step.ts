// One step of the doctor: does something, reports what it found, and ends the walk when it finds a fault.
import { isCoded } from '../../shared/errors.ts';
import { targetName, type Target } from '../target.ts';

type StepName =
  | 'configuration'
  | 'identity'
  | 'truststore'
  | 'address'
  | 'proxy'
  | 'DNS'
  | 'TCP'
  | 'TLS'
  | 'pin'
  | 'chain'
  | 'name'
  | 'dates'
  | 'protocol'
  | 'authentication'
  | 'device port';

export interface StepReport {
  readonly step: StepName;
  /** wss://central.example.com:9150; null before a host is dialled. */
  readonly target: string | null;
  readonly outcome: 'ok' | 'warning' | 'fault';
  readonly found: readonly string[];
  readonly fault: { readonly code: string; readonly detail: string; readonly hint: string } | null;
}

export type Walk<T> = AsyncGenerator<StepReport, T>;

/** A step found a fault and reported it: the walk along this connection ends. */
export class Stopped extends Error {}

/** What a step reports while it runs. */
export class Notes {
  readonly found: string[] = [];
  warned = false;

  say(...lines: readonly string[]): void {
    this.found.push(...lines);
  }

  warn(...lines: readonly string[]): void {
    this.warned ||= lines.length > 0;
    this.found.push(...lines.map((line) => `warning: ${line}`));
  }
}

/** Does one step and reports it. Throws Stopped after the report of a fault. */
export async function* step<T>(
  name: StepName,
  target: Target | undefined,
  act: (notes: Notes) => Promise<T> | T,
): Walk<T> {
  const notes = new Notes();
  const about = { step: name, target: target === undefined ? null : targetName(target), found: notes.found };
  let value: T;
  try {
    value = await act(notes);
  } catch (error) {
    if (!isCoded(error)) throw error;
    yield { ...about, outcome: 'fault', fault: { code: error.code, detail: error.message, hint: error.hint } };
    throw new Stopped();
  }
  yield { ...about, outcome: notes.warned ? 'warning' : 'ok', fault: null };
  return value;
}
