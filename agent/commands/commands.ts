import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Command, CommandKind, CommandResult } from '../../shared/protocol/command.ts';

type Answer = Omit<CommandResult, 'v' | 'ts'>;

/** What each command does. */
export type CommandHandlers = Record<CommandKind, (command: Command) => Answer>;

/** Answers kept for commands that are asked again. */
const REMEMBERED = 256;

/** Carries out commands: not after they expired, and once per id, however often it is asked. */
export interface CommandRunner {
  run(id: string, command: Command): CommandResult;
}

/** Makes a runner; the handlers are a table, so that a kind without one does not compile. */
export function createCommandRunner(clock: Clock, handlers: CommandHandlers): CommandRunner {
  const answers = new Map<string, CommandResult>();
  const carryOut = (command: Command): Answer => {
    if (clock.now() > command.expiresAt) return { state: 'expired', reason: 'it arrived after its expiry' };
    if (!isKnown(command.kind))
      return { state: 'unknown-kind', reason: `this agent does not know '${command.kind}'` };
    try {
      return handlers[command.kind](command);
    } catch (error) {
      return { state: 'failed', reason: describeError(error).slice(0, 1_000) };
    }
  };
  const isKnown = (kind: string): kind is CommandKind => Object.hasOwn(handlers, kind);
  return {
    run: (id, command) => {
      const earlier = answers.get(id);
      if (earlier !== undefined) return earlier;
      const result: CommandResult = { v: 1, ts: clock.now(), ...carryOut(command) };
      answers.set(id, result);
      const [oldest] = answers.keys();
      if (answers.size > REMEMBERED && oldest !== undefined) answers.delete(oldest);
      return result;
    },
  };
}
