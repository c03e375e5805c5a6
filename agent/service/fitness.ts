import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import { packageVersion } from '../../shared/package.ts';
import { type Contender, contendersOf, waysToRun } from '../profile/contender.ts';
import type { LeftOut } from '../profile/measure.ts';
import { tryInChild } from '../quarantine/child-trial.ts';
import { type Failed, qualifyPoints } from '../quarantine/qualification.ts';
import type { Quarantine } from '../quarantine/quarantine.ts';
import type { EngineWays } from '../serving-engine.ts';

/** What the fitness of a family is found out with. */
export interface FamilyWays extends EngineWays {
  readonly quarantine: Quarantine;
  /** For a trial in a process of its own, of one level or of all. */
  readonly qualifyTimeoutMs: number;
}

/** What a qualification is worth for. @param runtime version of ONNX Runtime */
export function qualifierOf(runtime: string): string {
  return `onnxruntime ${runtime}, ofa-fleet ${packageVersion()}`;
}

/** A level that is not run on this device, and since when. */
export interface Quarantined extends LeftOut {
  /** Milliseconds since the epoch. */
  readonly sinceTs: number;
}

/** Every level on every element that is not in quarantine. */
export function usableOf(family: Family, { elements, quarantine }: FamilyWays): Contender[] {
  return contendersOf(family, elements).filter((contender) => quarantine.find(contender) === undefined);
}

/** Levels of a family that are in quarantine. */
export function quarantinedOf(family: Family, { elements, quarantine }: FamilyWays): Quarantined[] {
  return contendersOf(family, elements).flatMap((contender) => {
    const entry = quarantine.find(contender);
    if (entry === undefined) return [];
    return [{ pe: contender.pe, level: contender.level, reason: entry.reason, sinceTs: entry.sinceTs }];
  });
}

/** @throws AppError `invalid` for a family of which every level is in quarantine */
export function admitFamily(family: Family, ways: FamilyWays): void {
  if (usableOf(family, ways).length > 0) return;
  const [first] = quarantinedOf(family, ways);
  throw new AppError('invalid', `${family.manifest.name}: every level is quarantined; ${first?.reason}`);
}

/**
 * Loads and runs every usable level of a family once, in a process of its own.
 * @returns those that failed
 * @throws AppError `invalid` when not one passed; the signal's reason when it aborts
 */
export async function qualifyFamily(family: Family, ways: FamilyWays): Promise<readonly Failed[]> {
  const { quarantine, clock, signal, qualifyTimeoutMs } = ways;
  const { input, output } = family.manifest;
  const points = usableOf(family, ways).flatMap((contender) => waysToRun(contender).slice(0, 1));
  return await qualifyPoints(points, quarantine, (some) =>
    tryInChild(some, { input, output, clock, signal, timeoutMs: qualifyTimeoutMs }),
  );
}
