// Numbers, times and durations in words; text of others made safe to read.

const numbers = new Intl.NumberFormat('en');

export function number(value: number): string {
  return numbers.format(value);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** "3 d 4 h", "38 s": two units at most. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  if (days >= 10 || (days > 0 && hours === 0)) return `${number(days)} d`;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${seconds} s`;
}

/** The larger unit only, for narrow columns. */
export function shortDuration(ms: number): string {
  return duration(ms).split(' ').slice(0, 2).join(' ');
}

export function bytes(count: number): string {
  if (count < 1_000) return plural(count, 'byte');
  const [value, unit] = count < 1e6 ? [count / 1e3, 'kB'] : count < 1e9 ? [count / 1e6, 'MB'] : [count / 1e9, 'GB'];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;
}

/** Per second: one digit behind the point where that says more. */
export function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 100 ? perSecond.toFixed(1) : number(Math.round(perSecond));
}

/** "2026-11-27 14:31:40 UTC". */
export function absolute(at: string | number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

export function date(at: string | number): string {
  return new Date(at).toISOString().slice(0, 10);
}

/** The time of today, the day and time before. */
export function clock(at: string | number, now: number): string {
  const text = new Date(at).toISOString();
  return now - new Date(at).getTime() < 14 * 3_600_000 ? text.slice(11, 19) : text.slice(5, 16).replace('T', ' ');
}

/** "f3a7 8fd7 …": enough to compare two by eye. */
export function shortHash(hex: string, groups = 2): string {
  return (hex.slice(0, groups * 4).match(/.{1,4}/g) ?? []).join(' ');
}

/** Control characters, and those that turn the direction of text: they would make a text look like another one. */
const INVISIBLE =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF\uFFF9-\uFFFB]/g;

/** For titles, tooltips and announcements, which have no button that shows all. */
export function oneLine(text: string): string {
  const shown = visible(text);
  return shown.length > 200 ? `${shown.slice(0, 200)}…` : shown;
}

/** Text of others with its invisible characters shown as [U+202E]. */
export function visible(text: string): string {
  return text.replaceAll(
    INVISIBLE,
    (one) => `[U+${(one.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
  );
}
