// Notices sessions that are cut again and again after about the same time: a proxy or a firewall on the way ends them.
// One cut line is daily business; three of one length are a setting of somebody's device.
import { agentFault } from '../errors.ts';
import type { ConnectionEnd } from './connection.ts';

const CUTS_IN_A_ROW = 3;
/** Timeouts of proxies are seconds to minutes; what lives longer ends for many reasons. */
const MAX_LIFE_MS = 3_600_000;
/** So much the lives may differ: the check of a proxy, and a slow line. */
const SPREAD_MS = 2_000;
const SPREAD_SHARE = 0.1;

/** Returns each end of a session, with its reason replaced from the third such cut in a row on. */
export function watchCuts(): (end: ConnectionEnd) => ConnectionEnd {
  let lives: number[] = [];
  return (end) => {
    const isCut = end.onlineMs > 0 && end.onlineMs <= MAX_LIFE_MS && end.reason.code === 'closed';
    // A dial in between that failed says nothing about the sessions.
    if (!isCut) {
      if (end.onlineMs > 0) lives = [];
      return end;
    }
    lives = [...lives, end.onlineMs].slice(-CUTS_IN_A_ROW);
    const [shortest, longest] = [Math.min(...lives), Math.max(...lives)];
    if (lives.length < CUTS_IN_A_ROW || longest - shortest > Math.max(SPREAD_MS, longest * SPREAD_SHARE)) return end;
    const seconds = Math.max(1, Math.round(shortest / 1000));
    const { target = 'Central' } = end.reason.parameters;
    return {
      ...end,
      reason: agentFault('session_cut_regularly', { target, count: CUTS_IN_A_ROW, seconds }, end.reason),
    };
  };
}
