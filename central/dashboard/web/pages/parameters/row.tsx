// One parameter: name, what it does, how it is applied, its field, and every state that its value can be in.
import type { JSX } from 'preact';
import { pendingChange } from '../../client/pending.ts';
import { may, isUnscoped } from '../../client/session.ts';
import { useStore } from '../../client/store.ts';
import type { Parameter } from '../../client/types.ts';
import { Icon } from '../../parts/icon.tsx';
import { Foreign, Tag } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { drop, edit, edits, isOutside, refusals, shown, targetOf, textOf, valueOf } from './edits.ts';

export function mayEdit(): boolean {
  return may('administrator') && isUnscoped();
}

interface RowProps {
  readonly parameter: Parameter;
  /** Its value cannot be changed now. */
  readonly isLocked: boolean;
}

export function ParameterRow({ parameter, isLocked }: RowProps): JSX.Element {
  const { name, description, applying, isDefault, changedBy } = parameter;
  const made = useStore(edits)[name];
  const refusal = useStore(refusals)[name];
  const pending = useStore(pendingChange)?.changed.find((one) => one.name === name);
  const outside = made !== undefined && isOutside(parameter, made);
  const fault = outside ? T.allowedValues(parameter.allowed) : refusal;
  const target = made === undefined ? parameter.value : targetOf(parameter, made);
  return (
    <div class={`prow ${made === undefined ? '' : 'dirty'}`}>
      <div>
        <h3>
          <code>{name}</code>
          {!isDefault && made === undefined && pending === undefined && <span class="tag">{T.changedMark}</span>}
          {pending !== undefined && (
            <Tag meaning="warn" icon="clock">
              {T.pendingMark}
            </Tag>
          )}
          {made !== undefined && (
            <Tag meaning="info" icon="info">
              {T.notApplied}
            </Tag>
          )}
        </h3>
        <p>{description}</p>
        <p id={`a-${name}`}>
          {applying} {T.defaultBecause(parameter.defaultReason)}
        </p>
      </div>
      <div class="v">
        <Control parameter={parameter} isLocked={isLocked} faultId={fault === undefined ? undefined : `f-${name}`} />
        {fault !== undefined && (
          <span class="fault" id={`f-${name}`} role="alert">
            <Icon name="bad" />
            {fault}
          </span>
        )}
        <span class="d2">
          {made !== undefined && `${T.nowIs(shown(parameter.value))} `}
          {made === undefined && pending !== undefined && `${T.beforeWas(shown(pending.from))} `}
          {made === undefined && pending === undefined && T.defaultIs(shown(parameter.default))}
        </span>
        {made === undefined && !isDefault && changedBy !== null && (
          <span class="d2">
            <Foreign text={T.setBy(changedBy)} />
          </span>
        )}
        {parameter.overriddenBy !== null && (
          <span class="over warn">
            <Icon name="warn" />
            <Foreign text={T.overriddenBy(parameter.overriddenBy, shown(parameter.effective))} />
          </span>
        )}
        <RowActs
          isLocked={isLocked}
          parameter={parameter}
          isEdited={made !== undefined}
          isAtDefault={shown(target) === shown(parameter.default)}
        />
      </div>
    </div>
  );
}

interface RowActsProps extends RowProps {
  readonly isEdited: boolean;
  readonly isAtDefault: boolean;
}

function RowActs({ parameter, isLocked, isEdited, isAtDefault }: RowActsProps): JSX.Element | null {
  if (!mayEdit() || isLocked || (isAtDefault && !isEdited)) return null;
  return (
    <span class="rowacts">
      {!isAtDefault && (
        <button class="link" type="button" onClick={() => edit(parameter, null)}>
          {T.restoreDefault}
          <span class="sr"> {parameter.name}</span>
        </button>
      )}
      {isEdited && (
        <button class="link" type="button" onClick={() => drop([parameter.name])}>
          {T.undoEdit}
          <span class="sr"> {parameter.name}</span>
        </button>
      )}
    </span>
  );
}

interface ControlProps extends RowProps {
  readonly faultId: string | undefined;
}

/** Its field; read only while a change is pending, and for those who may not change it. */
function Control({ parameter, isLocked, faultId }: ControlProps): JSX.Element {
  const { name, type, bounds } = parameter;
  const made = useStore(edits)[name];
  const value = made === undefined ? parameter.value : targetOf(parameter, made);
  const about = {
    id: `p-${name}`,
    'aria-label': name,
    'aria-invalid': faultId === undefined ? undefined : ('true' as const),
    'aria-describedby': [faultId, `a-${name}`].filter(Boolean).join(' '),
    disabled: isLocked || !mayEdit(),
  };
  if (type === 'boolean')
    return (
      <label>
        <input
          {...about}
          type="checkbox"
          role="switch"
          class="switch"
          checked={value === true}
          onChange={({ currentTarget }) => edit(parameter, currentTarget.checked)}
        />
        {shown(value)}
      </label>
    );
  if (type === 'enum')
    return (
      <select {...about} value={String(value)} onChange={({ currentTarget }) => edit(parameter, currentTarget.value)}>
        {(bounds.allowed ?? []).map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
    );
  const text = {
    ...about,
    spellcheck: false,
    placeholder: T.emptyValue,
    value: made?.text ?? textOf(value),
  };
  // The lines of PEM belong to it: a field of one line drops their ends.
  if (bounds.form === 'authorities')
    return (
      <textarea
        {...text}
        rows={3}
        maxLength={16_384}
        onInput={({ currentTarget: { value: typed } }) => edit(parameter, valueOf(parameter, typed), typed)}
      />
    );
  return (
    <span class="unit">
      <input
        {...text}
        type="text"
        inputMode={type === 'integer' ? 'numeric' : 'text'}
        autocomplete="off"
        maxLength={16_384}
        onInput={({ currentTarget: { value: typed } }) => edit(parameter, valueOf(parameter, typed), typed)}
      />
      {bounds.unit !== undefined && bounds.unit !== 'port' && <span class="d2">{bounds.unit}</span>}
    </span>
  );
}
