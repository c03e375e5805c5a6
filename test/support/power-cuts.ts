import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { bootDecision } from '../../agent/store/boot-decision.ts';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { familyFolder } from '../../agent/store/family-folder.ts';
import { openInstallJournal } from '../../agent/store/install-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import { readFamily } from '../../shared/family/read.ts';
import type { InstallReport, Order } from '../../shared/protocol/release.ts';
import type { Random } from '../../shared/random.ts';
import { START_TS } from './agent.ts';
import { bundledFamily } from './bundled.ts';
import { familyOfLevels } from './family-host.ts';
import { Depot, orderOf } from './install.ts';
import type { InstallTask } from './install-child.ts';
import { BUNDLED_BACKBONE } from './releases.ts';

const CHILD = new URL('./install-child.ts', import.meta.url);
/** How often a process says that it went on while it carries out an order: blobs and steps. */
const PLACES = { install: 12, revert: 4 };
/** Longest time from there to the cut. */
const MAX_DELAY_MS = 60;

/** Lets a process carry out an order, and kills it at some place; what it said last. */
async function live(
  task: InstallTask,
  kill?: { readonly place: number; readonly delayMs: number },
): Promise<InstallReport | undefined> {
  const child = fork(CHILD, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  const there = Promise.withResolvers<void>();
  let last: InstallReport | undefined;
  let place = 0;
  child.on('message', (message: 'went on' | InstallReport) => {
    if (message !== 'went on') last = message;
    else if (place++ === kill?.place) there.resolve();
  });
  child.send(task);
  await Promise.race([there.promise, exited]);
  if (kill !== undefined) {
    await Promise.race([systemClock.sleep(kill.delayMs), exited]);
    child.kill('SIGKILL');
  }
  await exited;
  return last;
}

/** What would be served if the agent started now; nothing is changed. */
async function wouldServe(stateDir: string): Promise<string | undefined> {
  const database = openAgentDatabase(stateDir);
  try {
    const journal = openInstallJournal(database);
    const rows = { holdings: journal.holdings('family'), record: journal.open('family') };
    const { serve } = bootDecision(rows, START_TS);
    if (serve?.sha256 === undefined || serve.sha256 === null) return undefined;
    return (await readFamily(familyFolder(stateDir, serve.sha256))).sha256;
  } finally {
    database.close();
  }
}

/** The order to give next: the same until it has ended, then the other way. */
function nextOrder(stateDir: string, before: Order, cycle: number): { place: string; order: Order } {
  const database = openAgentDatabase(stateDir);
  try {
    const record = openInstallJournal(database).find('family', before);
    if (record === undefined) return { place: 'nothing', order: before };
    if (record.state === 'in-progress') return { place: record.step, order: before };
    const isBack = before.deed === 'install' && record.state === 'succeeded';
    const order: Order = { ...before, rollout: `r${cycle}`, deed: isBack ? 'revert' : 'install' };
    return { place: record.state, order };
  } finally {
    database.close();
  }
}

/** What became of a series of power cuts. */
export interface PowerCuts {
  /** How often the order stood at each step, or how it had ended, when the power was cut. */
  readonly places: Readonly<Record<string, number>>;
}

/**
 * Cuts the power of a device again and again while a family is installed and gone back from, each time at another
 * place; in the end it is installed.
 * @throws Error when anything but one of the two known families would serve, whole, or when it is not committed
 */
export async function cutPower(
  path: string,
  form: 'full' | 'recipes',
  { random, cuts }: { readonly random: Random; readonly cuts: number },
): Promise<PowerCuts> {
  const stateDir = join(path, form);
  const source = join(path, `${form}-source`);
  await mkdir(stateDir);
  const factory = await familyOfLevels(source, [0]);
  const family = await bundledFamily();
  const depot = new Depot(join(path, `${form}-depot`));
  const release = await depot.publish(family, form, { backbonePath: BUNDLED_BACKBONE, expiresTs: 8e15 });
  let order = orderOf(release, { rollout: 'r0', soakMs: 30 });
  const task = { stateDir, source, depot: depot.folder, keyring: depot.signing.keyring };
  const places: Record<string, number> = {};
  for (let cut = 1; cut <= cuts; cut += 1) {
    const [place, delayMs] = [random.below(PLACES[order.deed]), random.below(MAX_DELAY_MS)];
    await live({ ...task, order }, { place, delayMs });
    const serves = await wouldServe(stateDir);
    if (![undefined, factory.sha256, family.sha256].includes(serves)) throw new Error(`it serves ${serves}`);
    const next = nextOrder(stateDir, order, cut);
    places[next.place] = (places[next.place] ?? 0) + 1;
    order = next.order;
  }
  const last = await live({ ...task, order: { ...order, rollout: 'last', deed: 'install' } });
  const found = [last?.rollout, last?.state, await wouldServe(stateDir)];
  const wanted = ['last', 'succeeded', family.sha256];
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`in the end: ${JSON.stringify(last)}`);
  const families = (await readdir(join(stateDir, 'families'))).toSorted();
  const known = [factory.sha256, family.sha256].toSorted();
  if (JSON.stringify(families) !== JSON.stringify(known)) throw new Error(`left: ${families.join(', ')}`);
  return { places };
}
