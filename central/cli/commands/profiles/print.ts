// Prints what the answers about profiles have in common.
import { recordOf, rowsOf, shown } from '../../print.ts';

const LABEL = 12;

function labelled(label: string, text: string): string {
  return `${label.padEnd(LABEL)}${text}`;
}

/** The path of a profile below /api/v1. */
export function profilePath(name: string | undefined): string {
  return `/profiles/${encodeURIComponent(name ?? '')}`;
}

/** What changed, one a line; `none` when nothing did. */
export function changedText(answer: unknown, none = 'Nothing differs.'): string {
  const rows = rowsOf(answer, 'changed').map(({ text }) => shown(text));
  return rows.length === 0 ? none : rows.join('\n');
}

/** What Central reads of the files: settings, truststore, problems. */
export function contentLines(answer: unknown): string[] {
  const content = recordOf(answer);
  const unknown = rowsOf(content, 'unknownSettings').map(({ name, resembles }) =>
    typeof resembles === 'string' ? `${shown(name)} (did you mean ${shown(resembles)}?)` : shown(name),
  );
  const truststore = content['truststore'];
  return [
    labelled('settings', `${shown(content['settingCount'])} in conf/agent.conf`),
    ...(unknown.length === 0 ? [] : [labelled('', `not known to the agent: ${unknown.join(', ')}`)]),
    ...(truststore === null || truststore === undefined
      ? [labelled('truststore', 'none')]
      : truststoreLines(recordOf(truststore))),
    ...rowsOf(content, 'problems').map(({ detail }) => labelled('problem', shown(detail))),
  ];
}

function truststoreLines(truststore: Readonly<Record<string, unknown>>): string[] {
  const { path, format, hasDefaultPassword } = truststore;
  return [
    labelled(
      'truststore',
      `${shown(path)} (${shown(format)})${hasDefaultPassword === true ? ', with the default password' : ''}`,
    ),
    ...rowsOf(truststore, 'certificates').map(({ alias, subject, notAfter }) =>
      labelled('', `${shown(alias)}: ${shown(subject)}, until ${shown(notAfter).slice(0, 10)}`),
    ),
  ];
}

export function profileLine(value: unknown): string {
  const { name, fileCount, bytes } = recordOf(value);
  return labelled('profile', `${shown(name)}, ${shown(fileCount)} files, ${shown(bytes)} bytes`);
}

/** How many agents shall have each release, and say that they run it. */
export function agentLines(value: unknown): string[] {
  const { desiredAgentCount, reportedAgentCount } = recordOf(value);
  return [
    labelled('agents', `${shown(desiredAgentCount)} assigned, ${shown(reportedAgentCount)} running it`),
    ...rowsOf(value, 'agents').map(({ release, desiredCount, reportedCount }) =>
      labelled('', `${shown(release)}: ${shown(desiredCount)} assigned, ${shown(reportedCount)} running it`),
    ),
  ];
}

export function leftOutLines(paths: readonly string[]): string[] {
  return paths.map((path) => labelled('left out', `${shown(path)}, which belongs to the machine`));
}
