import { describe, expect, test } from 'vitest';
import { type CommandHandlers, createCommandRunner } from '../../../agent/commands/commands.ts';
import { explainCommand } from '../../../agent/commands/explain.ts';
import { createExplainRing } from '../../../agent/explain/ring.ts';
import { createControllerGate } from '../../../agent/link/controller-gate.ts';
import type { Command } from '../../../shared/protocol/command.ts';
import { decodeMessage, encodeMessage } from '../../../shared/protocol/messages.ts';
import { topicOf } from '../../../shared/protocol/topics.ts';
import { START_TS } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';
import { switchAt } from '../../support/decisions.ts';

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
  const reading = { logs: note, explain: note, profile: note, audit: note };
  const runner = createCommandRunner(clock, { ping: note, restart: note, ...reading, ...change });
  return { clock, done, runner };
}

describe('a command', () => {
  test('is carried out once, however often it is asked, and answered the same', async () => {
    const { clock, done, runner } = running();
    const first = await runner.run('00000001', command('ping'));
    expect(first).toEqual({ v: 1, ts: START_TS, state: 'done' });
    await clock.advance(10_000);
    expect(await runner.run('00000001', command('ping'))).toBe(first);
    await runner.run('00000002', command('restart', { expiresAt: START_TS + 60_000 }));
    expect(done).toEqual(['ping', 'restart']);
  });

  test('that has expired is not carried out, and stays so', async () => {
    const { clock, done, runner } = running();
    await clock.advance(1_000);
    expect((await runner.run('00000001', command('ping'))).state).toBe('done');
    await clock.advance(1);
    expect((await runner.run('00000002', command('ping'))).state).toBe('expired');
    const again = runner.run('00000002', command('ping', { expiresAt: START_TS + 9_000 }));
    expect((await again).state).toBe('expired');
    expect(done).toEqual(['ping']);
  });

  test.each(['reboot', 'toString', '__proto__', ''])('of the unknown kind %j is refused', async (kind) => {
    const { runner } = running();
    expect(await runner.run('00000001', command(kind))).toMatchObject({ state: 'unknown-kind' });
  });

  test('whose handler fails is answered with the reason, cut to what a message holds', async () => {
    const ping = (): never => {
      throw new Error('x'.repeat(5_000));
    };
    const { state, reason } = await running({ ping }).runner.run('00000001', command('ping'));
    expect(state).toBe('failed');
    expect(reason).toHaveLength(1_000);
  });

  test('that takes time is carried out once too, and all who ask meanwhile hear the one answer', async () => {
    const measured = Promise.withResolvers<{ state: 'done'; lines: string[] }>();
    let asked = 0;
    const profile = () => {
      asked += 1;
      return measured.promise;
    };
    const { runner } = running({ profile });
    const answers = [runner.run('00000001', command('profile')), runner.run('00000001', command('profile'))];
    measured.resolve({ state: 'done', lines: ['cpu/0 1.2ms'] });
    const [first, second] = await Promise.all(answers);
    expect(first).toMatchObject({ state: 'done', lines: ['cpu/0 1.2ms'] });
    expect(second).toBe(first);
    expect(asked).toBe(1);
  });

  test('whose promised answer fails is answered with the reason', async () => {
    const profile = () => Promise.reject(new Error('no idle time'));
    const { runner } = running({ profile });
    expect(await runner.run('00000001', command('profile'))).toMatchObject({
      state: 'failed',
      reason: 'no idle time',
    });
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

test('the command explain is answered with the decisions that are remembered, in words and as data', async () => {
  const ring = createExplainRing();
  ring.decision(switchAt(START_TS - 5_000));
  const clock = manualClock(START_TS);
  const { runner } = running({ explain: explainCommand(ring, clock) });
  const result = await runner.run('00000001', command('explain', { at: START_TS - 1_000, limit: 3 }));
  expect(result).toMatchObject({
    state: 'done',
    explanation: { at: START_TS - 1_000, decisions: [{ ts: START_TS - 5_000, cause: 'latency-binds' }] },
  });
  expect(result.lines?.[0]).toContain('switch cpu/2 -> cpu/1');
  const encoded = new TextEncoder().encode(encodeMessage('commandResult', result));
  const topic = topicOf('commandResult', { fleet: 'lab', device: 'd1', id: '00000001' });
  expect(decodeMessage(topic, encoded)).toMatchObject({ ok: true, payload: result });
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
