import type { AppError } from '../shared/errors.ts';
import type { Family } from '../shared/family/read.ts';
import { onnxRuntimeVersion } from '../shared/onnx.ts';
import { configuredElements, type ElementOptions } from './profile/contender.ts';
import { tryInChild } from './quarantine/child-trial.ts';
import type { Failed } from './quarantine/qualification.ts';
import { openQuarantine } from './quarantine/quarantine.ts';
import { type Judgement, judgeSuspects } from './quarantine/suspect.ts';
import { admitFamily, type FamilyWays, qualifierOf, qualifyFamily } from './service/fitness.ts';
import { pruneLean } from './service/lean-folders.ts';
import { loadFamily, openFrames, type Serving } from './service/load-family.ts';
import type { EngineDeps } from './serving-engine.ts';
import { type Activation, activateFamily } from './store/family-store.ts';
import { openInstallJournal, pauseTrial } from './store/install-journal.ts';

/** Loading and running every level once takes seconds; two minutes mean that it hangs. */
const QUALIFY_TIMEOUT_MS = 120_000;

export interface ServingDeps extends EngineDeps {
  /** For trials in a process of their own, of one level or of all. */
  readonly qualifyTimeoutMs?: number;
  /** Where to run, instead of what the configuration says. */
  readonly elements?: readonly ElementOptions[];
}

/** The family that serves at first, and what the start has brought to light. */
export interface FirstServing extends Serving {
  /** Why the family that was asked for was not taken, and the last good one serves instead. */
  readonly refused: AppError | undefined;
  /** What became of the points that were in flight when the process before this one died. */
  readonly judgements: readonly Judgement[];
  /** To bring another family into service. */
  readonly ways: FamilyWays;
}

/**
 * Brings a family into service: judge what the last process died of, install and qualify what is configured
 * (or fall back to the last good one), open the frame source, take or measure the profile, start the engine.
 * What was acquired is released with `stack`.
 * @throws AppError when there is no family of which a level can be used; the signal's reason when it aborts
 */
export async function bringIntoService(
  deps: ServingDeps,
  stack: AsyncDisposableStack,
): Promise<FirstServing> {
  try {
    return await bring(deps, stack);
  } catch (error) {
    // Whoever stops a start has not seen the process die of its family.
    if (deps.signal?.aborted === true) pauseTrial(openInstallJournal(deps.database), 'family');
    throw error;
  }
}

async function bring(deps: ServingDeps, stack: AsyncDisposableStack): Promise<FirstServing> {
  const runtime = onnxRuntimeVersion();
  const { config, database, clock } = deps;
  const { elements = configuredElements(config.engine), qualifyTimeoutMs = QUALIFY_TIMEOUT_MS } = deps;
  const quarantine = openQuarantine({ database, now: () => clock.now(), runtime });
  const ways: FamilyWays = { ...deps, runtime, elements, qualifyTimeoutMs, quarantine };
  const judgements = await judge(ways);
  const { activation, failed } = await activate(ways);
  const { family, refused } = activation;
  const frames = await openFrames(family, config);
  const serving = await loadFamily({ family, failed, frames }, ways, stack);
  await pruneLean(config.state.dir, [family.sha256]);
  // Another family is brought into service long after the start, which this signal gives up.
  const { signal: _, ...later } = ways;
  return { ...serving, refused, judgements, ways: later };
}

/** What the process before this one died of is known before anything is loaded. */
async function judge(ways: FamilyWays): Promise<readonly Judgement[]> {
  const { config, log, clock, qualifyTimeoutMs, signal } = ways;
  const judgements = await judgeSuspects({
    stateDir: config.state.dir,
    quarantine: ways.quarantine,
    runtime: ways.runtime,
    retry: ({ point, input, output }) =>
      tryInChild([point], { input, output, clock, signal, timeoutMs: qualifyTimeoutMs }),
  });
  for (const { reason, sentence } of judgements) log?.warn(`${reason}: ${sentence}`);
  return judgements;
}

async function activate(ways: FamilyWays): Promise<{ activation: Activation; failed: readonly Failed[] }> {
  const { config, database, clock, signal } = ways;
  signal?.throwIfAborted();
  const failures = new Map<string, readonly Failed[]>();
  const activation = await activateFamily(config.family.dir, {
    database,
    stateDir: config.state.dir,
    now: () => clock.now(),
    signal,
    qualifier: qualifierOf(ways.runtime),
    admit: (family: Family) => admitFamily(family, ways),
    qualify: async (family: Family) => {
      const failed = await qualifyFamily(family, ways);
      failures.set(family.sha256, failed);
      return failed.length === 0;
    },
  });
  return { activation, failed: failures.get(activation.family.sha256) ?? [] };
}
