import { join } from 'node:path';
import { expect, test } from 'vitest';
import { newRecord } from '../../../agent/install/records.ts';
import { openRecordedDevice } from '../../../agent/recorded-device.ts';
import { bringIntoService } from '../../../agent/serving.ts';
import { openAgentDatabase } from '../../../agent/store/database.ts';
import { activateFamily } from '../../../agent/store/family-store.ts';
import { openInstallJournal } from '../../../agent/store/install-journal.ts';
import { systemClock } from '../../../shared/clock.ts';
import type { Order } from '../../../shared/protocol/release.ts';
import { keptLog, stateFolder } from '../../support/agent.ts';
import { configOf, writeFamily } from '../../support/engine-family.ts';

const ORDER: Order = {
  ...{ rollout: 'r', deed: 'install', soakMs: 1e6, stepTimeoutMs: 1_000 },
  release: {
    ...{ name: 'cars', version: 2, manifest: { sha256: 'e'.repeat(64), bytes: 1 } },
    signature: { keyId: '0'.repeat(16), value: `${'A'.repeat(86)}==` },
  },
};
const STORE = { now: () => 1, qualifier: 'before', admit: () => undefined };
const onFatal = (error: Error): never => {
  throw error;
};

/** A state folder in which a family soaks, of an agent that was stopped in good order. */
async function soaking() {
  const state = await stateFolder();
  const source = join(state.path, 'offered');
  await writeFamily(source, [{}]);
  const database = openAgentDatabase(state.path);
  const deps = { ...STORE, database, stateDir: state.path, qualify: async () => true };
  const { sha256 } = (await activateFamily(source, deps)).family;
  const record = { ...newRecord(ORDER, 1), step: 'soaking' as const };
  const release = { name: 'cars', version: 2, manifest: 'e'.repeat(64) };
  const candidate = { sha256, release, blobs: [] };
  openInstallJournal(database).write('family', { record, holdings: { candidate } });
  return {
    ...{ state, source, database, deps, config: configOf(state.path, source) },
    [Symbol.asyncDispose]: async () => {
      database.close();
      await state[Symbol.asyncDispose]();
    },
  };
}

test('a start that is stopped in good order is no death of the family on trial', async () => {
  await using device = await soaking();
  const stop = new AbortController();
  await using stack = new AsyncDisposableStack();
  const { database, config } = device;
  const machine = async () => {
    stop.abort(new Error('stopped'));
    return { deviceModel: 'test', powerMode: '15W', clocks: 'fixed' };
  };
  const given = { config, database, onFatal, machine, clock: systemClock, signal: stop.signal };
  await expect(bringIntoService(given, stack)).rejects.toThrow();
  expect(openInstallJournal(database).open('family')).toMatchObject({ deaths: 0, onTrial: false });
});

test('a family on trial is not given up because its start was stopped while it was qualified', async () => {
  await using device = await soaking();
  const { source, database, deps } = device;
  const stop = new AbortController();
  const stopped = activateFamily(source, {
    ...deps,
    ...{ qualifier: 'another', signal: stop.signal },
    qualify: async () => {
      stop.abort(new Error('stopped'));
      throw stop.signal.reason;
    },
  });
  await expect(stopped).rejects.toThrow('stopped');
  const journal = openInstallJournal(database);
  expect(journal.open('family')).toMatchObject({ state: 'in-progress' });
  expect(journal.holdings('family').candidate).toBeDefined();
});

test('a recording while the agent is stopped is no death of the family on trial', async () => {
  await using device = await soaking();
  const { state, config, database } = device;
  database.close();
  for (let recordings = 0; recordings < 2; recordings += 1) {
    await using _recorded = await openRecordedDevice(config, { log: keptLog().log, onFatal });
  }
  await using again = {
    database: openAgentDatabase(state.path),
    [Symbol.asyncDispose]: async () => undefined,
  };
  const { open } = openInstallJournal(again.database);
  expect(open('family')).toMatchObject({ deaths: 0, onTrial: false });
  again.database.close();
}, 30_000);
