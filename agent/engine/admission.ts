export interface Admission {
  /** Memory of each point when it is warm, bytes, by its index; as it was measured. */
  readonly costs: readonly number[];
  /** For all warm points together. */
  readonly budgetBytes: number;
  /** The point that serves now. */
  readonly current: number;
  /** Points from the lightest to the heaviest: neighbours are who is switched to next. */
  readonly order: readonly number[];
}

/**
 * Which points to keep warm under a memory budget. The current one always; then its neighbours in the order,
 * the nearest first, of two equally near ones the lighter first: it is what is needed in a hurry. One that
 * does not fit is passed over, a smaller one behind it may.
 * @returns the most wanted first
 */
export function warmSet({ costs, budgetBytes, current, order }: Admission): number[] {
  const costOf = (point: number): number => costs[point] ?? Number.POSITIVE_INFINITY;
  const warm = [current];
  let leftBytes = budgetBytes - costOf(current);
  for (const point of nearestFirst(order, current)) {
    if (costOf(point) > leftBytes) continue;
    warm.push(point);
    leftBytes -= costOf(point);
  }
  return warm;
}

function nearestFirst(order: readonly number[], current: number): number[] {
  const at = order.indexOf(current);
  return order
    .map((point, place) => ({ point, place, distance: Math.abs(place - at) }))
    .filter(({ point }) => point !== current)
    .sort((a, b) => a.distance - b.distance || a.place - b.place)
    .map(({ point }) => point);
}
