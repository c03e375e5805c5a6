import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Type from 'typebox';
import { isSystemError } from '../../shared/errors.ts';
import { ProcessingElementSchema } from '../../shared/protocol/window.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { PointSpec, TensorSpec } from '../engine/protocol.ts';

/**
 * The in-flight marker: a small file that says which point the engine runs at this moment. It is written
 * before every run and after it, without waiting for the disk: it is to outlive the process, which a page of
 * the kernel's cache does. Eight bytes that change, then JSON that says what they mean.
 *
 * Each engine has a file of its own, gone when the engine is closed: while a family is made ready beside the
 * one that serves there are two, and neither overwrites what the other says.
 */
const STATE_BYTES = 8;
const MAX_BYTES = 1024 * 1024;
const FILE = 'in-flight';
const FILES = /^in-flight(-\d+)?$/;
/** Engines at once: one serves, one is made ready, one is being closed, and one is measured. */
const MAX_MARKERS = 8;

/** How a process died with a run in flight. */
export type Death = 'crashed' | 'hung';
const RUNNING = 1;
const HUNG = 2;

const TensorSchema = Type.Object({
  name: Type.String(),
  shape: Type.Array(Type.Integer({ minimum: 1 }), { maxItems: 8 }),
});

/** A point as the marker knows it: enough to try it again. */
export interface MarkedPoint extends PointSpec {
  /** Of the model's file. */
  readonly sha256: string;
}

const MarkedPointSchema = Type.Object({
  pe: ProcessingElementSchema,
  level: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  modelPath: Type.String({ minLength: 1 }),
  leanPath: Type.Optional(Type.String({ minLength: 1 })),
  threads: Type.Integer({ minimum: 1 }),
  providers: Type.Array(Type.String(), { minItems: 1, maxItems: 16 }),
});

/** What the marker's numbers mean. */
export interface Legend {
  /** Of the kernel: after a power cut a marker says nothing of the point. */
  readonly kernelBoot: string;
  /** Version of ONNX Runtime. */
  readonly runtime: string;
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  readonly points: readonly MarkedPoint[];
}

const LegendSchema = Type.Object({
  kernelBoot: Type.String(),
  runtime: Type.String(),
  input: TensorSchema,
  output: TensorSchema,
  points: Type.Array(MarkedPointSchema, { maxItems: 1_024 }),
});

/** The point that was in flight when a process died. */
export interface Suspect extends Pick<Legend, 'runtime' | 'input' | 'output'> {
  readonly point: MarkedPoint;
  readonly death: Death;
  /** Whether the machine has started anew since: then the process need not have died of the point. */
  readonly machineRestarted: boolean;
  /** Whether the process had no other engine: with two of them it need not have died of this one. */
  readonly isOnlyEngine: boolean;
}

/** What an engine does with a point: a chore (loading, unloading) waits until no run does. */
export type FlightKind = 'run' | 'chore';

export interface InFlightMarker extends Disposable {
  /**
   * Marks a point as in flight while `act` is done with it. Of several at once it is the one that the engine
   * is busy with: it takes runs in their order, then chores in theirs.
   */
  during<T>(point: number, kind: FlightKind, act: () => Promise<T>): Promise<T>;
  /**
   * The process is about to end because of what is in flight: the marker stays as it is from now on.
   * @returns index of the point in flight, if there is one
   */
  freeze(death: Death): number | undefined;
}

/** Id of this run of the kernel; the same text each time where there is none. */
export function kernelBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/**
 * Makes the marker of an engine, in the folder of the agent's state, beside those of other engines.
 * @param onLost called once when the file cannot be written: inference goes on without a marker
 */
export function openMarker(
  stateDir: string,
  legend: Legend,
  onLost: (error: unknown) => void,
): InFlightMarker {
  const cell = openCell(stateDir, legend, onLost);
  const flights = queueOfFlights((point) => cell.write(point, RUNNING));
  return {
    during: async (point, kind, act) => {
      const land = flights.begin(point, kind);
      try {
        return await act();
      } finally {
        land();
      }
    },
    freeze: (death) => {
      const point = flights.current();
      cell.write(point, death === 'hung' ? HUNG : RUNNING);
      cell.close();
      return point;
    },
    [Symbol.dispose]: () => cell.remove(),
  };
}

/** The bytes of the file that change. */
function openCell(stateDir: string, legend: Legend, onLost: (error: unknown) => void) {
  const state = Buffer.alloc(STATE_BYTES);
  let descriptor: number | undefined;
  let path = '';
  const close = (): void => {
    if (descriptor !== undefined) closeSync(descriptor);
    descriptor = undefined;
  };
  const orLost = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      close();
      onLost(error);
    }
  };
  orLost(() => {
    ({ path, descriptor } = openFree(stateDir));
    // Half of it names nobody.
    writeSync(descriptor, Buffer.concat([state, Buffer.from(JSON.stringify(legend))]));
  });
  const write = (point: number | undefined, kind: number): void => {
    if (descriptor === undefined) return;
    const file = descriptor;
    state.writeUInt32LE(point === undefined ? 0 : point + 1, 0);
    state.writeUInt32LE(point === undefined ? 0 : kind, 4);
    orLost(() => writeSync(file, state, 0, STATE_BYTES, 0));
  };
  /** Not when it was closed before: then it is to outlive the process. */
  const remove = (): void => {
    if (descriptor === undefined) return;
    close();
    orLost(() => rmSync(path, { force: true }));
  };
  return { write, close, remove };
}

/** Makes a file by the first name that no other engine has. */
function openFree(stateDir: string): { readonly path: string; readonly descriptor: number } {
  for (let number = 1; ; number += 1) {
    const path = join(stateDir, number === 1 ? FILE : `${FILE}-${number}`);
    try {
      return { path, descriptor: openSync(path, 'wx', 0o640) };
    } catch (error) {
      if (!isSystemError(error, 'EEXIST') || number >= MAX_MARKERS) throw error;
    }
  }
}

interface Flight {
  readonly point: number;
}

/** Follows what the engine is busy with, by the rule that it works by. `tell` hears of every change. */
function queueOfFlights(tell: (point: number | undefined) => void) {
  const waiting: Record<FlightKind, Flight[]> = { run: [], chore: [] };
  let active: Flight | undefined;
  const activate = (flight: Flight | undefined): void => {
    active = flight;
    tell(flight?.point);
  };
  const land = (flight: Flight, kind: FlightKind): void => {
    if (flight === active) activate(waiting.run.shift() ?? waiting.chore.shift());
    else waiting[kind] = waiting[kind].filter((other) => other !== flight);
  };
  return {
    current: (): number | undefined => active?.point,
    /** @returns what ends the flight */
    begin: (point: number, kind: FlightKind): (() => void) => {
      const flight = { point };
      if (active === undefined) activate(flight);
      else waiting[kind].push(flight);
      return () => land(flight, kind);
    },
  };
}

/** The points that were in flight when the process before this one died: at most one of each engine. */
export function readSuspects(stateDir: string): Suspect[] {
  const paths = markersIn(stateDir);
  return paths.flatMap((path) => {
    const suspect = readSuspect(path);
    return suspect === undefined ? [] : [{ ...suspect, isOnlyEngine: paths.length === 1 }];
  });
}

function readSuspect(path: string): Omit<Suspect, 'isOnlyEngine'> | undefined {
  const bytes = bytesOf(path);
  if (bytes === undefined || bytes.length <= STATE_BYTES) return undefined;
  const index = bytes.readUInt32LE(0) - 1;
  if (index < 0) return undefined;
  const legend = legendOf(bytes.subarray(STATE_BYTES).toString());
  const point = legend?.points[index];
  if (legend === undefined || point === undefined) return undefined;
  const { runtime, input, output, kernelBoot } = legend;
  const death = bytes.readUInt32LE(4) === HUNG ? 'hung' : 'crashed';
  return { point, death, runtime, input, output, machineRestarted: kernelBoot !== kernelBootId() };
}

/** Forgets the suspects: they have been judged. To be called while no engine runs. */
export function clearSuspects(stateDir: string): void {
  for (const path of markersIn(stateDir)) {
    try {
      rmSync(path);
    } catch {
      // It cannot be removed: it is judged again, and an engine that starts takes another name.
    }
  }
}

function markersIn(stateDir: string): string[] {
  try {
    return readdirSync(stateDir).flatMap((name) => (FILES.test(name) ? [join(stateDir, name)] : []));
  } catch {
    return [];
  }
}

function bytesOf(path: string): Buffer | undefined {
  try {
    return statSync(path).size > MAX_BYTES ? undefined : readFileSync(path);
  } catch {
    return undefined;
  }
}

/** A file that is damaged says nothing. */
function legendOf(text: string): Legend | undefined {
  try {
    return parseJson(text, parserOf(LegendSchema), 'in-flight marker');
  } catch {
    return undefined;
  }
}
