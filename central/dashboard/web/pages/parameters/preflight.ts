// The preflight of edited parameters, and the change itself: checked again right before, with the version of what was
// shown, so that nothing is applied that was not shown.
import { useState } from 'preact/hooks';
import { problemOf, Refused, send, type Terms } from '../../client/api.ts';
import { readPending } from '../../client/pending.ts';
import type { ProblemDocument, Report } from '../../client/types.ts';
import { say } from '../../parts/toast.tsx';
import { T } from '../../strings.ts';
import { drop, edits, refusals, type Edits } from './edits.ts';
import { readParameters, type ParameterList } from './list.ts';

export type Checked = Report<{
  readonly listens: readonly string[];
  readonly nodes: readonly { readonly name: string; readonly answer: string; readonly detail: string | null }[];
}>;

interface Shown {
  readonly list: ParameterList;
  /** Null: it was refused. */
  readonly report: Checked | null;
}

interface Preflight {
  /** Null: not there yet. */
  readonly shown: Shown | null;
  readonly problem: ProblemDocument | null;
  /** Something changed since it was checked: what is shown now is new. */
  readonly isNew: boolean;
  readonly check: () => Promise<void>;
  /** True: the edits are applied. False: nothing is, and the state says why. */
  readonly apply: (terms: Terms) => Promise<boolean>;
}

function patch(made: Edits, etag: string | null, terms: Terms) {
  const body = Object.fromEntries(Object.entries(made).map(([name, { value }]) => [name, value]));
  return send<Checked>('PATCH', '/parameters', { body, query: terms, etag });
}

/** What decides whether a report still says what was shown. */
function essence({ changed, cutOff, notices, result }: Checked): string {
  const agents = cutOff.items.map(({ agent, reason }) => [agent.id, reason]);
  return JSON.stringify([changed, agents, notices.map(({ code }) => code), result]);
}

/** Each fault is shown beside its field, too. */
function keepRefusals({ errors = [] }: ProblemDocument): void {
  const found = errors.flatMap(({ pointer, detail }): [string, string][] => {
    const name = decodeURIComponent(pointer ?? '').replace(/^#\//, '');
    return name === '' ? [] : [[name, detail]];
  });
  if (found.length > 0) refusals.set({ ...refusals.get(), ...Object.fromEntries(found) });
}

function isConflict(error: unknown): boolean {
  return error instanceof Refused && error.problem.code === 'version_conflict';
}

const MAX_ATTEMPTS = 5;

export function usePreflight(): Preflight {
  const [shown, setShown] = useState<Shown | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [isNew, setNew] = useState(false);
  const refused = (error: unknown): void => {
    const found = problemOf(error);
    keepRefusals(found);
    setProblem(found);
  };
  const check = async (attempt = 1): Promise<void> => {
    setProblem(null);
    let list: ParameterList | null = null;
    try {
      list = await readParameters();
      const { data: report } = await patch(edits.get(), list.etag, { dryRun: true });
      setShown({ list, report });
    } catch (error) {
      // Something changed between the two requests.
      if (isConflict(error) && attempt < MAX_ATTEMPTS) return await check(attempt + 1);
      refused(error);
      if (list !== null) setShown({ list, report: null });
    }
  };
  const apply = async (terms: Terms): Promise<boolean> => {
    const { list, report } = shown ?? { list: null, report: null };
    if (list === null || report === null) return false;
    const made = edits.get();
    setProblem(null);
    try {
      const { data: now } = await patch(made, list.etag, { dryRun: true });
      if (essence(now) !== essence(report)) {
        setShown({ list, report: now });
        setNew(true);
        return false;
      }
      const { status } = await patch(made, list.etag, { ...terms, force: now.needsForce });
      const names = Object.keys(made);
      drop(names);
      if (status === 202) await readPending();
      else say(T.applied(names.length));
      return true;
    } catch (error) {
      if (!isConflict(error)) refused(error);
      else {
        setNew(true);
        await check();
      }
      return false;
    }
  };
  return { shown, problem, isNew, check: () => check(), apply };
}
