// Reads quantities as they are typed: durations (90s, 15m, 24h, 30d), shares (95%), rates (2MB/s) and whole numbers.
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * The seconds of `15m`; undefined: not a duration. A number without a unit is refused, since each command would mean
 * another one.
 */
export function secondsOf(text: string): number | undefined {
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = SECONDS[unit];
  return count === undefined || seconds === undefined ? undefined : Number(count) * seconds;
}

/** 0.95 of `95%`; undefined: not a share. */
export function shareOf(text: string): number | undefined {
  const [, percent] = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(text) ?? [];
  // Two decimals more than were typed: 0.29 and not 0.28999999999999998.
  return percent === undefined || Number(percent) > 100 ? undefined : Number((Number(percent) / 100).toFixed(5));
}

export function wholeNumberOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

const RATES: Readonly<Record<string, number>> = { k: 1_000, M: 1_000_000, G: 1_000_000_000 };

/** The bytes a second of `2MB/s`; undefined: not a rate. */
export function rateOf(text: string): number | undefined {
  const [, count, unit = ''] = /^(\d{1,6}(?:\.\d{1,3})?)([kMG])B\/s$/.exec(text) ?? [];
  const bytes = RATES[unit];
  return count === undefined || bytes === undefined ? undefined : Math.round(Number(count) * bytes);
}

/** The size of a wave: `10` agents, or `10%` of them; undefined: neither. */
export function waveOf(text: string): { readonly count: number } | { readonly share: number } | undefined {
  const [share, count] = [shareOf(text), wholeNumberOf(text)];
  if (share !== undefined) return { share };
  return count === undefined ? undefined : { count };
}
