// The parameters of dead letters: messages that expired or were rejected.

const MIB = 1024 * 1024;

/** `group`: that of messages. */
export function deadLetterDefinitions<const G extends string>(group: G) {
  return {
    'deadLetters.retentionDays': {
      type: 'integer',
      unit: 'days',
      group,
      minimum: 1,
      maximum: 3650,
      default: 30,
      description: 'How long expired and rejected messages stay readable, with the reason.',
      reason: 'Long enough to find out where a message went.',
      applying: 'At the next pruning. Deleted entries are not restored.',
    },
    'deadLetters.maxPerAgent': {
      group,
      type: 'integer',
      unit: 'items',
      minimum: 100,
      maximum: 1_000_000,
      default: 10_000,
      description:
        'How many dead letters of one agent are kept in each direction. Above this limit, newer ones replace the oldest of that agent; the incident dead_letters_dropped and the metrics count the replaced ones.',
      reason:
        'The same as the default outbox of an agent: if all its messages expire at once, each one stays readable.',
      applying: 'At the next dead letter of an agent, or the next pruning.',
    },
    'deadLetters.maxBytesPerAgent': {
      group,
      type: 'integer',
      unit: 'bytes',
      minimum: MIB,
      maximum: 4096 * MIB,
      default: 16 * MIB,
      description:
        'How many bytes of dead letters of one agent are kept in each direction. Above this limit, the oldest of that agent are replaced, as with deadLetters.maxPerAgent.',
      reason:
        'The same as the default outbox of an agent: an agent that sends only invalid messages uses no more disk space than this.',
      applying: 'At the next dead letter of an agent, or the next pruning.',
    },
  } as const;
}
