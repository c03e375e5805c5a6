import type { Static } from 'typebox';
import { askControl } from '../../shared/control/client.ts';
import { InferencesAnswerSchema } from '../../shared/control/protocol.ts';
import { AppError } from '../../shared/errors.ts';
import { parserOf } from '../../shared/schema.ts';

/** One inference of a device, by its own account; `ts` is its end, `missed` whether that was too late. */
export type DeviceInference = Static<typeof InferencesAnswerSchema>['inferences'][number];

/** Where the inferences of a device come from. */
export interface InferenceSource {
  /** Inferences that ended since a time, oldest first; the device keeps the newest ones only. */
  since(ts: number): Promise<readonly DeviceInference[]>;
}

const TIMEOUT_MS = 5_000;

/** The agent of a state folder, over its own socket: what it keeps of each inference is not sent anywhere. */
export function agentInferences(stateDir: string): InferenceSource {
  const parse = parserOf(InferencesAnswerSchema);
  return {
    since: async (ts) => {
      const answer = await askControl(stateDir, { kind: 'inferences', since: ts }, TIMEOUT_MS);
      if (answer !== undefined) return parse(answer, `the agent of ${stateDir}`).inferences;
      throw new AppError('not-found', `${stateDir}: no agent runs there`);
    },
  };
}

/** A source's inferences since a time, gathered by and by, each once. */
export interface Gathered {
  readonly all: readonly DeviceInference[];
  /** Asks for what is new. */
  refresh(): Promise<void>;
}

/** Gathers what a source tells from `startTs` on. The monotonic time tells inferences apart, whatever the clock does. */
export function gather(source: InferenceSource, startTs: number): Gathered {
  const all: DeviceInference[] = [];
  let lastTs = startTs;
  return {
    all,
    refresh: async () => {
      const known = new Set(all.filter(({ ts }) => ts >= lastTs).map(({ monoMs }) => monoMs));
      const fresh = (await source.since(lastTs)).filter(({ monoMs }) => !known.has(monoMs));
      all.push(...fresh);
      lastTs = all.at(-1)?.ts ?? startTs;
    },
  };
}
