// A message to agents while it is written: type, data as JSON, and how long it may wait.
import type { JSX } from 'preact';
import { centralNow } from '../../client/api.ts';
import { Field, Select } from '../../parts/controls.tsx';
import { T } from '../../strings.ts';

export interface Draft {
  readonly type: string;
  readonly data: string;
  /** "": it waits as long as it takes. */
  readonly waitSeconds: string;
}

export const NO_DRAFT: Draft = { type: '', data: '', waitSeconds: '86400' };

interface MessageFieldsProps {
  readonly value: Draft;
  readonly onInput: (value: Draft) => void;
}

export function MessageFields({ value, onInput }: MessageFieldsProps): JSX.Element {
  return (
    <>
      <div class="frow">
        <Field
          label={T.message.type}
          hint={T.message.typeHint}
          value={value.type}
          maxLength={255}
          onInput={(type) => onInput({ ...value, type })}
        />
        <Select
          label={T.message.wait}
          value={value.waitSeconds}
          options={T.message.waits}
          onChange={(waitSeconds) => onInput({ ...value, waitSeconds })}
        />
      </div>
      <label class="field">
        <span>{T.message.data}</span>
        <textarea
          rows={5}
          value={value.data}
          spellcheck={false}
          onInput={({ currentTarget }) => onInput({ ...value, data: currentTarget.value })}
        />
        <small>{T.message.dataHint}</small>
      </label>
    </>
  );
}

/** What is wrong with it; undefined: it can be sent. */
export function draftFault({ type, data }: Draft): string | undefined {
  if (type.trim() === '') return T.message.typeFirst;
  try {
    if (data.trim() !== '') JSON.parse(data);
    return undefined;
  } catch (error) {
    return T.message.notJson(error instanceof Error ? error.message : String(error));
  }
}

/** The message as a CloudEvent. `id`: the same one for all agents, and for each time that it is sent. */
export function eventOf({ type, data, waitSeconds }: Draft, id: string): Readonly<Record<string, unknown>> {
  const ends = new Date(centralNow() + Number(waitSeconds) * 1000).toISOString();
  return {
    id,
    type: type.trim(),
    ...(waitSeconds === '' ? {} : { expirytime: ends }),
    ...(data.trim() === '' ? {} : { data: JSON.parse(data) as unknown }),
  };
}
