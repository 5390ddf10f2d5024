// Checks what testssl found: what is worse than LOW has to be, with its reason, in the table of docs/SECURITY.md, and
// what is listed there must still be found. It runs nothing.

/** As testssl writes them with --jsonfile. */
export interface Finding {
  readonly id: string;
  readonly port: string;
  readonly severity: string;
  readonly finding: string;
}

/** One row of the table: why a finding is accepted. */
export interface Explained {
  readonly id: string;
  readonly finding: string;
  readonly reason: string;
}

/**
 * OK, INFO and LOW pass. WARN means that testssl could not make a check (`unchecked`), and tells nothing of the server.
 */
const PASSING = new Set(['OK', 'INFO', 'LOW', 'WARN', 'DEBUG']);

/** The checks without which a scan says nothing: each has to be there and to be OK or explained. */
const NEEDED = [
  'SSLv2',
  'SSLv3',
  'TLS1',
  'TLS1_1',
  'TLS1_2',
  'TLS1_3',
  'cipherlist_NULL',
  'cipherlist_aNULL',
  'cipherlist_EXPORT',
  'cipherlist_LOW',
  'cipherlist_3DES_IDEA',
  'cipherlist_STRONG',
  'cipher_order',
  'cert_trust',
  'cert_chain_of_trust',
  'cert_expirationStatus',
  'certs_list_ordering_problem',
  'heartbleed',
  'CCS',
  'ticketbleed',
  'ROBOT',
  'secure_renego',
  'secure_client_renego',
  'CRIME_TLS',
  'BREACH',
  'POODLE_SSL',
  'fallback_SCSV',
  'SWEET32',
  'FREAK',
  'DROWN',
  'LOGJAM',
  'BEAST',
  'LUCKY13',
  'RC4',
];

/** What has to be said of each port, word for word. */
const PROTOCOLS: Readonly<Record<string, RegExp>> = {
  SSLv2: /^not offered/,
  SSLv3: /^not offered/,
  TLS1: /^not offered/,
  TLS1_1: /^not offered/,
  TLS1_2: /^offered/,
  TLS1_3: /^offered/,
  certs_list_ordering_problem: /^no$/,
  cert_chain_of_trust: /^passed/,
};

/** Forward secrecy and AEAD, by the names of the IANA: TLS 1.3, and ECDHE with GCM or ChaCha20. */
const GOOD_SUITE =
  /^TLS_(AES_(128_GCM_SHA256|256_GCM_SHA384)|CHACHA20_POLY1305_SHA256|ECDHE_(ECDSA|RSA)_WITH_(AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256))$/;

/**
 * The rows of the table under "## Findings of testssl" that name a finding: | `id` | finding | why it is accepted |.
 */
export function explainedIn(markdown: string): Explained[] {
  const section = markdown.split(/^## /m).find((part) => part.startsWith('Findings of testssl\n'));
  if (section === undefined) throw new Error('there is no section "Findings of testssl"');
  return Array.from(
    section.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$/gm),
    ([, id = '', finding = '', reason = '']) => ({ id, finding: finding.trim(), reason: reason.trim() }),
  );
}

/** The suites that testssl got a connection with (--each-cipher). */
export function suitesOf(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ id }) => /^cipher[-_]\S*x[0-9a-f]{2,}$/.test(id))
    .map(({ finding }) => finding.trim().split(/\s+/).at(-1) ?? '');
}

/** What the scan of one port has against it, one line each. */
export function faultsOf(findings: readonly Finding[], explained: readonly Explained[]): string[] {
  const line = ({ id, port, severity, finding }: Finding): string => `port ${port}: ${id} (${severity}): ${finding}`;
  const isExplained = ({ id, finding }: Finding): boolean =>
    explained.some((row) => row.id === id && row.finding === finding);
  const worse = findings
    .filter((finding) => !PASSING.has(finding.severity) && !isExplained(finding))
    .map((finding) => `${line(finding)} is not explained`);
  // The first ones are of testssl itself.
  const port = findings.at(-1)?.port ?? '?';
  const needed = NEEDED.flatMap((id) => {
    const found = findings.find((finding) => finding.id === id);
    if (found === undefined) return [`port ${port}: testssl said nothing of ${id}`];
    if (PROTOCOLS[id] !== undefined) return PROTOCOLS[id].test(found.finding) ? [] : [line(found)];
    return found.severity === 'WARN' ? [`${line(found)}: the check was not made`] : [];
  });
  const suites = suitesOf(findings);
  const weak = suites
    .filter((suite) => !GOOD_SUITE.test(suite))
    .map((suite) => `port ${port}: the suite ${suite} has no forward secrecy or no AEAD`);
  if (suites.length === 0) weak.push(`port ${port}: testssl named no suite`);
  return [...new Set([...worse, ...needed, ...weak])];
}

/** Rows of the table that no scan found any more: they would hide the same fault when it comes back. */
export function staleIn(explained: readonly Explained[], scans: readonly (readonly Finding[])[]): string[] {
  return explained
    .filter(
      ({ id, finding }) => !scans.some((scan) => scan.some((found) => found.id === id && found.finding === finding)),
    )
    .map(({ id }) => `${id} is explained, and not found any more: remove its row`);
}

/** Checks that testssl could not make. */
export function uncheckedIn(findings: readonly Finding[]): string[] {
  return findings.filter(({ severity }) => severity === 'WARN').map(({ id, finding }) => `${id}: ${finding}`);
}
