import type { Marker } from './series.ts';

/** A place in the picture, in pixels. */
export interface Spot {
  readonly x: number;
  readonly y: number;
}

/** Mean width of a character in the fonts that browsers take, as a share of the font's size. */
const CHARACTER_WIDTH = 0.58;

/** Text as it may stand in an element or an attribute. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** A number as short as a picture needs it, and the same on every machine. */
export function px(value: number): string {
  return String(Number(value.toFixed(2)) + 0);
}

/** How wide a text will be, about. */
export function textWidth(text: string, fontSize: number): number {
  return Array.from(text).length * fontSize * CHARACTER_WIDTH;
}

/** A line of text. `middle` and `end` say which part of it stands at the spot. */
export function text(
  { x, y }: Spot,
  content: string,
  className: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
  more = '',
): string {
  const align = anchor === 'start' ? '' : ` text-anchor="${anchor}"`;
  return `<text x="${px(x)}" y="${px(y)}" class="${className}"${align}${more}>${escaped(content)}</text>`;
}

export function line(from: Spot, to: Spot, className: string): string {
  return `<line x1="${px(from.x)}" y1="${px(from.y)}" x2="${px(to.x)}" y2="${px(to.y)}" class="${className}"/>`;
}

/** The path through spots. */
export function path(spots: readonly Spot[], className: string): string {
  const steps = spots.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`);
  return `<path d="${steps.join('')}" class="${className}"/>`;
}

/** A marker of about the same area whatever its form, with a text that browsers show beside the pointer. */
export function marker(kind: Marker, { x, y }: Spot, radius: number, className: string, tip = ''): string {
  const title = tip === '' ? '' : `<title>${escaped(tip)}</title>`;
  const shape = `${shapeOf(kind, x, y, radius)} class="${className}"`;
  return title === '' ? `<${shape}/>` : `<${shape}>${title}</${kind === 'circle' ? 'circle' : 'path'}>`;
}

function shapeOf(kind: Marker, x: number, y: number, radius: number): string {
  if (kind === 'circle') return `circle cx="${px(x)}" cy="${px(y)}" r="${px(radius)}"`;
  const corners = CORNERS[kind].map(
    ([across, down]) => `${px(x + across * radius)} ${px(y + down * radius)}`,
  );
  return `path d="M${corners.join('L')}Z"`;
}

const CORNERS = {
  square: [
    [-0.9, -0.9],
    [0.9, -0.9],
    [0.9, 0.9],
    [-0.9, 0.9],
  ],
  diamond: [
    [0, -1.3],
    [1.3, 0],
    [0, 1.3],
    [-1.3, 0],
  ],
  triangle: [
    [0, -1.25],
    [1.2, 0.95],
    [-1.2, 0.95],
  ],
} as const satisfies Record<Exclude<Marker, 'circle'>, readonly (readonly [number, number])[]>;

/** Colours of series on light and on dark ground, far apart for colour-blind eyes too. */
const COLORS = [
  ['#0969da', '#58a6ff'],
  ['#c4540a', '#f0883e'],
  ['#0f7b52', '#3fc98e'],
  ['#8b3fc7', '#c297ff'],
  ['#b3195e', '#ff7eb6'],
] as const;

/** The class that gives a series its colour; colours come round again. */
export function colorClass(index: number): string {
  return `c${index % COLORS.length}`;
}

interface Scheme {
  readonly ground: string;
  readonly ink: string;
  readonly soft: string;
  readonly grid: string;
  readonly sample: string;
  readonly colorIndex: 0 | 1;
}

const LIGHT: Scheme = {
  ...{
    ground: '#ffffff',
    ink: '#1f2328',
    soft: '#59636e',
    grid: '#e4e8ec',
    sample: '#9aa4ae',
    colorIndex: 0,
  },
};
const DARK: Scheme = {
  ...{
    ground: '#0d1117',
    ink: '#f0f6fc',
    soft: '#9198a1',
    grid: '#262c34',
    sample: '#59636e',
    colorIndex: 1,
  },
};

/**
 * The picture's style sheet. It has a ground of its own: on a page whose scheme is not the reader's it stays
 * readable.
 */
export function styleSheet(): string {
  const rules = [
    '.ofa-plot{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}',
    '.ofa-plot .title{font-size:16px;font-weight:600}',
    '.ofa-plot .text{font-size:12px}',
    // Around a label there is ground, so that it can be read over samples and grid.
    '.ofa-plot .label{font-size:11px;paint-order:stroke;stroke-width:3px;stroke-linejoin:round}',
    '.ofa-plot .grid,.ofa-plot .axis{stroke-width:1}',
    '.ofa-plot .sample{fill-opacity:.6}',
    '.ofa-plot .mark{fill:currentColor;stroke-width:1.5}',
    '.ofa-plot .bar{stroke:currentColor;stroke-width:1.25;stroke-opacity:.7}',
    '.ofa-plot .line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-opacity:.75}',
    colorRules(LIGHT),
    `@media (prefers-color-scheme:dark){${colorRules(DARK)}}`,
  ];
  return `<style>${rules.join('')}</style>`;
}

function colorRules({ ground, ink, soft, grid, sample, colorIndex }: Scheme): string {
  const rules = [
    `.ground{fill:${ground};stroke:${grid}}`,
    `.title{fill:${ink}}`,
    `.label{fill:currentColor;stroke:${ground}}`,
    `.text{fill:${soft}}`,
    `.grid{stroke:${grid}}`,
    `.axis{stroke:${soft}}`,
    `.sample{fill:${sample}}`,
    `.mark{stroke:${ground}}`,
    ...COLORS.map((pair, index) => `.c${index}{color:${pair[colorIndex]}}`),
  ];
  return rules.map((rule) => rule.replaceAll('.', '.ofa-plot .').replace('.ofa-plot .ofa', '.ofa')).join('');
}
