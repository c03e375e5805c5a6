import { packageVersion } from '../shared/package.ts';
import type { InForce } from './desired/in-force.ts';
import type { AgentNow } from './metrics/metrics.ts';
import { reportedFamily } from './report/document.ts';
import type { Service } from './service/service.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { WindowEnd } from './telemetry/window-loop.ts';

/** What is asked for the state of this moment. */
export interface Asked {
  readonly device: string;
  /** That serves at this moment. */
  readonly service: Service;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
}

/** What a window says of the moment at which it ends. */
export function windowEndOf({ service, inForce }: Pick<Asked, 'service' | 'inForce'>): WindowEnd {
  const { serving, operation } = service;
  const { slowdown, price } = operation.view();
  const desired = inForce.documents.current().device?.version;
  return {
    family: serving.family.sha256,
    ...(desired === undefined ? {} : { desired }),
    slowdown,
    price,
    drifting: operation.audit().drift !== undefined,
    requirement: inForce.requirement(),
  };
}

/** What a scrape of the metrics says of this moment. */
export function momentOf(
  { device, service, telemetry }: Pick<Asked, 'device' | 'service' | 'telemetry'>,
  link: Pick<AgentNow, 'isLinkUp' | 'isControllerOnline'>,
): AgentNow {
  const { serving, operation } = service;
  const { slowdown, price } = operation.view();
  return {
    ...link,
    software: packageVersion(),
    device,
    family: reportedFamily(serving.family),
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
