// Chooses the media type of an answer by the header Accept (RFC 9110 section 12.5.1).

/**
 * The type that the client prefers, of those that a route has; the first of them where it does not say, or likes
 * several equally well. Undefined where it accepts none.
 */
export function preferredType(accept: string | undefined, allowed: readonly [string, ...string[]]): string | undefined {
  if (accept === undefined || accept.trim() === '') return allowed[0];
  const ranges = accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    return { type, quality: quality === undefined ? 1 : Number(quality) || 0 };
  });
  const qualityOf = (type: string): number => {
    const names = [type, `${type.split('/', 1)[0] ?? ''}/*`, '*/*'];
    // The most specific range that fits counts.
    for (const name of names) {
      const range = ranges.find((one) => one.type === name);
      if (range !== undefined) return range.quality;
    }
    return 0;
  };
  const rated = allowed.map((type) => ({ type, quality: qualityOf(type) }));
  const best = rated.reduce((one, other) => (other.quality > one.quality ? other : one));
  return best.quality > 0 ? best.type : undefined;
}
