// Makes the page /docs from the OpenAPI document: a list of all operations that unfold, without scripts and without
// anything from elsewhere. Loaded on demand.
import { createHash } from 'node:crypto';
import type { OpenApiDocument, OperationObject } from './document.ts';

const STYLE = `
:root { color-scheme: light dark; --line: #8885; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); overflow-x: auto; padding: .75rem; }
details { border-top: 1px solid var(--line); padding: .4rem 0; }
summary { cursor: pointer; }
summary code { font-weight: 600; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem .25rem 0; text-align: left; vertical-align: top; }
`;

/** Only the style above, by its hash. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export function pageOf(document: OpenApiDocument): string {
  const { info, tags, components } = document as unknown as {
    readonly info: { readonly title: string; readonly version: string; readonly description: string };
    readonly tags: readonly { readonly name: string; readonly description: string }[];
    readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
  };
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const parts = tags.map(({ name, description }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    const items = own.map(({ path, method, operation }) => operationHtml(method, path, operation));
    return `<h2 id="${escaped(name)}">${escaped(name)}</h2><p>${escaped(description)}</p>${items.join('')}`;
  });
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="${escaped(name)}"><summary><code>${escaped(name)}</code></summary>${jsonHtml(schema)}</details>`,
  );
  const contents = tags.map(({ name }) => `<a href="#${escaped(name)}">${escaped(name)}</a>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(info.title)}</title><style>${STYLE}</style></head><body>
<h1>${escaped(info.title)}</h1>
<p>Version ${escaped(info.version)}. ${escaped(info.description)} For programs: <a href="openapi.json">openapi.json</a>.</p>
<nav>${contents.join(' · ')} · <a href="#schemas">Schemas</a></nav>
${parts.join('\n')}
<h2 id="schemas">Schemas</h2>${schemas.join('')}
</body></html>
`;
}

function operationHtml(method: string, path: string, operation: OperationObject): string {
  const { operationId, summary, description, parameters, responses } = operation;
  const rows = parameters.map(
    ({ name, in: place, required, schema }) =>
      `<tr><td><code>${escaped(name)}</code></td><td>${place}${required ? ', required' : ''}</td><td>${codeHtml(schema)}</td></tr>`,
  );
  const answers = Object.entries(responses).map(([status, answer]) => {
    const schemas = Object.entries(answer.content ?? {}).map(
      ([type, { schema }]) => `<br><code>${escaped(type)}</code> ${codeHtml(schema)}`,
    );
    return `<tr><td>${status}</td><td>${escaped(answer.description)}${schemas.join('')}</td></tr>`;
  });
  return `<details id="${escaped(operationId)}"><summary><code>${method} ${escaped(path)}</code> ${escaped(summary)}</summary>
<p>${escaped(description)}</p>
${rows.length === 0 ? '' : `<table><tr><th>parameter</th><th>in</th><th>form</th></tr>${rows.join('')}</table>`}
${operation.requestBody === undefined ? '' : `<p>Body:</p>${jsonHtml(operation.requestBody.content)}`}
<table><tr><th>status</th><th>answer</th></tr>${answers.join('')}</table></details>`;
}

/** One line; a named schema is a link. */
function codeHtml(schema: unknown): string {
  const reference = (schema as { readonly $ref?: string }).$ref?.split('/').at(-1);
  if (reference !== undefined) return `<a href="#${escaped(reference)}">${escaped(reference)}</a>`;
  return `<code>${linked(JSON.stringify(schema))}</code>`;
}

function jsonHtml(value: unknown): string {
  return `<pre>${linked(JSON.stringify(value, null, 2))}</pre>`;
}

/** JSON in which each reference to a named schema is a link. */
function linked(text: string): string {
  return escaped(text).replaceAll(
    /#\/components\/schemas\/(\w{1,64})/g,
    (whole, name: string) => `<a href="#${name}">${whole}</a>`,
  );
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
