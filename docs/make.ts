// Makes the documents that follow from tables in the code: ERRORS, CONFIGURATION, PARAMETERS, METRICS, AUDIT,
// LOCAL-API, CLI, and REST from the description of the interface (npm run docs). test/docs.test.ts holds each file to
// what is made here. The other documents are written by hand.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { auditMarkdown } from '../central/audit.ts';
import { cliMarkdown } from '../central/cli/line/document.ts';
import { CENTRAL_PREFIX, CENTRAL_SCHEMA } from '../central/config.ts';
import { metricsMarkdown } from '../central/metrics.ts';
import { parametersMarkdown } from '../central/parameters/document.ts';
import { AGENT_PREFIX, AGENT_SCHEMA } from '../shared/settings/agent-settings.ts';
import type { ErrorDefinition } from '../shared/errors.ts';
import { settingsTable, type Schema } from '../shared/settings/settings.ts';
import { isTerminal } from '../shared/wire/refusals.ts';
import {
  AGENT_INTRODUCTION,
  AGENT_CONSUMERS,
  AGENT_PROXIES,
  AGENT_RELOADING,
  CENTRAL_INTRODUCTION,
  CONFIGURATION_INTRODUCTION,
} from './configuration-text.ts';
import { registeredRoutes } from '../test/described-answers.ts';
import { localApiMarkdown } from './local-api.ts';
import { restMarkdown, restTexts } from './rest.ts';
import { ERROR_SUBJECTS, READERS, type ErrorSubject } from './error-subjects.ts';

/** The documents made here, by path from the root of the repository. */
export function madeDocuments(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/ERRORS.md', errorsMarkdown()],
    ['docs/CONFIGURATION.md', configurationMarkdown()],
    ['docs/PARAMETERS.md', parametersMarkdown()],
    ['docs/METRICS.md', metricsMarkdown()],
    ['docs/AUDIT.md', auditMarkdown()],
    ['docs/LOCAL-API.md', localApiMarkdown()],
    ['docs/CLI.md', cliMarkdown()],
  ]);
}

// --- ERRORS.md
// ----------------------------------------------------------------------------------------------------------

export function errorsMarkdown(subjects: readonly ErrorSubject[] = ERROR_SUBJECTS): string {
  const lines = [
    '# Errors',
    '',
    'Every error has a code, a text that says what happened, and a hint that says what to do. Compare codes, never texts:',
    'texts change from version to version. Words in braces are filled in where the error happens.',
    '',
    'Command lines print text, hint and code, and never a stack trace. REST answers are problem details (RFC 9457) whose `type` is',
    '`urn:queuegate:error:CODE`. A session ends with a `refuse` frame that carries code, text and hint, and with the close code.',
    '',
    '- "Retryable: yes" means that the same request may succeed later without any change.',
    '- A close code from 4400 to 4499 is **terminal**: the agent does not reconnect until its configuration, its identity, its truststore',
    '  or its software changes. After one from 4500 to 4599 it reconnects automatically.',
    '',
    'This page is made from the error tables in the code (`npm run docs`).',
    '',
    ...readerParts(subjects).flatMap(({ title, parts }) => [
      `- [${title}](#${anchorOf(title)})`,
      ...parts.map((part) => `  - [${part.title}](#${anchorOf(part.title)})`),
    ]),
    '',
    '## Close codes',
    '',
    '| close code | code | |',
    '| --- | --- | --- |',
    ...closeCodes(subjects).map(
      ({ close, code }) =>
        `| ${close} | [\`${code}\`](#${code}) | ${isTerminal(close) ? 'terminal' : 'the agent reconnects'} |`,
    ),
    '',
    'Other codes are those of RFC 6455 section 7.4.1: 1000 and 1001 (the peer left), 1006 (the line was cut), 1009 (a frame larger than the peer takes).',
    'After each of them the agent reconnects.',
    '',
  ];
  const described = new Set<string>();
  for (const reader of readerParts(subjects)) {
    lines.push(`## ${reader.title}`, '', reader.about, '');
    for (const { title, about, errors } of reader.parts) {
      lines.push(`### ${title}`, '', about, '');
      for (const code of Object.keys(errors).filter((one) => !described.has(one))) {
        described.add(code);
        lines.push(
          ...errorSection(
            code,
            subjects.flatMap((subject) => subject.errors[code] ?? []),
          ),
        );
      }
    }
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** The subjects of each reader, in the order of READERS. */
function readerParts(
  subjects: readonly ErrorSubject[],
): { readonly title: string; readonly about: string; readonly parts: readonly ErrorSubject[] }[] {
  return Object.entries(READERS).map(([reader, { title, about }]) => ({
    title,
    about,
    parts: subjects.filter((subject) => subject.reader === reader),
  }));
}

/** A code means one fact; a session and REST may describe it with their own text. */
function errorSection(code: string, definitions: readonly ErrorDefinition[]): string[] {
  return [`#### ${code}`, '', ...definitions.flatMap((definition, place) => describedAs(definition, place > 0))];
}

function describedAs(definition: ErrorDefinition, overRest: boolean): string[] {
  const { text, hint, status, close } = definition;
  const facts = [
    ...(close === undefined
      ? []
      : [`Close code: ${close} (${isTerminal(close) ? 'terminal' : 'the agent reconnects'})`]),
    ...(status === undefined ? [] : [`HTTP status: ${status}`]),
    `Retryable: ${mayPass(definition) ? 'yes' : 'no'}`,
  ];
  return [
    `${overRest ? 'Over REST: ' : ''}${prose(text)}`,
    '',
    `- Hint: ${hint === '{hint}' ? 'in the error itself; it depends on the cause.' : prose(hint)}`,
    ...facts.map((fact) => `- ${fact}`),
    '',
  ];
}

/** Whether the same request may succeed later without any change. */
function mayPass({ retryable = false, status, close }: ErrorDefinition): boolean {
  return retryable || status === 503 || (close !== undefined && !isTerminal(close));
}

function closeCodes(subjects: readonly ErrorSubject[]): { readonly close: number; readonly code: string }[] {
  return subjects
    .flatMap(({ errors }) =>
      Object.entries(errors).flatMap(([code, { close }]) => (close === undefined ? [] : [{ close, code }])),
    )
    .toSorted((a, b) => a.close - b.close);
}

/** A text of the tables as Markdown that shows just that. */
function prose(text: string): string {
  return text
    .replaceAll('\\', String.raw`\\`)
    .replaceAll('<', '&lt;')
    .replaceAll('*', String.raw`\*`)
    .replaceAll(/\s*\n\s*/g, ' ');
}

/** The anchor that GitHub and GitLab give a heading. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}

// --- CONFIGURATION.md
// ---------------------------------------------------------------------------------------------------

export function configurationMarkdown(): string {
  return `${[
    CONFIGURATION_INTRODUCTION,
    '## Central',
    '',
    CENTRAL_INTRODUCTION,
    ...settingRows(CENTRAL_SCHEMA, CENTRAL_PREFIX),
    '',
    '## Agent',
    '',
    AGENT_INTRODUCTION,
    ...settingRows(AGENT_SCHEMA, AGENT_PREFIX),
    '',
    AGENT_RELOADING,
    AGENT_PROXIES,
    AGENT_CONSUMERS,
  ]
    .join('\n')
    .trimEnd()}\n`;
}

function settingRows(schema: Schema, prefix: string): string[] {
  const rows = settingsTable(schema, prefix).map((row) => {
    const name = row.alias === undefined ? `\`${row.name}\`` : `\`${row.name}\` or \`${row.alias}\``;
    return `| ${[name, `\`${row.environment}\``, row.flag === undefined ? 'none' : `\`${row.flag}\``, defaultText(row.default), row.allowed, row.doc].map(cell).join(' | ')} |`;
  });
  return [
    '| name | environment variable | flag | default | allowed | what it is |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
  ];
}

function defaultText(text: string): string {
  // `null` stands for "not set" where a value of the parameter counts.
  return text === '' || text === 'null' ? 'empty' : `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', String.raw`\|`);
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  for (const [path, text] of madeDocuments()) writeFileSync(join(root, path), text);
  writeFileSync(join(root, 'docs/REST.md'), restMarkdown(restTexts(), await registeredRoutes()));
}
