// The tables of rollouts. A rollout is a JSON document, since it is read and written whole; its agents are rows.

/**
 * `rollout_agent.busy`: 1 while the agent takes part, NULL otherwise: an agent is in one rollout at a time.
 * `agent_release` has what each agent shall have and says it runs, by part (its column is named kind).
 */
export const ROLLOUTS = `
  CREATE TABLE rollout (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX rollout_state ON rollout (state);
  CREATE TABLE rollout_agent (
    rollout INTEGER NOT NULL,
    agent INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_changed_at INTEGER NOT NULL,
    wave INTEGER,
    eligible INTEGER NOT NULL,
    busy INTEGER,
    deadline_at INTEGER,
    started_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    generation INTEGER,
    target TEXT,
    previous TEXT,
    inconclusive INTEGER NOT NULL DEFAULT 0,
    code TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT '',
    received_bytes INTEGER NOT NULL DEFAULT 0,
    total_bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (rollout, agent)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX rollout_agent_busy ON rollout_agent (agent) WHERE busy = 1;
  CREATE INDEX rollout_agent_agent ON rollout_agent (agent);
  CREATE TABLE agent_release (
    agent INTEGER NOT NULL,
    kind TEXT NOT NULL,
    desired TEXT,
    previous TEXT,
    generation INTEGER NOT NULL DEFAULT 0,
    rollout INTEGER,
    reported TEXT,
    reported_at INTEGER,
    PRIMARY KEY (agent, kind)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER rollouts_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM rollout_agent WHERE agent = OLD.key;
    DELETE FROM agent_release WHERE agent = OLD.key;
  END;
`;

/** Of a row of `release`: rollouts that have not ended, or that some agent has not ended yet, bring it to agents. */
export const ROLLOUT_OF_RELEASE = `
  SELECT number FROM rollout WHERE json_extract(document, '$.release') = release.digest AND (
    state NOT IN ('completed', 'canceled', 'rolled-back')
    OR EXISTS (SELECT 1 FROM rollout_agent WHERE rollout_agent.rollout = rollout.number AND busy = 1))
  UNION SELECT rollout FROM rollout_agent WHERE busy = 1 AND target = release.digest`;
