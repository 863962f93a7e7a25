/** Which of several compromises are worth looking at. */
export interface IPoint {
  name: string;
  cost: number;
  score: number;
}

/** Return the points that no other beats: none is both cheaper and better. Cheapest first. */
export function frontier(points: readonly IPoint[]): IPoint[] {
  const sorted = [...points].sort((a, b) => a.cost - b.cost || b.score - a.score);
  let best = -Infinity;
  return sorted.filter(point => {
    const kept = point.score > best;
    best = Math.max(best, point.score);
    return kept;
  });
}
