/**
 * What the power is measured of: a Jetson's module without its carrier board, all that the board draws, or
 * processor packages.
 */
export type PowerScope = 'module' | 'board' | 'package';

/** Shows the power of this moment; it is to be read again and again. */
export interface PowerGauge {
  readonly kind: 'power';
  /** Sensor and rails, for people: `INA3221 VDD_IN`. */
  readonly source: string;
  readonly scope: PowerScope;
  /** Power in watts. @throws AppError `system` when the sensor cannot be read */
  readW(): Promise<number>;
}

/** Counts energy; the difference of two readings is what was used between them. */
export interface EnergyCounter {
  readonly kind: 'energy';
  readonly source: string;
  readonly scope: PowerScope;
  /**
   * Joules since the meter was opened. The counter behind it turns over after minutes to hours: more than
   * one turn between two readings is not seen.
   * @throws AppError `system` when the counter cannot be read
   */
  readJ(): Promise<number>;
}

export type PowerMeter = PowerGauge | EnergyCounter;

/** Why there is no meter, for people. */
export interface NoPowerMeter {
  readonly unavailable: string;
}
