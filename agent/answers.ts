import { formatPercent } from '../shared/cli/format.ts';
import type { Clock } from '../shared/clock.ts';
import type { ProfileAnswer } from '../shared/control/protocol.ts';
import type { Logging } from '../shared/log.ts';
import type { ProfileAction } from '../shared/protocol/command.ts';
import type { CommandHandlers } from './commands/commands.ts';
import { explainCommand } from './commands/explain.ts';
import type { ExplainRing } from './explain/ring.ts';
import type { Operation } from './operation/operation.ts';

/** What commands are answered from that are not about a family. */
export interface CommonAnswering {
  readonly logging: Logging;
  readonly ring: ExplainRing;
  readonly clock: Clock;
  readonly askRestart: () => void;
}

/** What commands are answered from. */
export interface Answering extends CommonAnswering {
  /** Of the family that serves now. */
  readonly operation: () => Operation;
}

/** A `logs` answer stays well under the size of a message. */
const MAX_LOG_CHARACTERS = 60_000;

/** The answers to the controller's commands. */
export function commandHandlers({ operation, ...common }: Answering): CommandHandlers {
  return {
    ...commonHandlers(common),
    profile: ({ action = 'show' }) => ({ state: 'done', ...answerProfile(operation(), action) }),
    audit: () => ({ state: 'done', ...answerAudit(operation().audit()) }),
  };
}

/** The answers to commands that are the same whatever serves. */
export function commonHandlers({ logging, ring, clock, askRestart }: CommonAnswering) {
  return {
    ping: () => ({ state: 'done' }),
    logs: ({ lines = 100 }) => ({ state: 'done', lines: newestThatFit(logging.ring.newest(lines)) }),
    explain: explainCommand(ring, clock),
    restart: () => {
      askRestart();
      return { state: 'done' };
    },
  } satisfies Partial<CommandHandlers>;
}

/** What was measured of the family in operation; begins to measure it anew where that is asked. */
export function answerProfile({ profileKeeper }: Operation, action: ProfileAction): ProfileAnswer {
  if (action === 'measure') profileKeeper.measure();
  return profileKeeper.answer();
}

function answerAudit(view: ReturnType<Operation['audit']>): ProfileAnswer {
  const { drift, auditShare, levels, audits, dropped } = view;
  const lines = levels.map(({ accuracy, agreement, audits: made }, level) => {
    const known =
      accuracy === undefined
        ? 'accuracy not known from audits'
        : `accuracy ${formatPercent(accuracy.low)} to ${formatPercent(accuracy.high)}`;
    return `level ${level}  ${known}, ${made} audits, ${formatPercent(agreement.share)} agree`;
  });
  const alarm =
    drift === undefined ? 'no drift' : `drift since ${drift.inferences} inferences, by ${drift.by}`;
  return {
    lines: [`${alarm}; ${audits} audits, ${formatPercent(auditShare)} of inferences are audited`, ...lines],
    data: { drift: drift ?? null, auditShare, audits, dropped, levels },
  };
}

function newestThatFit(lines: readonly string[]): string[] {
  let characters = 0;
  const fits = (line: string): boolean => {
    characters += JSON.stringify(line).length + 1;
    return characters < MAX_LOG_CHARACTERS;
  };
  return lines.toReversed().filter(fits).reverse();
}
