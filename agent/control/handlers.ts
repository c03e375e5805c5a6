import type { Clock } from '../../shared/clock.ts';
import {
  type ControlKind,
  type ControlRequestOf,
  type InferencesAnswer,
  MAX_INFERENCES,
  type ProfileAnswer,
} from '../../shared/control/protocol.ts';
import { type ExplainAnswer, explain } from '../explain/answer.ts';
import type { ExplainRing } from '../explain/ring.ts';

/** What each kind of request is answered with. */
interface Answers {
  readonly status: unknown;
  readonly explain: ExplainAnswer;
  readonly inferences: InferencesAnswer;
  readonly profile: ProfileAnswer;
}

/** What answers each kind of request; a table, so that a kind without an answer does not compile. */
export type ControlHandlers = {
  readonly [K in ControlKind]: (request: ControlRequestOf<K>) => Answers[K] | Promise<Answers[K]>;
};

export interface ExplainHandlersDeps {
  readonly ring: ExplainRing;
  readonly clock: Clock;
}

/** The answers that come out of the agent's memory of its decisions. */
export function explainHandlers({
  ring,
  clock,
}: ExplainHandlersDeps): Pick<ControlHandlers, 'explain' | 'inferences'> {
  return {
    explain: ({ at, since, limit }) =>
      explain(ring, { at, since, ...(limit === undefined ? {} : { limit }) }, clock.now()),
    inferences: ({ since, limit = MAX_INFERENCES }) => {
      const inferences = ring
        .inferences(limit, since)
        .map(({ budgetMs, ...record }) => ({ ...record, ...(budgetMs === undefined ? {} : { budgetMs }) }));
      return { inferences };
    },
  };
}
