import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Command, CommandKind, CommandResult } from '../../shared/protocol/command.ts';

export type Answer = Omit<CommandResult, 'v' | 'ts'>;

/** What each command does; an answer that takes time is promised. */
export type CommandHandlers = Record<CommandKind, (command: Command) => Answer | Promise<Answer>>;

/** Answers kept for commands that are asked again. */
const REMEMBERED = 256;

/** Carries out commands: not after they expired, and once per id, however often it is asked. */
export interface CommandRunner {
  /** Never rejects: a failure is an answer too. */
  run(id: string, command: Command): Promise<CommandResult>;
}

/** Makes a runner; the handlers are a table, so that a kind without one does not compile. */
export function createCommandRunner(clock: Clock, handlers: CommandHandlers): CommandRunner {
  const answers = new Map<string, Promise<CommandResult>>();
  const isKnown = (kind: string): kind is CommandKind => Object.hasOwn(handlers, kind);
  const carryOut = async (command: Command): Promise<Answer> => {
    if (clock.now() > command.expiresAt) return { state: 'expired', reason: 'it arrived after its expiry' };
    if (!isKnown(command.kind))
      return { state: 'unknown-kind', reason: `this agent does not know '${command.kind}'` };
    try {
      return await handlers[command.kind](command);
    } catch (error) {
      return { state: 'failed', reason: describeError(error).slice(0, 1_000) };
    }
  };
  const answer = async (command: Command): Promise<CommandResult> => {
    const carriedOut = await carryOut(command);
    return { v: 1, ts: clock.now(), ...carriedOut };
  };
  return {
    run: (id, command) => {
      const earlier = answers.get(id);
      if (earlier !== undefined) return earlier;
      const result = answer(command);
      answers.set(id, result);
      const [oldest] = answers.keys();
      if (answers.size > REMEMBERED && oldest !== undefined) answers.delete(oldest);
      return result;
    },
  };
}
