import { describe, expect, test } from 'vitest';
import { type CommandHandlers, createCommandRunner } from '../../../agent/commands/commands.ts';
import { createControllerGate } from '../../../agent/link/controller-gate.ts';
import type { Command } from '../../../shared/protocol/command.ts';
import { START_TS } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';

const command = (kind: string, change: Partial<Command> = {}): Command => ({
  v: 1,
  kind,
  expiresAt: START_TS + 1_000,
  ...change,
});

function running(change: Partial<CommandHandlers> = {}) {
  const clock = manualClock(START_TS);
  const done: string[] = [];
  const note = ({ kind }: Command) => {
    done.push(kind);
    return { state: 'done' } as const;
  };
  const runner = createCommandRunner(clock, { ping: note, restart: note, logs: note, ...change });
  return { clock, done, runner };
}

describe('a command', () => {
  test('is carried out once, however often it is asked, and answered the same', async () => {
    const { clock, done, runner } = running();
    const first = runner.run('00000001', command('ping'));
    expect(first).toEqual({ v: 1, ts: START_TS, state: 'done' });
    await clock.advance(10_000);
    expect(runner.run('00000001', command('ping'))).toBe(first);
    runner.run('00000002', command('restart', { expiresAt: START_TS + 60_000 }));
    expect(done).toEqual(['ping', 'restart']);
  });

  test('that has expired is not carried out, and stays so', async () => {
    const { clock, done, runner } = running();
    await clock.advance(1_000);
    expect(runner.run('00000001', command('ping')).state).toBe('done');
    await clock.advance(1);
    expect(runner.run('00000002', command('ping')).state).toBe('expired');
    expect(runner.run('00000002', command('ping', { expiresAt: START_TS + 9_000 })).state).toBe('expired');
    expect(done).toEqual(['ping']);
  });

  test.each(['reboot', 'toString', '__proto__', ''])('of the unknown kind %j is refused', (kind) => {
    const { runner } = running();
    expect(runner.run('00000001', command(kind))).toMatchObject({ state: 'unknown-kind' });
  });

  test('whose handler fails is answered with the reason, cut to what a message holds', () => {
    const ping = (): never => {
      throw new Error('x'.repeat(5_000));
    };
    const { state, reason } = running({ ping }).runner.run('00000001', command('ping'));
    expect(state).toBe('failed');
    expect(reason).toHaveLength(1_000);
  });

  test('is forgotten when many others came after it', () => {
    const { done, runner } = running();
    for (let id = 0; id <= 256; id += 1) runner.run(String(id).padStart(8, '0'), command('ping'));
    runner.run('00000001', command('ping'));
    expect(done).toHaveLength(257);
    runner.run('00000000', command('ping'));
    expect(done).toHaveLength(258);
  });
});

describe('the gate to the controller', () => {
  const status = (state: 'online' | 'offline', session: string) => ({ state, session, ts: START_TS });
  const never = new AbortController().signal;

  test('is closed until a controller is heard of, and opens to all who wait', async () => {
    const gate = createControllerGate();
    const waiting = [gate.online(never), gate.online(never)];
    gate.heard(status('offline', 'a'));
    expect(gate.isOnline).toBe(false);
    gate.heard(status('online', 'a'));
    const sessions = await Promise.all(waiting);
    expect(sessions.map((session) => session?.aborted)).toEqual([false, false]);
    expect(gate.isOnline).toBe(true);
  });

  test('closes with the session that opened it, and not with the late will of an older one', async () => {
    const gate = createControllerGate();
    gate.heard(status('online', 'a'));
    const first = await gate.online(never);
    gate.heard(status('online', 'a'));
    expect(first?.aborted).toBe(false);
    gate.heard(status('online', 'b'));
    expect(first?.aborted).toBe(true);
    const second = await gate.online(never);
    gate.heard(status('offline', 'a'));
    expect(second?.aborted).toBe(false);
    gate.heard(status('offline', 'b'));
    expect([second?.aborted, gate.isOnline]).toEqual([true, false]);
  });

  test('forgets with the link what it heard', async () => {
    const gate = createControllerGate();
    gate.heard(status('online', 'a'));
    const session = await gate.online(never);
    gate.reset();
    expect([session?.aborted, gate.isOnline]).toEqual([true, false]);
    gate.heard(status('online', 'a'));
    expect(gate.isOnline).toBe(true);
  });

  test('lets go of who waits when that one is stopped', async () => {
    const gate = createControllerGate();
    const stop = new AbortController();
    const waiting = gate.online(stop.signal);
    stop.abort();
    expect(await waiting).toBeUndefined();
    expect(await gate.online(stop.signal)).toBeUndefined();
  });
});
