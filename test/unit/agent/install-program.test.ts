import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ProgramHost } from '../../../agent/slots/program-host.ts';
import type { Order } from '../../../shared/protocol/release.ts';
import { programRelease } from '../../../shared/release/build.ts';
import { hashBlob } from '../../../shared/release/hash-blob.ts';
import { START_TS } from '../../support/agent.ts';
import { type InstallProcess, type InstallWorld, installWorld, orderOf } from '../../support/install.ts';

let world: InstallWorld;

beforeEach(async () => {
  world = await installWorld();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

/** What the launcher does, as far as the agent can see. */
class Launcher {
  verdict: { sha256: string | undefined; reason: string } | undefined;
  readonly asked: string[] = [];

  /** The launcher as a process sees it that runs this program. */
  host(running?: string): ProgramHost {
    return {
      running,
      previous: undefined,
      stage: async ({ sha256 }) => void this.asked.push(`stage ${sha256.slice(0, 4)}`),
      switchTo: (sha256, { signal }) => {
        this.asked.push(`switch ${sha256?.slice(0, 4)}`);
        return new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason));
        });
      },
      commit: async () => void this.asked.push('commit'),
      takeVerdict: () => this.verdict,
      collect: async () => undefined,
    };
  }
}

async function publishProgram(version: number): Promise<Order['release'] & { readonly blob: string }> {
  const path = join(world.path, `program-${version}.tgz`);
  await writeFile(path, `program ${version}`);
  const file = { role: 'program' as const, path, ...(await hashBlob(path)) };
  await world.depot.keep(path, file.sha256);
  const times = { createdTs: START_TS, expiresTs: START_TS + 1e10 };
  const program = { version: `0.${version}.0`, minNode: 24 };
  const release = await world.depot.sign(programRelease(file, { name: 'agent', version, ...times, program }));
  return { ...release, blob: file.sha256 };
}

function program(agent: InstallProcess) {
  return agent.installer.report().program;
}

async function orderProgram(version: number, change: Partial<Order> = {}): Promise<string> {
  const { blob, ...release } = await publishProgram(version);
  world.wants.program = orderOf(release, { soakMs: 10_000, stepTimeoutMs: 5_000, ...change });
  return blob;
}

test('a program is staged, the launcher is asked, and the next process soaks and commits it', async () => {
  const launcher = new Launcher();
  const blob = await orderProgram(2);
  const first = await world.start({ programs: launcher.host() });
  await world.until(() => program(first)?.step === 'activating');
  await world.clock.advance(1);
  await first.stop();
  expect(launcher.asked).toEqual([`stage ${blob.slice(0, 4)}`, `switch ${blob.slice(0, 4)}`]);
  const next = await world.start({ programs: launcher.host(blob) });
  await world.until(() => program(next)?.step === 'soaking');
  await world.clock.advance(10_001);
  await world.until(() => program(next)?.state === 'succeeded');
  expect(launcher.asked.at(-1)).toBe('commit');
});

test('a program is not committed before it has reached the controller, and given up when it does not', async () => {
  const launcher = new Launcher();
  const blob = await orderProgram(2);
  const first = await world.start({ programs: launcher.host() });
  await world.until(() => program(first)?.step === 'activating');
  await first.stop();
  const next = await world.start({ programs: launcher.host(blob), deps: { isProven: () => false } });
  await world.until(() => program(next)?.step === 'soaking');
  await world.clock.advance(12_000);
  expect(program(next)).toMatchObject({ state: 'in-progress' });
  await world.clock.advance(6_000);
  await vi.waitFor(() => expect(launcher.asked.at(-1)).toBe('switch undefined'));
  await next.stop();
  const back = await world.start({ programs: launcher.host() });
  await world.until(() => program(back)?.state === 'failed');
  expect(program(back)?.reason).toMatch(/has not reached the controller/);
});

test('what the launcher gave up has failed, with its reason', async () => {
  const launcher = new Launcher();
  const blob = await orderProgram(2);
  const first = await world.start({ programs: launcher.host() });
  await world.until(() => program(first)?.step === 'activating');
  await first.die();
  launcher.verdict = { sha256: blob, reason: 'it died 3 times' };
  const back = await world.start({ programs: launcher.host() });
  await world.until(() => program(back)?.state === 'failed');
  expect(program(back)?.reason).toBe('the launcher gave it up: it died 3 times');
});

test('to go back from a program starts the one before it', async () => {
  const launcher = new Launcher();
  const blob = await orderProgram(2, { soakMs: 0 });
  const first = await world.start({ programs: launcher.host() });
  await world.until(() => program(first)?.step === 'activating');
  await first.stop();
  const second = await world.start({ programs: launcher.host(blob) });
  await world.until(() => program(second)?.state === 'succeeded');
  const { release } = orderOf(await publishProgram(2));
  world.wants.program = orderOf(release, { rollout: 'undo', deed: 'revert' });
  second.installer.changed();
  await world.until(() => program(second)?.rollout === 'undo' && program(second)?.step === 'activating');
  await world.clock.advance(1);
  await second.stop();
  expect(launcher.asked.at(-1)).toBe('switch undefined');
  const third = await world.start({ programs: launcher.host() });
  await world.until(() => program(third)?.rollout === 'undo' && program(third)?.state === 'succeeded');
});

test('a program and a family are installed side by side', async () => {
  const launcher = new Launcher();
  await orderProgram(2);
  const family = await world.family(2);
  world.wants.family = orderOf(await world.depot.publish(family));
  const agent = await world.start({ programs: launcher.host() });
  await world.until(() => program(agent)?.step === 'activating' && agent.report()?.state === 'succeeded');
});

test('a commit that the launcher does not take yet is asked for again', async () => {
  const launcher = new Launcher();
  const blob = await orderProgram(2, { soakMs: 0 });
  const first = await world.start({ programs: launcher.host() });
  await world.until(() => program(first)?.step === 'activating');
  await first.stop();
  let asked = 0;
  const commit = async (): Promise<void> => {
    asked += 1;
    if (asked < 3) throw new Error('the launcher refuses: it is not on trial');
  };
  const next = await world.start({ programs: { ...launcher.host(blob), commit } });
  await vi.waitFor(async () => {
    await world.clock.advance(1_000);
    expect(asked).toBe(3);
  });
  await world.until(() => program(next)?.state === 'succeeded');
});

test('a program that somebody installed by hand since then is what is committed', async () => {
  const launcher = new Launcher();
  const blob = await orderProgram(2, { soakMs: 0 });
  const first = await world.start({ programs: launcher.host() });
  await world.until(() => program(first)?.step === 'activating');
  await first.stop();
  const second = await world.start({ programs: launcher.host(blob) });
  await world.until(() => program(second)?.state === 'succeeded');
  await second.stop();
  const { blob: _, ...release } = await publishProgram(2);
  world.wants.program = orderOf(release, { rollout: 'undo', deed: 'revert' });
  const third = await world.start({ programs: launcher.host() });
  await world.until(() => program(third)?.rollout === 'undo' && program(third)?.state === 'succeeded');
  expect(program(third)?.reason).toMatch(/nothing to go back from/);
});
