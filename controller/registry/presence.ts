import type { DeviceStatus } from '../../shared/protocol/status.ts';
import type { Presence } from '../store/device-store.ts';

/** Boots that are remembered to tell a restart from a second program. */
const MAX_BOOTS = 8;
/** An identity counts as contested for so long after it last changed hands: the one that is kicked out backs off long. */
const CONFLICT_MS = 3_600_000;

export interface PresenceChange {
  readonly presence: Presence;
  /** Set when a conflict begins. */
  readonly conflictBegins: boolean;
}

/**
 * What a status message makes of what was known. The will of an older session may come after the newer
 * session's greeting: it is ignored. A boot id that comes back after another one belongs to a second
 * program with the same identity, because every start makes a new one.
 */
export function applyStatus(known: Presence | undefined, status: DeviceStatus, now: number): PresenceChange {
  if (status.state === 'offline')
    return { presence: afterOffline(known, status, now), conflictBegins: false };
  const bootIds = known?.bootIds ?? [];
  const returns = bootIds.at(-1) !== status.bootId && bootIds.includes(status.bootId);
  const presence: Presence = {
    online: true,
    session: status.session,
    bootIds: [...bootIds.filter((id) => id !== status.bootId), status.bootId].slice(-MAX_BOOTS),
    sinceTs: known?.online === true ? known.sinceTs : now,
    ...conflictOf(known, returns ? now : undefined),
  };
  return { presence, conflictBegins: returns && !isContested(known, now) };
}

function afterOffline(known: Presence | undefined, status: DeviceStatus, now: number): Presence {
  if (known?.online === true && known.session !== status.session) return known;
  if (known !== undefined) return { ...known, online: false, sinceTs: known.online ? now : known.sinceTs };
  return { online: false, session: status.session, bootIds: [status.bootId], sinceTs: status.ts };
}

function conflictOf(
  known: Presence | undefined,
  conflictTs: number | undefined,
): Pick<Presence, 'conflictTs'> {
  const ts = conflictTs ?? known?.conflictTs;
  return ts === undefined ? {} : { conflictTs: ts };
}

/** Whether two programs use the identity in turn. A conflict of the future was noted before the clock was put back. */
export function isContested(presence: Presence | undefined, now: number): boolean {
  return presence?.conflictTs !== undefined && Math.abs(now - presence.conflictTs) < CONFLICT_MS;
}
