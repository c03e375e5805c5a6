import { packageVersion } from '../shared/package.ts';
import type { InForce } from './desired/in-force.ts';
import type { AgentNow } from './metrics/metrics.ts';
import type { Operation } from './operation/operation.ts';
import type { Serving } from './serving.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { WindowEnd } from './telemetry/window-loop.ts';

/** What is asked for the state of this moment. */
export interface Asked {
  readonly device: string;
  readonly serving: Pick<Serving, 'activation'>;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
  readonly operation: Operation;
}

/** What a window says of the moment at which it ends. */
export function windowEndOf({
  serving,
  inForce,
  operation,
}: Pick<Asked, 'serving' | 'inForce' | 'operation'>): WindowEnd {
  const { slowdown, price } = operation.view();
  const desired = inForce.documents.current().device?.version;
  return {
    family: serving.activation.family.sha256,
    ...(desired === undefined ? {} : { desired }),
    slowdown,
    price,
    drifting: operation.audit().drift !== undefined,
    requirement: inForce.requirement(),
  };
}

/** What a scrape of the metrics says of this moment. */
export function momentOf(
  { device, serving, telemetry, operation }: Asked,
  link: Pick<AgentNow, 'isLinkUp' | 'isControllerOnline'>,
): AgentNow {
  const { manifest, sha256 } = serving.activation.family;
  const { slowdown, price } = operation.view();
  return {
    ...link,
    software: packageVersion(),
    device,
    family: { name: manifest.name, version: manifest.version, sha256 },
    policy: operation.policy,
    slowdown,
    price,
    isDrifting: operation.audit().drift !== undefined,
    waiting: telemetry.waiting(),
    totals: telemetry.outbox.totals(),
    lost: telemetry.recorder.lost(),
    rssBytes: rssBytes(),
  };
}

/** Memory of this process, bytes. */
export function rssBytes(): number {
  return process.memoryUsage.rss();
}
