import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Command, CommandKind, CommandResult } from '../../shared/protocol/command.ts';
import { encodeMessage } from '../../shared/protocol/messages.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import type { CommandResponse } from '../api/schemas.ts';
import type { Devices } from '../registry/devices.ts';

/** Commands that may wait for their answers at once. */
const MAX_PENDING = 1_000;

export interface CommandRequest extends Readonly<Omit<Command, 'v' | 'kind' | 'expiresAt'>> {
  readonly kind: CommandKind;
  readonly timeoutMs: number;
}

export interface CommandsDeps {
  readonly clock: Clock;
  readonly newId: () => string;
  readonly fleet: string;
  readonly devices: Pick<Devices, 'require'>;
  readonly publish: (topic: string, payload: string) => Promise<void>;
}

export interface Commands {
  /**
   * Sends a command and waits for its result.
   * @throws AppError `not-found`, `timeout` when the device is offline or does not answer, `unreachable`
   *   when the broker is away
   */
  send(device: string, request: CommandRequest): Promise<CommandResponse>;
  takeResult(device: string, id: string, result: CommandResult): void;
}

export function createCommands(deps: CommandsDeps): Commands {
  const { clock } = deps;
  const pending = new Map<string, { readonly device: string; resolve(result: CommandResult): void }>();

  const send = async (device: string, request: CommandRequest): Promise<CommandResponse> => {
    checkOnline(deps, device);
    if (pending.size >= MAX_PENDING) {
      throw new AppError(
        'unreachable',
        `${MAX_PENDING} commands wait for their answers already; try again later`,
      );
    }
    const id = deps.newId();
    const { promise, resolve } = Promise.withResolvers<CommandResult>();
    const answered = new AbortController();
    const startedMs = clock.monoMs();
    pending.set(id, { device, resolve });
    try {
      await deps.publish(topicOf('command', { fleet: deps.fleet, device, id }), encode(request, clock.now()));
      const expired = clock.sleep(request.timeoutMs, answered.signal).then(() => {
        throw new AppError(
          'timeout',
          `device ${device} did not answer '${request.kind}' in ${request.timeoutMs} ms`,
        );
      });
      const result = await Promise.race([promise, expired]);
      expired.catch(() => undefined);
      return { id, device, roundTripMs: clock.monoMs() - startedMs, result };
    } finally {
      pending.delete(id);
      answered.abort();
    }
  };

  return {
    send,
    takeResult: (device, id, result) => {
      const waiting = pending.get(id);
      if (waiting?.device === device) waiting.resolve(result);
    },
  };
}

function encode({ timeoutMs, ...asked }: CommandRequest, now: number): string {
  return encodeMessage('command', { v: 1, ...asked, expiresAt: now + timeoutMs });
}

function checkOnline({ devices }: CommandsDeps, id: string): void {
  const { presence, lastSeenTs } = devices.require(id);
  if (presence?.online === true) return;
  const since = new Date(presence?.sinceTs ?? lastSeenTs).toISOString();
  throw new AppError('timeout', `device ${id} is offline since ${since}`);
}
