// A file that is read in the browser and sent as the text of a certificate file: PEM as it is, any other as base64.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { T } from '../strings.ts';

export interface ReadFile {
  readonly fileName: string;
  readonly content: string;
}

interface FileFieldProps {
  readonly label: string;
  readonly hint?: string;
  readonly accept: string;
  readonly onRead: (file: ReadFile | null) => void;
}

const MAX_BYTES = 1_000_000;

export function FileField({ label, hint, accept, onRead }: FileFieldProps): JSX.Element {
  const [isTooLarge, setTooLarge] = useState(false);
  const read = async (file: File | undefined): Promise<void> => {
    setTooLarge(file !== undefined && file.size > MAX_BYTES);
    if (file === undefined || file.size > MAX_BYTES) return onRead(null);
    const bytes = new Uint8Array(await file.arrayBuffer());
    const binary = Array.from(bytes, (byte) => String.fromCodePoint(byte)).join('');
    onRead({ fileName: file.name, content: binary.includes('-----BEGIN') ? binary : btoa(binary) });
  };
  return (
    <label class="field">
      <span>{label}</span>
      <input type="file" accept={accept} onChange={({ currentTarget }) => void read(currentTarget.files?.[0])} />
      {hint !== undefined && <small>{hint}</small>}
      {isTooLarge && (
        <small class="bad" role="alert">
          {T.preflight.fileTooLarge}
        </small>
      )}
    </label>
  );
}

interface PasswordFieldProps {
  readonly value: string;
  readonly onInput: (value: string) => void;
}

export function PasswordField({ value, onInput }: PasswordFieldProps): JSX.Element {
  return (
    <label class="field">
      <span>{T.preflight.password}</span>
      <input
        type="password"
        value={value}
        maxLength={1_000}
        autocomplete="off"
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
    </label>
  );
}
