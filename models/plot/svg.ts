import { undominated } from '../pareto.ts';
import { type Axis, accuracyAxis, latencyAxis } from './axis.ts';
import { type LegendEntry, legend } from './legend.ts';
import { type Box, type LabelWish, placeLabels } from './place-labels.ts';
import { extentOf, MARKERS, type Marker, type PlotPoint, type PlotSeries, shortened } from './series.ts';
import {
  colorClass,
  escaped,
  line,
  marker,
  path,
  px,
  type Spot,
  styleSheet,
  text,
  textWidth,
} from './svg-elements.ts';

export interface SvgOptions {
  readonly title?: string;
  /** Pixels; default 760 x 460. */
  readonly width?: number;
  readonly height?: number;
  /** Whether the latency axis is logarithmic; default: where latencies differ by more than 20 times. */
  readonly logLatency?: boolean;
  /** What a form of marker means, for the legend: `{ circle: 'fp32', square: 'int8' }`. */
  readonly markers?: Readonly<Partial<Record<Marker, string>>>;
}

const MARGIN = { left: 62, right: 26, bottom: 54, top: 18 } as const;
const TITLE_HEIGHT = 26;
const RADIUS = 5;
const SAMPLE_RADIUS = 2.2;
const LABEL_SIZE = 11;
const MAX_LABEL_CHARACTERS = 28;
/** Of the title and of names. */
const MAX_CHARACTERS = 80;
/** More labels find no room, and the search for it takes the longer the more there are. */
const MAX_LABELS = 200;
const X_TICK_WIDTH = 70;
const Y_TICK_HEIGHT = 38;

/** A series with what the picture gives it. */
interface Drawn {
  readonly series: PlotSeries;
  readonly color: string;
  readonly marker: Marker;
}

/** Where values lie in the picture. */
interface Canvas {
  readonly frame: Box;
  readonly x: Axis;
  readonly y: Axis;
  readonly spot: (latencyMs: number, accuracyPercent: number) => Spot;
}

/**
 * Draws accuracy (%) against latency (ms) as an SVG document: series in the order in which they are given,
 * samples beneath fronts. It needs no script and no font from outside, follows the reader's light or dark
 * scheme, and is the same for the same arguments. Text may come from anywhere: it is escaped and shortened.
 * @throws AppError `invalid` where there is no point, or one that cannot be drawn
 */
export function paretoSvg(series: readonly PlotSeries[], options: SvgOptions = {}): string {
  const extent = extentOf(series);
  const { width = 760, height = 460 } = options;
  const drawn = styled(series);
  const title = shortened(options.title ?? '', MAX_CHARACTERS);
  const top = MARGIN.top + (title === '' ? 0 : TITLE_HEIGHT);
  const key = legend(legendEntries(drawn, options), { left: MARGIN.left, top, right: width - MARGIN.right });
  const frame = {
    left: MARGIN.left,
    top: key.bottom + 10,
    right: width - MARGIN.right,
    bottom: height - MARGIN.bottom,
  };
  const x = latencyAxis(
    extent.latencyMs,
    ticksIn(frame.right - frame.left, X_TICK_WIDTH),
    options.logLatency,
  );
  const y = accuracyAxis(extent.accuracyPercent, ticksIn(frame.bottom - frame.top, Y_TICK_HEIGHT));
  const canvas = canvasOf(frame, x, y);
  const about = title === '' ? 'accuracy against latency' : title;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="ofa-plot" role="img" aria-label="${escaped(about)}" width="${px(width)}" height="${px(height)}" viewBox="0 0 ${px(width)} ${px(height)}">`,
    `<title>${escaped(about)}</title>`,
    styleSheet(),
    `<rect x="0.5" y="0.5" width="${px(width - 1)}" height="${px(height - 1)}" rx="6" class="ground"/>`,
    ...(title === '' ? [] : [text({ x: MARGIN.left, y: MARGIN.top + 13 }, title, 'title')]),
    key.svg,
    ...axes(canvas, height),
    ...drawn.filter(isSamples).flatMap((one) => samples(canvas, one)),
    ...drawn.filter((one) => !isSamples(one)).flatMap((one) => front(canvas, one)),
    ...labels(canvas, drawn),
    '</svg>',
    '',
  ].join('\n');
}

function isSamples({ series }: Drawn): boolean {
  return series.role === 'samples';
}

/** Fronts take colours and, unless they have one, forms in turn. */
function styled(series: readonly PlotSeries[]): Drawn[] {
  let fronts = 0;
  return series.map((one) => {
    if (one.role === 'samples') return { series: one, color: 'sample', marker: one.marker ?? 'circle' };
    const form = one.marker ?? MARKERS[fronts % MARKERS.length] ?? 'circle';
    fronts += 1;
    return { series: one, color: colorClass(fronts - 1), marker: form };
  });
}

function legendEntries(drawn: readonly Drawn[], { markers = {} }: SvgOptions): LegendEntry[] {
  const named = drawn.map(({ series, color, marker: form }) => ({
    name: shortened(series.name, MAX_CHARACTERS),
    color,
    marker: form,
    hasLine: series.role === 'front' && series.line !== 'none',
  }));
  const forms = MARKERS.flatMap((form): LegendEntry[] => {
    const name = shortened(markers[form] ?? '', MAX_CHARACTERS);
    return name === '' ? [] : [{ name, color: 'sample', marker: form, hasLine: false }];
  });
  return [...named.filter(({ name }) => name !== ''), ...forms];
}

function ticksIn(length: number, each: number): number {
  return Math.max(3, Math.floor(length / each));
}

function canvasOf(frame: Box, x: Axis, y: Axis): Canvas {
  return {
    frame,
    x,
    y,
    spot: (latencyMs, accuracyPercent) => ({
      x: frame.left + x.place(latencyMs) * (frame.right - frame.left),
      y: frame.bottom - y.place(accuracyPercent) * (frame.bottom - frame.top),
    }),
  };
}

function axes({ frame, x, y, spot }: Canvas, height: number): string[] {
  const { left, right, top, bottom } = frame;
  const lowest = y.ticks[0]?.value ?? 0;
  const first = x.ticks[0]?.value ?? 0;
  const columns = x.ticks.flatMap(({ value, text: label }) => {
    const at = spot(value, lowest).x;
    return [
      line({ x: at, y: top }, { x: at, y: bottom }, 'grid'),
      text({ x: at, y: bottom + 18 }, label, 'text', 'middle'),
    ];
  });
  const rows = y.ticks.flatMap(({ value, text: label }) => {
    const at = spot(first, value).y;
    return [
      line({ x: left, y: at }, { x: right, y: at }, 'grid'),
      text({ x: left - 8, y: at + 4 }, label, 'text', 'end'),
    ];
  });
  const middle = (top + bottom) / 2;
  const name = x.isLog ? 'latency (ms, logarithmic)' : 'latency (ms)';
  return [
    ...columns,
    ...rows,
    line({ x: left, y: bottom }, { x: right, y: bottom }, 'axis'),
    line({ x: left, y: top }, { x: left, y: bottom }, 'axis'),
    text({ x: (left + right) / 2, y: height - 14 }, name, 'text', 'middle'),
    text({ x: 18, y: middle }, 'accuracy (%)', 'text', 'middle', ` transform="rotate(-90 18 ${px(middle)})"`),
  ];
}

function samples({ spot }: Canvas, { series, marker: form }: Drawn): string[] {
  return series.points.map((point) => {
    const at = spot(point.latencyMs, 100 * point.accuracy);
    return marker(point.marker ?? form, at, SAMPLE_RADIUS, 'sample', point.label ? tipOf(series, point) : '');
  });
}

function front(canvas: Canvas, { series, color, marker: form }: Drawn): string[] {
  const { spot } = canvas;
  const through = frontSpots(canvas, series);
  return [
    `<g class="${color}">`,
    ...(through.length > 1 ? [path(through, 'line')] : []),
    ...series.points.flatMap((point) => errorBar(canvas, point)),
    ...series.points.map((point) =>
      marker(
        point.marker ?? form,
        spot(point.latencyMs, 100 * point.accuracy),
        RADIUS,
        'mark',
        tipOf(series, point),
      ),
    ),
    '</g>',
  ];
}

/** The corners of a series' line. */
function frontSpots({ spot }: Canvas, { points, line: kind = 'step' }: PlotSeries): Spot[] {
  if (kind === 'none') return [];
  const spots = undominated(points).map((point) => spot(point.latencyMs, 100 * point.accuracy));
  if (kind === 'straight') return spots;
  // The accuracy of a point lasts until the next one is affordable.
  return spots.flatMap((at, index) => {
    const before = spots[index - 1];
    return before === undefined ? [at] : [{ x: at.x, y: before.y }, at];
  });
}

function errorBar({ spot }: Canvas, { latencyMs, accuracy, standardError = 0 }: PlotPoint): string[] {
  if (standardError === 0) return [];
  const upper = spot(latencyMs, Math.min(100, 100 * (accuracy + standardError)));
  const lower = spot(latencyMs, Math.max(0, 100 * (accuracy - standardError)));
  const cap = (at: Spot): string => line({ x: at.x - 3, y: at.y }, { x: at.x + 3, y: at.y }, 'bar');
  return [line(upper, lower, 'bar'), cap(upper), cap(lower)];
}

function tipOf({ name }: PlotSeries, { label = '', latencyMs, accuracy, standardError }: PlotPoint): string {
  const error = standardError === undefined ? '' : ` ± ${(100 * standardError).toFixed(2)}`;
  const names = [shortened(name, MAX_CHARACTERS), shortened(label, MAX_CHARACTERS)].filter(
    (one) => one !== '',
  );
  const figures = `${Number(latencyMs.toPrecision(4))} ms, ${(100 * accuracy).toFixed(2)}${error} %`;
  return [...names, figures].join(' · ');
}

/** Labels of the fronts' points, beside markers and lines, in their series' colours. */
function labels(canvas: Canvas, drawn: readonly Drawn[]): string[] {
  const fronts = drawn.filter((one) => !isSamples(one));
  const wishes = fronts.flatMap((one) => labelWishes(canvas, one)).slice(0, MAX_LABELS);
  if (wishes.length === 0) return [];
  const obstacles = obstaclesOf(
    canvas,
    fronts.map(({ series }) => series),
  );
  const places = placeLabels(wishes, obstacles, canvas.frame, RADIUS + 3);
  return wishes.flatMap(({ content, color }, index) => {
    const place = places[index];
    return place === undefined
      ? []
      : [text({ x: place.x, y: place.y + 4 }, content, `label ${color}`, place.anchor)];
  });
}

function labelWishes(
  { spot }: Canvas,
  { series, color }: Drawn,
): (LabelWish & { content: string; color: string })[] {
  return series.points.flatMap(({ label, latencyMs, accuracy }) => {
    const content = shortened(label ?? '', MAX_LABEL_CHARACTERS);
    const size = { width: textWidth(content, LABEL_SIZE), height: 14 };
    return content === '' ? [] : [{ ...spot(latencyMs, 100 * accuracy), ...size, content, color }];
  });
}

function obstaclesOf(canvas: Canvas, fronts: readonly PlotSeries[]): Box[] {
  const marks = fronts
    .flatMap(({ points }) => points)
    .map(({ latencyMs, accuracy, standardError = 0 }) => {
      const { x } = canvas.spot(latencyMs, 0);
      const upper = canvas.spot(latencyMs, 100 * (accuracy + standardError)).y - RADIUS;
      const lower = canvas.spot(latencyMs, 100 * (accuracy - standardError)).y + RADIUS;
      return { left: x - RADIUS, right: x + RADIUS, top: upper, bottom: lower };
    });
  const steps = fronts
    .filter(({ line: kind }) => kind === undefined || kind === 'step')
    .flatMap((series) => segments(frontSpots(canvas, series)));
  return [...marks, ...steps];
}

function segments(spots: readonly Spot[]): Box[] {
  return spots.slice(1).map((to, index) => {
    const from = spots[index] ?? to;
    return {
      ...{ left: Math.min(from.x, to.x) - 1, right: Math.max(from.x, to.x) + 1 },
      ...{ top: Math.min(from.y, to.y) - 1, bottom: Math.max(from.y, to.y) + 1 },
    };
  });
}
