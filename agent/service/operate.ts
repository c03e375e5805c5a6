import type { AgentDeps } from '../agent-deps.ts';
import type { InForce } from '../desired/in-force.ts';
import type { AgentMetrics } from '../metrics/metrics.ts';
import { openReferenceStore } from '../operation/audit-references.ts';
import { bothOf } from '../operation/listener.ts';
import { createOperation } from '../operation/operation.ts';
import type { Meta } from '../store/database.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { FamilyHostDeps } from './family-host.ts';

/** What outlives families, and their operation goes by. */
export interface OperateDeps {
  readonly deps: AgentDeps;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
  readonly metrics: AgentMetrics | undefined;
  /** What audits have learnt is kept there. */
  readonly meta: Meta;
  /** Something that is reported has changed. */
  readonly onChanged: () => void;
}

/** Makes the function that puts a family of an agent into operation. */
export function operateWith(wiring: OperateDeps): FamilyHostDeps['operate'] {
  const { inForce, telemetry, metrics, meta, onChanged } = wiring;
  const { config, clock, random, logging } = wiring.deps;
  return (serving, operating) =>
    createOperation({
      serving,
      ...operating,
      config,
      clock,
      random,
      log: logging.log,
      requirement: inForce.requirement,
      frameRate: () => inForce.settings().frameRate,
      listen: (knowledge) => {
        const told = telemetry.listen(knowledge);
        return metrics === undefined ? told : bothOf(told, metrics.hear(knowledge));
      },
      event: telemetry.recorder.event,
      onChanged,
      references: openReferenceStore(meta, serving.family.sha256),
    });
}
