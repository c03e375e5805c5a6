import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Names of labels with their values. */
export type LabelValues = Readonly<Record<string, string>>;

/** One value of a metric that has labels. */
export interface Labelled {
  readonly labels: LabelValues;
  readonly value: number;
}

/** A metric whose values are known elsewhere: all of them are set at each scrape. */
export interface Shown {
  /** Undefined: nothing is known now, and nothing is shown. */
  set(value: number | readonly Labelled[] | undefined): void;
}

export interface Observed {
  observe(labels: LabelValues, value: number): void;
}

export interface Counted {
  add(labels: LabelValues): void;
}

export interface MetricsRegistry {
  readonly contentType: string;
  gauge(name: string, help: string, labels?: readonly string[]): Shown;
  /** A counter that is kept elsewhere. */
  total(name: string, help: string, labels?: readonly string[]): Shown;
  counter(name: string, help: string, labels: readonly string[]): Counted;
  histogram(name: string, help: string, options: HistogramOptions): Observed;
  /** All of it in the exposition format of Prometheus. */
  text(): Promise<string>;
}

export interface HistogramOptions {
  readonly labels?: readonly string[];
  /** Upper ends, in the unit of the name. */
  readonly buckets: readonly number[];
}

/** A registry of its own: nothing of it is shared with others in this process. */
export function createRegistry(): MetricsRegistry {
  const registry = new Registry();
  const common = { registers: [registry] };
  return {
    contentType: registry.contentType,
    gauge: (name, help, labelNames = []) => {
      const gauge = new Gauge({ ...common, name, help, labelNames: [...labelNames] });
      return { set: (value) => show(gauge, value, (labels, each) => gauge.set(labels, each)) };
    },
    total: (name, help, labelNames = []) => {
      const counter = new Counter({ ...common, name, help, labelNames: [...labelNames] });
      return { set: (value) => show(counter, value, (labels, each) => counter.inc(labels, each)) };
    },
    counter: (name, help, labelNames) => {
      const counter = new Counter({ ...common, name, help, labelNames: [...labelNames] });
      return { add: (labels) => counter.inc({ ...labels }) };
    },
    histogram: (name, help, { labels: labelNames = [], buckets }) => {
      const all = { ...common, name, help, labelNames: [...labelNames], buckets: [...buckets] };
      const histogram = new Histogram(all);
      return { observe: (labels, value) => histogram.observe({ ...labels }, value) };
    },
    text: () => registry.metrics(),
  };
}

/** Replaces all values of a metric. */
function show(
  metric: { reset(): void; remove(...values: string[]): void },
  value: Parameters<Shown['set']>[0],
  put: (labels: LabelValues, value: number) => void,
): void {
  metric.reset();
  if (value === undefined) {
    // Without labels `reset` leaves a zero, which would be told as if it were known.
    metric.remove();
    return;
  }
  const values = typeof value === 'number' ? [{ labels: {}, value }] : value;
  for (const each of values) put({ ...each.labels }, each.value);
}
