// The parameters of tasks (central/tasks).

/** `group`: that of tasks. */
export function taskDefinitions<const G extends string>(group: G) {
  return {
    'tasks.maxPerAgent': {
      group,
      type: 'integer',
      unit: 'items',
      minimum: 1,
      maximum: 10_000,
      default: 500,
      description:
        'How many tasks of one agent may be unfinished. Above this limit, new ones are refused (503 tasks_full).',
      reason: 'A schedule that repeats against an agent that is off for a day is noticed before it fills the disk.',
      applying: 'At once; tasks that exist stay.',
    },
    'tasks.maxPerQueue': {
      group,
      type: 'integer',
      unit: 'items',
      minimum: 1,
      maximum: 10_000,
      default: 1000,
      description:
        'How many tasks of one queue may wait for an agent. Above this limit, new ones are refused (503 task_queue_full).',
      reason: 'A queue whose agents are off is noticed within the day, and before it takes the room of others.',
      applying: 'At once; tasks that exist stay.',
    },
    'tasks.maxQueued': {
      group,
      type: 'integer',
      unit: 'items',
      minimum: 1,
      maximum: 100_000,
      default: 10_000,
      description:
        'How many tasks of all queues may wait for agents. Above this limit, new ones are refused (503 task_queue_full).',
      reason: 'With their arguments, these take at most 640 MiB of disk.',
      applying: 'At once; tasks that exist stay.',
    },
    'tasks.lostAfterSeconds': {
      group,
      type: 'integer',
      unit: 'seconds',
      minimum: 60,
      maximum: 30 * 86_400,
      default: 86_400,
      description:
        'How long Central waits for the end of a task beyond the time that the task may take, before it records it as lost. A result that is reported later is kept beside it (lateResult).',
      reason: 'A branch whose line is down for a night still reports how its tasks ended.',
      applying: 'To the next change of each task.',
    },
    'tasks.retentionDays': {
      group,
      type: 'integer',
      unit: 'days',
      minimum: 1,
      maximum: 3650,
      default: 30,
      description: 'How long tasks that have ended stay, with the ends of what they wrote.',
      reason: 'Long enough to look into what ran last month.',
      applying: 'At the next pruning. Deleted entries are not restored.',
    },
  } as const;
}
