// The one namespace of agents' ids and names: that no one takes what another has or what is reserved, and which records
// from before these rules break them. What is reserved is central/store/agent-names.ts's.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import { integer, text, type Row } from '../../../../../shared/sqlite/row.ts';
import { idPrefixes, isPlainId, looksLikeIdPrefix, reservation } from '../../../agent-names.ts';
import { storeFault } from '../../../errors.ts';
import type { NameFault, NameFaults, NewAgent } from '../../../agent-store.ts';
import type { EnrollmentTokenRecord } from '../../../token-store.ts';
import type { tokenWrites } from '../tokens.ts';

interface AgentNameNeeds {
  readonly tokens: Pick<ReturnType<typeof tokenWrites>, 'isBound'>;
  readonly namesOfCentral: ReadonlySet<string>;
}

/**
 * By two indexes that compare without regard to case (`agent_id_any_case`, that of `agent.name`); with OR, SQLite would
 * read the whole table.
 */
const OWNER =
  'SELECT id FROM agent WHERE id = ?1 COLLATE NOCASE AND id <> ?2 UNION ALL SELECT id FROM agent WHERE name = ?1 AND id <> ?2 LIMIT 1';

/** From ?1 to ?2, which is ?1 with BEHIND_ANY; by the index, whatever wildcards ?1 has. */
export const ID_BEGINS_WITH = 'agent.id COLLATE NOCASE >= ?1 AND agent.id COLLATE NOCASE < ?2';
/** The last code point: in UTF-8 no text is behind it. */
export const BEHIND_ANY = '\u{10ffff}';

export function agentNameRules(database: SqlDatabase, { tokens, namesOfCentral }: AgentNameNeeds) {
  const ownerOf = database.prepare(OWNER);
  const beginsId = database.prepare(`SELECT id FROM agent WHERE ${ID_BEGINS_WITH} AND id <> ?3 LIMIT 1`);

  /** Reserved words and those of tokens; `token` is the one that is used now. */
  function assertUnreserved(word: string, token: EnrollmentTokenRecord | null, at: number): void {
    // It is the token's own; of several tokens for one name the first that is used gets it. Only Central binds one to a
    // reserved name, for its own agent (central/enrollment/tokens.ts).
    if (token?.agentName?.toLowerCase() === word.toLowerCase()) return;
    const found = reservation(word, namesOfCentral);
    if (found !== undefined) throw storeFault('agent_name_reserved', { name: word, found });
    if (tokens.isBound(word, at))
      throw storeFault('agent_name_reserved', {
        name: word,
        found: 'an enrollment token that can still be used is bound to it',
      });
  }

  /** Of another agent: exact ids and names are meant before the beginning of an id, so none may look like one. */
  function idBegunBy(word: string, id: string): Row | undefined {
    return looksLikeIdPrefix(word) ? beginsId.get(word, `${word}${BEHIND_ANY}`, id) : undefined;
  }

  function assertNameFree(name: string, id: string, token: EnrollmentTokenRecord | null, at: number): void {
    const row = ownerOf.get(name, id) ?? idBegunBy(name, id);
    if (row !== undefined) throw storeFault('agent_name_taken', { name, owner: text(row, 'id') });
    assertUnreserved(name, token, at);
  }

  return {
    assertNameFree,
    /**
     * For an agent that is not registered yet.
     * Errors: agent_id_invalid, agent_id_taken, agent_name_taken, agent_name_reserved.
     */
    assertFree({ id, name, now }: NewAgent, token: EnrollmentTokenRecord | null): void {
      if (!isPlainId(id)) throw storeFault('agent_id_invalid', { found: JSON.stringify(id.slice(0, 64)) });
      if ((ownerOf.get(id, '') ?? idBegunBy(id, id)) !== undefined) throw storeFault('agent_id_taken', { id });
      // An exact name is meant before the beginning of an id: this id could not be typed in short without meaning
      // another agent.
      for (const prefix of idPrefixes(id)) {
        const owner = ownerOf.get(prefix, '');
        if (owner !== undefined)
          throw storeFault('agent_name_reserved', {
            name: id,
            found: `it begins with ${prefix}, which is the name or the id of the agent ${text(owner, 'id')}`,
          });
      }
      assertNameFree(name, id, token, now);
      if (id.toLowerCase() !== name.toLowerCase()) assertUnreserved(id, token, now);
    },
  };
}

/** Each agent once per rule that it breaks; of two that meet, the one whose id is in the way. */
const FAULTS = `
  SELECT taken.key, taken.id, taken.name, 'its id is the name of the agent ' || owner.id AS found
    FROM agent AS taken JOIN agent AS owner ON owner.name = taken.id COLLATE NOCASE AND owner.key <> taken.key
  UNION ALL
  SELECT one.key, one.id, one.name, 'its id differs from that of the agent ' || other.id || ' in upper and lower case only' AS found
    FROM agent AS one JOIN agent AS other ON other.id = one.id COLLATE NOCASE AND other.key > one.key
  UNION ALL
  SELECT key, id, name, 'its id is not plain printable ASCII without blanks' AS found FROM agent WHERE glob('*[^!-~]*', id) OR id IN ('.', '..')
  UNION ALL
  SELECT key, id, name, 'its id is a reserved name' AS found FROM agent WHERE lower(id) IN (SELECT value FROM json_each(?1)) AND lower(id) <> lower(name) COLLATE NOCASE
  UNION ALL
  SELECT key, id, name, 'its name is a reserved name' AS found FROM agent WHERE lower(name) IN (SELECT value FROM json_each(?1)) AND lower(name) <> 'central-agent'`;

export function agentNameReads(database: SqlDatabase, namesOfCentral: readonly string[]) {
  const reserved = JSON.stringify([
    ...new Set(['all', 'central-agent', ...namesOfCentral.map((name) => name.toLowerCase())]),
  ]);
  const faults = database.prepare(`${FAULTS} ORDER BY 1 LIMIT ?2`);
  const count = database.prepare(`SELECT count(*) AS faults FROM (${FAULTS}) AS found`);
  const left = database.prepare(`
    SELECT EXISTS (SELECT 1 FROM origin WHERE agent_id = ?1) OR EXISTS (SELECT 1 FROM dead_letter WHERE agent_id = ?1)
      OR EXISTS (SELECT 1 FROM incident WHERE agent_id = ?1) AS left_records`);
  return {
    nameFaults(limit: number): NameFaults {
      return { count: integer(count.get(reserved), 'faults'), faults: faults.all(reserved, limit).map(faultRow) };
    },
    hasLeftRecords: (id: string): boolean => integer(left.get(id), 'left_records') === 1,
  };
}

function faultRow(row: Row): NameFault {
  return { id: text(row, 'id'), name: text(row, 'name'), found: text(row, 'found') };
}
