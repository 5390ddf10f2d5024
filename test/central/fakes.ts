// In-memory stand-ins for the narrow ports of Central's store, for tests of the parts that use it.
// They keep the errors and the atomicity of central/store/store.ts, and nothing of its durability.
import { Changes } from '../../central/change/changes.ts';
import { Agreement } from '../../central/parameters/nodes/agreement.ts';
import { createHash } from 'node:crypto';
import { CodedError } from '../../shared/errors.ts';
import type {
  AgentTrust,
  CertificateStore,
  ExpiryWarning,
  IssuedCertificate,
  NewRenewal,
  RenewalOutcome,
} from '../../central/store/certificate-store.ts';
import type { AgentRecord, NewAgent } from '../../central/store/agent-store.ts';
import type { AuditEntry, AuditHead, AuditStore } from '../../central/store/audit-store.ts';
import { storeFault } from '../../central/store/errors.ts';
import type { KeyMaterialChange, KeyMaterialEntry, KeyMaterialStore } from '../../central/store/key-material-store.ts';
import type { ParameterRow, ParameterSnapshot, ParameterStore } from '../../central/store/parameter-store.ts';
import type { IdempotencyStore, KnownRequest } from '../../central/store/idempotency/idempotency-store.ts';
import type {
  ApiTokenRecord,
  EnrollmentTokenRecord,
  SignInRecord,
  TokenStore,
} from '../../central/store/token-store.ts';

export interface MemoryStore {
  readonly keyMaterial: KeyMaterialStore & { readonly entries: Map<string, string> };
  readonly audit: AuditStore & { readonly entries: AuditEntry[] };
  readonly tokens: TokenStore;
  readonly certificates: MemoryCertificates;
  readonly idempotency: IdempotencyStore;
  readonly parameters: ParameterStore & { readonly state: { snapshot: ParameterSnapshot; failNext: Error | null } };
  readonly agents: {
    register(agent: NewAgent, tokenId: string, audit: AuditEntry): Promise<AgentRecord>;
    readonly records: Map<string, AgentRecord>;
  };
}

/** Wrong secrets are not slowed down. */
export const NO_DELAY = { slow: async () => {} };

export function fault(code: string, status = 409): CodedError {
  return new CodedError(code, { text: code, hint: 'test', status }, {});
}

export function memoryStore(): MemoryStore {
  const entries: AuditEntry[] = [];
  const audit = {
    entries,
    async append(entry: AuditEntry) {
      entries.push(entry);
    },
    async appendRefusals(entry: AuditEntry) {
      entries.push(entry);
    },
    find: async () => ({ entries: [], next: null }),
    head: async () => null,
    check: async (last: AuditHead) => ({ faults: [], last, count: 0, found: false }),
    async list({ limit }: { limit: number }) {
      return entries.slice(-limit).map((entry, number) => Object.assign({ number, hash: '' }, entry));
    },
  };
  const material = new Map<string, string>();
  const versions = new Map<string, number>();
  const keyMaterial = {
    entries: material,
    async names() {
      return [...material.keys()].toSorted();
    },
    async load(subject: string) {
      const rows = Array.from(material, ([name, value]) => ({ name, value }));
      return {
        version: versions.get(subject) ?? 0,
        rows: rows.filter(({ name }) => name.startsWith(`${subject}.`)),
      };
    },
    async put(changes: readonly KeyMaterialChange[], entry: AuditEntry) {
      for (const { subject, version: expected } of changes) {
        const found = versions.get(subject) ?? 0;
        if (found !== expected) throw storeFault('key_material_conflict', { subject, found, expected });
      }
      for (const { subject, version, entries: put } of changes) {
        versions.set(subject, version + 1);
        for (const { name, value } of put) {
          if (value === null) material.delete(name);
          else material.set(name, value);
        }
      }
      entries.push(entry);
    },
  };
  const apiTokens = new Map<string, ApiTokenRecord>();
  const enrollmentTokens = new Map<string, EnrollmentTokenRecord>();
  const signIns = new Map<string, SignInRecord>();
  const endSignInsOf = (owner: string): void => {
    for (const [id, signIn] of signIns) if (signIn.owner === owner) signIns.delete(id);
  };
  const tokens: TokenStore = {
    async addApiToken({ isFirst, ...token }, entry) {
      if (isFirst === true && apiTokens.size > 0) throw storeFault('first_token_elsewhere', {});
      entries.push(entry);
      apiTokens.set(token.id, token);
    },
    async getApiToken(id) {
      return apiTokens.get(id);
    },
    async listApiTokens() {
      return [...apiTokens.values()];
    },
    async changeApiToken(id, change, _version, entry) {
      const token = apiTokens.get(id);
      if (token === undefined) throw fault('token_unknown', 404);
      const { name = token.name, role = token.role, scope = token.scope, expiresAt = token.expiresAt } = change;
      const changed = { ...token, name, role, scope, expiresAt };
      apiTokens.set(id, changed);
      if (role !== token.role || scope !== token.scope) endSignInsOf(id);
      entries.push(entry);
      return changed;
    },
    async noteApiTokenUse(id, lastUsedAt) {
      const token = apiTokens.get(id);
      if (token !== undefined) apiTokens.set(id, { ...token, lastUsedAt });
    },
    async removeApiToken(id, entry) {
      const token = apiTokens.get(id);
      if (token === undefined) throw fault('token_unknown', 404);
      const administrators = [...apiTokens.values()].filter(({ role }) => role === 'administrator');
      if (token.role === 'administrator' && administrators.length === 1) throw fault('last_administrator');
      apiTokens.delete(id);
      endSignInsOf(id);
      entries.push(entry);
    },
    async addSignIn(signIn, replaced, entry) {
      if (replaced !== null) signIns.delete(replaced);
      signIns.set(signIn.id, signIn);
      entries.push(entry);
    },
    getSignIn: async (id) => signIns.get(id),
    async removeSignIn(id, entry) {
      signIns.delete(id);
      entries.push(entry);
    },
    async addEnrollmentToken(token, entry) {
      entries.push(entry);
      enrollmentTokens.set(token.id, token);
    },
    async getEnrollmentToken(id) {
      return enrollmentTokens.get(id);
    },
    async listEnrollmentTokens() {
      return [...enrollmentTokens.values()];
    },
    async removeEnrollmentToken(id, entry) {
      if (!enrollmentTokens.delete(id)) throw fault('token_unknown', 404);
      entries.push(entry);
    },
  };
  const records = new Map<string, AgentRecord>();
  const agents = {
    records,
    async register(agent: NewAgent, tokenId: string, entry: AuditEntry): Promise<AgentRecord> {
      const known = records.get(agent.id);
      if (known !== undefined && known.keyThumbprint === agent.keyThumbprint) return known;
      const token = enrollmentTokens.get(tokenId);
      if (token === undefined) throw fault('token_unknown', 401);
      if (token.uses >= token.maxUses) throw fault('token_used', 401);
      if (token.expiresAt <= agent.now) throw fault('token_expired', 401);
      if (known !== undefined) throw fault('agent_id_taken');
      enrollmentTokens.set(tokenId, { ...token, uses: token.uses + 1 });
      const record = agentRecord(agent);
      records.set(agent.id, record);
      entries.push(entry);
      return record;
    },
  };
  return {
    keyMaterial,
    audit,
    tokens,
    agents,
    certificates: new MemoryCertificates(entries),
    idempotency: memoryIdempotency(),
    parameters: memoryParameters(entries),
  };
}

/** Of keys nothing expires here. */
function memoryIdempotency(): IdempotencyStore {
  const known = new Map<string, KnownRequest>();
  const placeOf = (tokenId: string, key: string): string => `${tokenId} ${key}`;
  return {
    async begin(request) {
      const place = placeOf(request.tokenId, request.key);
      const found = known.get(place);
      if (found === undefined) known.set(place, { ...request, answer: null });
      return found;
    },
    async finish(tokenId, key, body, answer) {
      const found = known.get(placeOf(tokenId, key));
      if (found !== undefined) known.set(placeOf(tokenId, key), { ...found, body, answer });
    },
    async forget(tokenId, key) {
      known.delete(placeOf(tokenId, key));
    },
  };
}

/** Agents are known here by what was recorded of them; `agents` may be filled by a test. */
export class MemoryCertificates implements CertificateStore {
  readonly #entries: AuditEntry[];
  readonly issued: IssuedCertificate[] = [];
  readonly agents = new Map<string, AgentTrust>();
  readonly warnings = new Map<string, number>();

  constructor(entries: AuditEntry[] = []) {
    this.#entries = entries;
  }

  async recordIssued(certificate: IssuedCertificate, audit: AuditEntry): Promise<void> {
    this.#entries.push(audit);
    this.#keep(certificate);
  }
  async recordDevice(certificate: IssuedCertificate, _epoch: number, audit: AuditEntry): Promise<void> {
    await this.recordIssued(certificate, audit);
  }
  #keep(certificate: IssuedCertificate): void {
    this.issued.push(certificate);
    const { agentId: id } = certificate;
    this.agents.set(id, this.agents.get(id) ?? { id, name: id, transport: null, trusted: null, offlineSince: null });
  }
  /** Of renewals this keeps what was recorded, and finds nothing twice. */
  async recordRenewal({ certificate, chain }: NewRenewal): Promise<RenewalOutcome> {
    this.#keep(certificate);
    return { outcome: 'issued', chain };
  }
  async recordInstalled(): Promise<void> {}
  async mayRenew(agentId: string, thumbprint: string): Promise<boolean> {
    return this.issued.some((one) => one.agentId === agentId && one.thumbprint === thumbprint);
  }
  async find(thumbprint: string) {
    const found = this.issued.find((certificate) => certificate.thumbprint === thumbprint);
    return found === undefined ? undefined : { agentId: found.agentId, revoked: null };
  }
  async revokedBy() {
    return [];
  }
  async soonest({ after, until = Number.MAX_SAFE_INTEGER, limit }: Parameters<CertificateStore['soonest']>[0]) {
    const newest = [...new Map(this.issued.map((certificate) => [certificate.agentId, certificate])).values()];
    const behind = (one: IssuedCertificate): boolean =>
      after === undefined ||
      one.notAfter > after.notAfter ||
      (one.notAfter === after.notAfter && one.thumbprint > after.thumbprint);
    const fitting = newest.filter((certificate) => certificate.notAfter <= until && behind(certificate));
    const sorted = fitting.toSorted((a, b) => a.notAfter - b.notAfter || (a.thumbprint < b.thumbprint ? -1 : 1));
    return sorted.slice(0, limit).map((certificate) => ({
      ...certificate,
      name: this.agents.get(certificate.agentId)?.name ?? certificate.agentId,
    }));
  }
  async ofAgent(agentId: string, limit: number) {
    return this.issued
      .filter((certificate) => certificate.agentId === agentId)
      .toReversed()
      .slice(0, limit);
  }
  async countUntil(until: number) {
    return (await this.soonest({ until, limit: Number.MAX_SAFE_INTEGER })).length;
  }
  async recordTrust(id: string, trusted: readonly string[]): Promise<void> {
    this.agents.set(id, { name: id, transport: null, offlineSince: null, ...this.agents.get(id), id, trusted });
  }
  async trustOf(id: string) {
    return this.agents.get(id)?.trusted ?? null;
  }
  async trust({ after = '', limit }: { after?: string; limit: number }) {
    return [...this.agents.values()]
      .filter(({ name }) => name > after)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .slice(0, limit);
  }
  async expiryWarnings(thumbprints: readonly string[]) {
    return thumbprints.map((thumbprint) => this.warnings.get(thumbprint) ?? null);
  }
  async recordExpiryWarnings(warnings: readonly ExpiryWarning[]): Promise<void> {
    for (const { thumbprint, days } of warnings) this.warnings.set(thumbprint, days);
  }
}

function memoryParameters(auditEntries: AuditEntry[]): MemoryStore['parameters'] {
  const state: { snapshot: ParameterSnapshot; failNext: Error | null } = {
    snapshot: { version: 1, rows: [], pending: null },
    failNext: null,
  };
  return {
    state,
    async load() {
      return state.snapshot;
    },
    async save({ expectedVersion, rows, pending, audit }) {
      if (state.failNext !== null) {
        const error = state.failNext;
        state.failNext = null;
        throw error;
      }
      if (expectedVersion !== state.snapshot.version) throw fault('version_conflict', 412);
      const byName = new Map<string, ParameterRow>(state.snapshot.rows.map((row) => [row.name, row]));
      for (const row of rows) byName.set(row.name, row);
      state.snapshot = { version: expectedVersion + 1, rows: [...byName.values()], pending };
      auditEntries.push(audit);
      return state.snapshot;
    },
  };
}

/** An agent as the store shows it right after its enrollment. */
export function agentRecord(agent: Partial<NewAgent> & { readonly name: string }): AgentRecord {
  const now = agent.now ?? 0;
  return {
    key: 1,
    id: agent.id ?? agent.name,
    name: agent.name,
    isNameSet: false,
    labels: {},
    notes: '',
    version: 0,
    changedBy: null,
    publicKey: agent.publicKey ?? 'key',
    keyThumbprint: agent.keyThumbprint ?? createHash('sha256').update(agent.name).digest('hex'),
    enrolledAt: now,
    enrolledBy: 'test',
    state: 'enrolled',
    stateSince: now,
    stateReason: 'enrolled',
    epoch: 0,
    session: null,
    stateUntil: null,
    quarantinedUntil: null,
    certificate: null,
    next: null,
    revocation: null,
    outbox: { incarnation: 'i', messages: 0, bytes: 0, oldestAt: null },
    inbox: { incarnation: null, number: 0, lastAt: null },
    releases: [],
  };
}

/** Changes with the clock and the timers of a test. */
export function makeChanges(
  now: () => number = Date.now,
  after: (ms: number, run: () => void) => () => void = () => () => {},
): Changes {
  return new Changes({ node: 'n1', log: { info() {}, error() {} }, now, after });
}

/** Of a node that has the store for itself. */
export function aloneAgreement(): Agreement {
  const nodes = {
    list: () => [],
    hurry: () => undefined,
    onHeard: () => undefined,
    onParameterNotes: () => undefined,
  };
  const log = { warn() {} };
  return new Agreement({ store: undefined, nodes, log, clock: () => performance.now(), after: () => () => {} });
}

const subjectOf = (name: string): string => name.slice(0, name.indexOf('.'));

/** Writes entries from the present version of their subjects. */
export async function putKeyMaterial(
  store: KeyMaterialStore,
  entries: readonly KeyMaterialEntry[],
  audit: AuditEntry,
): Promise<void> {
  const changes = await Promise.all(
    Array.from(new Set(entries.map(({ name }) => subjectOf(name))), async (subject) => ({
      subject,
      version: (await store.load(subject)).version,
      entries: entries.filter(({ name }) => subjectOf(name) === subject),
    })),
  );
  await store.put(changes, audit);
}

/** The entry of this name. */
export async function keyMaterialOf(store: KeyMaterialStore, name: string): Promise<string | undefined> {
  return (await store.load(subjectOf(name))).rows.find((row) => row.name === name)?.value;
}
