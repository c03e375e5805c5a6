import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { IdSchema } from '../../shared/protocol/ids.ts';
import { type InstallReport, type Order, OrderSchema } from '../../shared/protocol/release.ts';
import { parserOf } from '../../shared/schema.ts';

/** As much of an order as it takes to answer it. */
const NamedSchema = Type.Object({
  rollout: IdSchema,
  deed: Type.Union([Type.Literal('install'), Type.Literal('revert')]),
  release: Type.Object({
    name: IdSchema,
    version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  }),
});

const parseOrder = parserOf(OrderSchema);
const parseNamed = parserOf(NamedSchema);

/** What a desired document wants: nothing, an order, or something that is none. */
export type Wanted =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'order'; readonly order: Order }
  | { readonly kind: 'unreadable'; readonly reason: string; readonly named?: Static<typeof NamedSchema> };

/** Reads an order as it stands in a desired document. Never throws. */
export function readOrder(value: unknown): Wanted {
  if (value === undefined || value === null) return { kind: 'nothing' };
  try {
    return { kind: 'order', order: parseOrder(value, 'order') };
  } catch (error) {
    const reason = error instanceof AppError ? error.message : 'order: it cannot be read';
    return { kind: 'unreadable', reason, ...namedIn(value) };
  }
}

function namedIn(value: unknown): { readonly named?: Static<typeof NamedSchema> } {
  try {
    return { named: parseNamed(value, 'order') };
  } catch {
    return {};
  }
}

/** Whether it is the same order: one is carried out once, however often it comes. */
export function isSameOrder(a: Pick<Order, 'rollout' | 'deed'>, b: Pick<Order, 'rollout' | 'deed'>): boolean {
  return a.rollout === b.rollout && a.deed === b.deed;
}

/** The report of an order that has a name and is otherwise unreadable. */
export function unreadableReport(
  { rollout, deed, release }: Static<typeof NamedSchema>,
  reason: string,
  ts: number,
): InstallReport {
  const { name, version } = release;
  return { rollout, deed, name, version, state: 'rejected', step: 'fetching', reason, ts };
}
