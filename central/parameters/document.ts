// Generates docs/PARAMETERS.md from the table; a test compares the two.
import { DEFINITIONS, definitionOf, GROUPS, PARAMETER_NAMES } from './definitions.ts';
import { allowedOf } from './values.ts';

/** The whole of docs/PARAMETERS.md. */
export function parametersMarkdown(): string {
  const lines = [
    '# Parameters',
    '',
    'Settings of the whole installation. They are kept in the store, changed with `queuegate parameters set` or REST',
    '(`PATCH /api/v1/parameters`), and applied live. This page is made from `central/parameters/definitions.ts`.',
    '',
    '| parameter | default | allowed |',
    '| --- | --- | --- |',
    ...PARAMETER_NAMES.map(
      (name) =>
        `| [\`${name}\`](#${anchorOf(name)}) | ${defaultText(DEFINITIONS[name].default)} | ${allowedOf(definitionOf(name))} |`,
    ),
    '',
  ];
  for (const group of Object.values(GROUPS)) {
    lines.push(`## ${group}`, '');
    for (const name of PARAMETER_NAMES) {
      const definition = definitionOf(name);
      if (definition.group !== group) continue;
      lines.push(
        `### ${name}`,
        '',
        definition.description,
        '',
        `- Allowed: ${allowedOf(definition)}`,
        `- Default: ${defaultText(definition.default)}. ${definition.reason}`,
        `- Changed: ${definition.applying}`,
        '',
      );
    }
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function defaultText(value: boolean | number | string | readonly string[]): string {
  if (value === '' || (typeof value === 'object' && value.length === 0)) return 'empty';
  return `\`${String(value)}\``;
}

/** The anchor that GitHub and GitLab give a heading. */
function anchorOf(name: string): string {
  return name.toLowerCase().replaceAll('.', '');
}
