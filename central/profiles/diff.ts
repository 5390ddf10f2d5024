// Says in words what differs between two versions of a profile: settings, trusted certificates, and other files.
import type { DraftFile } from '../store/releases/release-store.ts';
import { CONF_PATH, type Conf } from './contents/conf.ts';
import type { TruststoreContent } from './contents/truststore.ts';

/** A draft or a release, as far as a comparison needs it. */
export interface ProfileContent {
  readonly files: readonly DraftFile[];
  /** Undefined: there is none, or it cannot be read. */
  readonly conf: Conf | undefined;
  readonly truststore: TruststoreContent | undefined;
  /** The values of secrets, to compare them; never shown. */
  readonly secrets: ReadonlyMap<string, string>;
}

export interface Difference {
  readonly file: string;
  readonly text: string;
}

const NOTHING: ProfileContent = { files: [], conf: undefined, truststore: undefined, secrets: new Map() };
const NOT_SET = '(not set)';

/** `before` undefined: everything is new. */
export function differences(before: ProfileContent = NOTHING, after: ProfileContent = NOTHING): Difference[] {
  const [old, next] = [byPath(before.files), byPath(after.files)];
  const found: Difference[] = [];
  for (const path of new Set([...old.keys(), ...next.keys()])) {
    const [one, other] = [old.get(path), next.get(path)];
    if (one?.sha256 === other?.sha256 && one?.executable === other?.executable) continue;
    const lines =
      path === CONF_PATH
        ? settingLines(before, after)
        : path === (after.conf ?? before.conf)?.truststore.path
          ? truststoreLines(before.truststore, after.truststore)
          : [];
    found.push(...(lines.length > 0 ? lines : [fileLine(path, one, other)]).map((text) => ({ file: path, text })));
  }
  return found;
}

function byPath(files: readonly DraftFile[]): Map<string, DraftFile> {
  return new Map(files.map((file) => [file.path, file]));
}

function settingLines(before: ProfileContent, after: ProfileContent): string[] {
  const values = ({ conf }: ProfileContent) =>
    new Map((conf?.settings ?? []).map(({ name, value }) => [name, value] as const));
  const [old, next] = [values(before), values(after)];
  return [...new Set([...old.keys(), ...next.keys()])].flatMap((name) => {
    const [one, other] = [old.get(name), next.get(name)];
    if (one === null || other === null) {
      if (before.secrets.get(name) === after.secrets.get(name)) return [];
      return [`${name} ${one === undefined ? 'was set' : other === undefined ? 'was removed' : 'changed'} (not shown)`];
    }
    return one === other ? [] : [`${name} ${one ?? NOT_SET} -> ${other ?? NOT_SET}`];
  });
}

function truststoreLines(before: TruststoreContent | undefined, after: TruststoreContent | undefined): string[] {
  const [old, next] = [before?.entries ?? [], after?.entries ?? []];
  const thumbprintsOf = (entries: typeof old): ReadonlySet<string> =>
    new Set(entries.map(({ thumbprint }) => thumbprint));
  const [known, kept] = [thumbprintsOf(old), thumbprintsOf(next)];
  return [
    ...old.filter(({ thumbprint }) => !kept.has(thumbprint)).map(({ subject }) => `truststore: - ${subject}`),
    ...next
      .filter(({ thumbprint }) => !known.has(thumbprint))
      .map(({ subject, notAfter }) => `truststore: + ${subject}, until ${dayOf(notAfter)}`),
  ];
}

function dayOf(at: number | null): string {
  return at === null ? 'an unreadable date' : new Date(at).toISOString().slice(0, 10);
}

function fileLine(path: string, before: DraftFile | undefined, after: DraftFile | undefined): string {
  if (after === undefined) return `- ${path}`;
  if (before === undefined) return `+ ${path} (${after.size} bytes)`;
  if (before.sha256 === after.sha256) return `${path} is ${after.executable ? 'executable' : 'not executable'} now`;
  return path === CONF_PATH
    ? `${path}: comments or order changed`
    : `${path} changed (${before.size} -> ${after.size} bytes)`;
}
