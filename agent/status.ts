import type { Reported } from '../shared/protocol/reported.ts';
import type { Identity } from './link/record-sender.ts';
import type { PolicyView } from './runtime/policy.ts';
import { metaOf, readAgentDatabase } from './store/database.ts';
import { type OutboxTotals, totalsOf } from './telemetry/outbox.ts';

export interface StatusParts {
  readonly identity: Identity;
  readonly bootId: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly link: { readonly connected: boolean; readonly controllerOnline: boolean };
  readonly report: Reported;
  readonly manager: PolicyView;
  readonly telemetry: OutboxTotals & { readonly lost: number };
}

/** What a running agent says of itself. */
export function statusOf({ identity, report, manager, ...rest }: StatusParts) {
  const { family, operatingPoints, policy, profile, sensors, ...inForce } = report;
  const { requirement, settings, sources, refused, rejected } = inForce;
  return {
    running: true,
    ...identity,
    ...rest,
    family,
    operatingPoint: manager.current === undefined ? undefined : operatingPoints[manager.current],
    operatingPoints,
    slowdown: manager.slowdown,
    price: manager.price,
    policy,
    profile,
    sensors,
    requirement,
    settings,
    sources,
    refused,
    rejected,
  };
}

/** What the state folder of an agent that does not run says; undefined when there never was one. */
export function stoppedStatus(stateDir: string) {
  const database = readAgentDatabase(stateDir);
  if (database === undefined) return undefined;
  try {
    return { running: false, device: metaOf(database).get('device'), telemetry: totalsOf(database) };
  } finally {
    database.close();
  }
}
