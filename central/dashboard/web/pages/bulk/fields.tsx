// What an act on several agents needs beside them: labels, the time of a drain, or a message.
import type { JSX } from 'preact';
import { Field, Select } from '../../parts/controls.tsx';
import { T } from '../../strings.ts';
import { MessageFields, type Draft } from '../messages/draft.tsx';
import type { BulkAct, BulkOrder } from './acts.ts';

export interface Settings {
  readonly set: string;
  readonly remove: string;
  readonly withinSeconds: string;
  readonly draft: Draft;
}

interface FieldsProps {
  readonly act: BulkAct;
  readonly value: Settings;
  readonly onInput: (value: Settings) => void;
}

export function Fields({ act, value, onInput }: FieldsProps): JSX.Element | null {
  switch (act) {
    case 'labels':
      return (
        <>
          <Field
            label={T.bulk.labelsSet}
            hint={T.bulk.labelsSetHint}
            value={value.set}
            maxLength={4_000}
            onInput={(set) => onInput({ ...value, set })}
          />
          <Field
            label={T.bulk.labelsRemove}
            hint={T.bulk.labelsRemoveHint}
            value={value.remove}
            maxLength={4_000}
            onInput={(remove) => onInput({ ...value, remove })}
          />
        </>
      );
    case 'drain':
      return (
        <Select
          label={T.bulk.within}
          value={value.withinSeconds}
          options={T.bulk.withins}
          onChange={(withinSeconds) => onInput({ ...value, withinSeconds })}
        />
      );
    case 'message':
      return <MessageFields value={value.draft} onInput={(draft) => onInput({ ...value, draft })} />;
    default:
      return null;
  }
}

/** "region=north, tier=test" and "site": null deletes a label. */
export function labelsIn({ set, remove }: Pick<Settings, 'remove' | 'set'>): BulkOrder['labels'] {
  const words = (text: string): string[] =>
    text.split(',').flatMap((word) => (word.trim() === '' ? [] : [word.trim()]));
  return Object.fromEntries([
    ...words(remove).map((key) => [key, null] as const),
    ...words(set).map((word) => {
      const at = word.indexOf('=');
      return at === -1 ? ([word, ''] as const) : ([word.slice(0, at).trim(), word.slice(at + 1).trim()] as const);
    }),
  ]);
}

/** Why the act cannot be carried out yet; undefined: it can. */
export function missing(act: BulkAct, value: Settings): string | undefined {
  if (act === 'labels' && Object.keys(labelsIn(value) ?? {}).length === 0) return T.bulk.labelsFirst;
  return undefined;
}
