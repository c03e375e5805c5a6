import type { EventRow } from '../api/schemas.ts';
import type { Spells } from '../store/alert-store.ts';

/** What is remembered of one device, at most; it has a few limits, and as many levels as it likes. */
const MAX_SPELLS = 64;
const MAX_REASON = 300;
/** Stands for the newest boot: what began before it is over. */
const BOOT = 'boot';

type Spell = Spells[string];

/**
 * What lasts on each device, by what its events said: `violation/latency`, `throttle`, `drift/gpu/3`. An event
 * that is older than what is known is ignored: records may arrive in any order. A boot ends whatever began
 * before it.
 * @returns only the devices of which something has changed
 */
export function spellsAfter(
  known: ReadonlyMap<string, Spells>,
  events: readonly EventRow[],
): ReadonlyMap<string, Spells> {
  const changed = new Map<string, Spells>();
  for (const event of events) {
    const before = changed.get(event.device) ?? known.get(event.device) ?? {};
    const after = noteEvent(before, event);
    if (after !== before) changed.set(event.device, after);
  }
  return changed;
}

function noteEvent(spells: Spells, { ts, body }: EventRow): Spells {
  if (ts < (spells[BOOT]?.ts ?? Number.NEGATIVE_INFINITY)) return spells;
  switch (body.kind) {
    case 'boot':
      return afterBoot(spells, ts);
    case 'violation':
      return noteSpell(spells, `violation/${body.limit}`, spellOf(ts, body));
    case 'throttle':
      return noteSpell(spells, 'throttle', spellOf(ts, body));
    case 'drift':
      return noteSpell(spells, `drift/${body.pe ?? 'all'}/${body.level}`, spellOf(ts, body));
    default:
      return spells;
  }
}

function spellOf(ts: number, { state, reason }: { state: 'begins' | 'ends'; reason: string }): Spell {
  return { active: state === 'begins', ts, sinceTs: ts, reason: reason.slice(0, MAX_REASON) };
}

function afterBoot(spells: Spells, ts: number): Spells {
  if (ts <= (spells[BOOT]?.ts ?? Number.NEGATIVE_INFINITY)) return spells;
  const later = Object.entries(spells).filter(([, spell]) => spell.ts > ts);
  return Object.fromEntries([[BOOT, { active: false, ts, sinceTs: ts, reason: '' }], ...later]);
}

function noteSpell(spells: Spells, key: string, spell: Spell): Spells {
  const old = spells[key];
  if (old !== undefined && old.ts > spell.ts) return spells;
  // It lasts since it began, however often that is said.
  const sinceTs = old?.active === true && spell.active ? old.sinceTs : spell.sinceTs;
  const { [BOOT]: boot, [key]: _, ...others } = spells;
  // The newest stand first: what is forgotten has not changed for longest.
  return {
    ...(boot === undefined ? {} : { [BOOT]: boot }),
    [key]: { ...spell, sinceTs },
    ...Object.fromEntries(Object.entries(others).slice(0, MAX_SPELLS - 2)),
  };
}

/** The spells of one kind that last, by what follows the kind in their names; the oldest first. */
export function lasting(spells: Spells, kind: string): readonly { of: string; spell: Spell }[] {
  return Object.entries(spells)
    .filter(([key, { active }]) => active && (key === kind || key.startsWith(`${kind}/`)))
    .map(([key, spell]) => ({ of: key.slice(kind.length + 1), spell }))
    .sort((a, b) => a.spell.sinceTs - b.spell.sinceTs);
}
