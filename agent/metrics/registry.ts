import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Values of labels by name. */
export type Labels = Readonly<Record<string, string | number>>;

/** Metrics in the exposition format of Prometheus. */
export interface MetricsRegistry {
  /** A sum that only grows. Without labels it is there from the beginning, at 0. */
  counter(name: string, help: string, labels?: readonly string[]): { add(by: number, labels?: Labels): void };
  /** Counts of values up to each of the bounds. */
  histogram(
    name: string,
    help: string,
    options: { readonly labels: readonly string[]; readonly bounds: readonly number[] },
  ): { observe(value: number, labels: Labels): void };
  /** A value that is read when it is asked for; what is not known is left out. */
  gauge(name: string, help: string, read: () => number | undefined): void;
  /** The same for a sum that is kept elsewhere. */
  total(name: string, help: string, read: () => number): void;
  /** Facts, as labels of a metric that is always 1. */
  info(
    name: string,
    help: string,
    options: { readonly labels: readonly string[]; readonly read: () => Labels },
  ): void;
  /** All of it as text. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Makes a registry of its own: nothing is shared with others in this process. */
export function createMetricsRegistry(): MetricsRegistry {
  const registry = new Registry();
  const registers = [registry];
  return {
    counter: (name, help, labels = []) => {
      const counter = new Counter({ name, help, labelNames: [...labels], registers });
      return { add: (by, values = {}) => counter.inc({ ...values }, by) };
    },
    histogram: (name, help, { labels, bounds }) => {
      const histogram = new Histogram({
        name,
        help,
        labelNames: [...labels],
        buckets: [...bounds],
        registers,
      });
      return { observe: (value, values) => histogram.observe({ ...values }, value) };
    },
    gauge: (name, help, read) => {
      const gauge = new Gauge({
        name,
        help,
        registers,
        collect: () => {
          const value = read();
          if (value === undefined) gauge.remove();
          else gauge.set(value);
        },
      });
    },
    total: (name, help, read) => {
      const counter = new Counter({
        name,
        help,
        registers,
        collect: () => {
          counter.reset();
          counter.inc(read());
        },
      });
    },
    info: (name, help, { labels, read }) => {
      const gauge = new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers,
        collect: () => {
          gauge.reset();
          gauge.set({ ...read() }, 1);
        },
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
