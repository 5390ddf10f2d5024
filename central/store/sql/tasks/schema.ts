// The tables of tasks. What does not select tasks is in a JSON document, since it is read and written whole.

/**
 * `task.key` is what the agent knows a task by. `deadline_at`: when its state ends by itself; NULL: it is final. `queue`
 * is for tasks that are addressed to a queue and have no agent yet.
 */
export const TASKS = `
  CREATE TABLE task (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    agent INTEGER,
    queue TEXT,
    handler TEXT NOT NULL,
    state TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    deadline_at INTEGER,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX task_agent ON task (agent, number);
  CREATE INDEX task_state ON task (state, number);
  CREATE INDEX task_deadline ON task (deadline_at) WHERE deadline_at IS NOT NULL;
  CREATE INDEX task_unfinished ON task (agent) WHERE deadline_at IS NOT NULL;
  CREATE TABLE task_handlers (
    agent INTEGER PRIMARY KEY,
    report TEXT NOT NULL
  ) STRICT;
  CREATE TRIGGER tasks_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM task WHERE agent = OLD.key;
    DELETE FROM task_handlers WHERE agent = OLD.key;
  END;
`;

/**
 * `task.scope`: as JSON, which agents may get a task of a queue; NULL: all. `task_queue_agent`: which queues each agent
 * serves, as in its last report. A task waits while its state is `queued`.
 */
export const TASK_QUEUES = `
  ALTER TABLE task ADD COLUMN scope TEXT;
  CREATE INDEX task_queued ON task (queue, handler, number) WHERE state = 'queued';
  CREATE TABLE task_queue_agent (
    queue TEXT NOT NULL,
    agent INTEGER NOT NULL,
    PRIMARY KEY (queue, agent)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX task_queue_of_agent ON task_queue_agent (agent);
  CREATE TRIGGER queues_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM task_queue_agent WHERE agent = OLD.key;
  END;
`;
