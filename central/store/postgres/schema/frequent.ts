// Statements that each login runs and that cost more to plan than to run, as functions: PostgreSQL keeps their plans,
// and a pooler in transaction mode does no harm, as it would to statements with names.
import { SELECT_AGENT } from '../../sql/rows/agents/agent-reads.ts';
import { translate } from '../connection/dialect.ts';

export const FREQUENT = `
CREATE VIEW whole_agent AS ${translate(SELECT_AGENT).sql};
CREATE FUNCTION agent_by_id(of_id text) RETURNS SETOF whole_agent LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN QUERY SELECT * FROM whole_agent WHERE id = of_id; END $$;
CREATE FUNCTION agent_by_key(of_thumbprint text) RETURNS SETOF whole_agent LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN QUERY SELECT * FROM whole_agent WHERE key_thumbprint = of_thumbprint; END $$;
`;

/** By what the rows ask for. */
export const FUNCTION_FOR: ReadonlyMap<string, string> = new Map([
  [`${SELECT_AGENT} WHERE agent.id = ?`, 'SELECT * FROM agent_by_id(?)'],
  [`${SELECT_AGENT} WHERE agent.key_thumbprint = ?`, 'SELECT * FROM agent_by_key(?)'],
]);
