/** A rectangle by its corners. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** A text that wants to stand beside a point. */
export interface LabelWish {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Where a text stands: which part of its middle line is at the place. Its width is only an estimate. */
export interface LabelPlace {
  readonly x: number;
  readonly y: number;
  readonly anchor: 'start' | 'middle' | 'end';
}

/** Left or right of the point, above or below it, in the order of preference: a front bends to upper left. */
const SIDES: readonly (readonly [number, number])[] = [
  ...([
    [-1, -1],
    [1, 1],
    [0, -1],
    [0, 1],
    [1, 0],
    [-1, 0],
    [1, -1],
    [-1, 1],
  ] as const),
];

/**
 * Finds a place for each label, one after the other, where it touches no obstacle and no label before it and
 * stays in the frame.
 * @param gap between a point's middle and its label
 * @returns per wish its place, undefined where there is none
 */
export function placeLabels(
  wishes: readonly LabelWish[],
  obstacles: readonly Box[],
  frame: Box,
  gap: number,
): (LabelPlace | undefined)[] {
  const taken = [...obstacles];
  return wishes.map((wish) => {
    const side = SIDES.find((one) => {
      const box = boxAt(wish, one, gap);
      return isInside(box, frame) && !taken.some((other) => touches(box, other));
    });
    if (side === undefined) return undefined;
    const box = boxAt(wish, side, gap);
    taken.push(box);
    return placeOf(box, side[0]);
  });
}

function boxAt(
  { x, y, width, height }: LabelWish,
  [across, down]: readonly [number, number],
  gap: number,
): Box {
  // At a corner the label is a bit nearer in each direction: the distance is along the diagonal.
  const near = across !== 0 && down !== 0 ? gap * 0.8 : gap;
  const left = x + across * near + ((across - 1) / 2) * width;
  const top = y + down * near + ((down - 1) / 2) * height;
  return { left, top, right: left + width, bottom: top + height };
}

/** The end that is nearer to the point stays where it is, however wide the text turns out. */
function placeOf({ left, right, top, bottom }: Box, across: number): LabelPlace {
  const y = (top + bottom) / 2;
  if (across === 0) return { x: (left + right) / 2, y, anchor: 'middle' };
  return across < 0 ? { x: right, y, anchor: 'end' } : { x: left, y, anchor: 'start' };
}

function isInside(box: Box, frame: Box): boolean {
  return (
    box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom
  );
}

function touches(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
