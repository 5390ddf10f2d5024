// Slows down wrong secrets (API tokens, recovery codes, enrollment tokens and their proofs) per address block. It is
// called only after a secret has proven wrong: the right one is never delayed or refused here, whatever its address, so
// that no guesser can lock an owner out. attempt-records.ts records the attempts.
import { setNewest } from '../../shared/recent-entries.ts';
import { addressBlock } from './address-rules.ts';
import { authFault } from './errors.ts';

export const SECRET_KINDS = ['api-token', 'recovery-code', 'enrollment-token'] as const;
export type SecretKind = (typeof SECRET_KINDS)[number];

/** As an error names them. */
export const SECRET_WORDS = {
  'api-token': 'API token',
  'recovery-code': 'recovery code',
  'enrollment-token': 'enrollment token',
} as const satisfies Record<SecretKind, string>;

export interface WrongAttempt {
  readonly secret: SecretKind;
  readonly address: string;
  /** The registered agent whose secret was tried. */
  readonly agentId?: string | undefined;
}

export interface WrongAttempts {
  /** Resolves when the refusal may be sent. Errors: too_many_attempts, at once, when too many answers wait already. */
  slow(attempt: WrongAttempt): Promise<void>;
  /** Other nodes slowed down so many of this address block: they count here too. */
  heard(block: string, count: number): void;
}

interface WrongAttemptsOptions {
  readonly now: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Counts every attempt; costs no I/O. */
  readonly onWrong: (attempt: WrongAttempt, block: string) => void;
}

/** A person mistypes; the first few answers of a block are immediate. */
const FREE_ATTEMPTS = 3;
const FIRST_DELAY_MS = 250;
/** A third of what an enrolling agent waits for an answer (agent/enrollment/request.ts). */
export const MAX_DELAY_MS = 5_000;
/** A block that was quiet for this long starts over. */
const FORGET_MS = 600_000;
/** Answers that wait at once. Each holds a timer and its request, both bounded by MAX_DELAY_MS. */
export const MAX_DELAYED_OF_BLOCK = 4;
export const MAX_DELAYED_OF_SITE = 50;
export const MAX_DELAYED = 500;
/**
 * A site is an IPv4 /16 or an IPv6 /32, whose owner can change blocks at will: it is counted as a whole, this many
 * times milder.
 */
const SITE_WEIGHT = 16;
/** Bounds of memory, per family and per site, so that no site evicts the blocks of another. */
export const MAX_SITES_OF_FAMILY = 512;
export const MAX_BLOCKS_OF_SITE = 64;

interface Counted {
  wrong: number;
  delayed: number;
  lastAt: number;
}

interface Site extends Counted {
  readonly blocks: Map<string, Counted>;
}

interface WrongAttemptsWithSize extends WrongAttempts {
  /** Blocks that are remembered. */
  readonly size: number;
  /** Answers that wait now. */
  readonly delayed: number;
}

export function createWrongAttempts({ now, wait, onWrong }: WrongAttemptsOptions): WrongAttemptsWithSize {
  const families = { v4: new Map<string, Site>(), v6: new Map<string, Site>() };
  let delayed = 0;
  const count = (name: string, times: number): { readonly site: Site; readonly block: Counted } => {
    const at = now();
    const [family, newSite] = [
      families[name.includes(':') ? 'v6' : 'v4'],
      (): Site => ({ ...fresh(at), blocks: new Map() }),
    ];
    const site = touch(family, siteOf(name), { most: MAX_SITES_OF_FAMILY, at, times }, newSite);
    const block = touch(site.blocks, name, { most: MAX_BLOCKS_OF_SITE, at, times }, () => fresh(at));
    return { site, block };
  };

  return {
    get size() {
      return [...families.v4.values(), ...families.v6.values()].reduce((sum, { blocks }) => sum + blocks.size, 0);
    },
    get delayed() {
      return delayed;
    },
    heard(name, times) {
      count(name, times);
    },
    async slow(attempt) {
      const name = addressBlock(attempt.address);
      onWrong(attempt, name);
      const { site, block } = count(name, 1);
      const level = Math.max(block.wrong, Math.floor(site.wrong / SITE_WEIGHT)) - FREE_ATTEMPTS;
      if (level <= 0) return;
      if (block.delayed >= MAX_DELAYED_OF_BLOCK || site.delayed >= MAX_DELAYED_OF_SITE || delayed >= MAX_DELAYED)
        throw authFault('too_many_attempts', { secret: SECRET_WORDS[attempt.secret], block: name });
      for (const counted of [block, site]) counted.delayed += 1;
      delayed += 1;
      try {
        await wait(Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(level - 1, 16)));
      } finally {
        for (const counted of [block, site]) counted.delayed -= 1;
        delayed -= 1;
      }
    },
  };
}

/** For `wait`; does not keep the process alive. */
export function unheldDelay(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}

function fresh(at: number): Counted {
  return { wrong: 0, delayed: 0, lastAt: at };
}

/** Counts so many more for `key`, which becomes the newest; the one that was quiet longest is evicted. */
function touch<T extends Counted>(
  map: Map<string, T>,
  key: string,
  { most, at, times }: { readonly most: number; readonly at: number; readonly times: number },
  make: () => T,
): T {
  const known = map.get(key) ?? make();
  setNewest(map, key, known, most);
  if (at - known.lastAt > FORGET_MS) known.wrong = 0;
  known.wrong += times;
  known.lastAt = at;
  return known;
}

/** Of a block of `addressBlock`: 192.0.2.7 is in 192.0, 2001:db8:0:1::/64 in 2001:db8. */
export function siteOf(block: string): string {
  const separator = block.includes(':') ? ':' : '.';
  return block.split(separator, 2).join(separator);
}
