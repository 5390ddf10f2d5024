// Keeps a Map to its newest entries: what strangers can add to is bounded, and who is still there is not forgotten.

/**
 * Makes `key` the newest entry. True when there were more than `most` and the one that was set longest ago gave way.
 */
export function setNewest<K, V>(map: Map<K, V>, key: K, value: V, most: number): boolean {
  map.delete(key);
  map.set(key, value);
  if (map.size <= most) return false;
  for (const oldest of map.keys()) return map.delete(oldest);
  return false;
}
