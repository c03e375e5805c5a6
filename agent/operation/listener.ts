import type { LoopListener } from '../runtime/loop.ts';
import type { OperatingPoint } from '../runtime/points.ts';
import type { PolicyView } from '../runtime/policy.ts';
import type { SensorReading } from '../sensors/reading.ts';

/** An answer that the best level has repeated. */
export interface Audited extends Pick<OperatingPoint, 'pe' | 'level'> {
  /** Whether the best level gave the same answer. */
  readonly agreed: boolean;
}

/** What is told of a family in operation: its inferences, its audits and the device that it runs on. */
export interface OperationListener extends LoopListener {
  audited(audited: Audited): void;
  /** The sensors were read. @param queue requests that wait for their turn at this moment */
  reading(reading: SensorReading, queue: number): void;
}

/** What a listener may ask. */
export interface OperationKnowledge {
  /** What the manager believes of the machine. */
  readonly view: () => PolicyView;
  /**
   * Energy of one run above idle, joules; undefined where it is not known.
   * @param index of the operating point
   */
  readonly energyOf: (index: number, runMs: number) => number | undefined;
}

/** Tells two listeners the same, one after the other. */
export function bothOf(first: OperationListener, second: OperationListener): OperationListener {
  return {
    inference: inTurn(first.inference, second.inference),
    switched: inTurn(first.switched, second.switched),
    shed: inTurn(first.shed, second.shed),
    violation: inTurn(first.violation, second.violation),
    skipped: inTurn(first.skipped, second.skipped),
    unreadable: inTurn(first.unreadable, second.unreadable),
    failed: inTurn(first.failed, second.failed),
    audited: inTurn(first.audited, second.audited),
    reading: inTurn(first.reading, second.reading),
  };
}

function inTurn<T extends readonly unknown[]>(
  first: (...told: T) => void,
  second: (...told: T) => void,
): (...told: T) => void {
  return (...told) => {
    first(...told);
    second(...told);
  };
}
