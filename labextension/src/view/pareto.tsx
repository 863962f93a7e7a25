/** Score against size of the compared artifacts; those that no other beats in both are joined. */
import React from 'react';

import { bytes, figuresOf, nameOf } from '../model/library';
import { IArtifact } from '../tokens';
import { useBench } from './context';
import { frontier } from './frontier';

const WIDTH = 240;
const HEIGHT = 110;
const MARGIN = 12;

export function Pareto(props: { artifacts: readonly IArtifact[] }): React.ReactElement | null {
  const { trans } = useBench();
  const points = props.artifacts.flatMap(artifact => {
    const { score } = figuresOf(artifact);
    return score === undefined ? [] : [{ name: nameOf(artifact), cost: artifact.size_bytes, score }];
  });
  if (points.length < 2) {
    return null;
  }
  const x = scale(points.map(p => p.cost), MARGIN, WIDTH - MARGIN);
  const y = scale(points.map(p => p.score), HEIGHT - MARGIN, MARGIN);
  const best = frontier(points);
  return (
    <svg className="mlops-Pareto" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={trans.__('Score against size')}>
      <path d={`M${MARGIN} ${HEIGHT - 4}H${WIDTH}M4 ${HEIGHT - MARGIN}V0`} className="mlops-Axis" />
      <polyline points={best.map(p => `${x(p.cost)},${y(p.score)}`).join(' ')} className="mlops-Frontier" />
      {points.map(p => (
        <circle key={p.name} cx={x(p.cost)} cy={y(p.score)} r={best.includes(p) ? 4 : 3} className={best.includes(p) ? 'mlops-mod-best' : ''}>
          <title>{`${p.name}: ${p.score}, ${bytes(p.cost)}`}</title>
        </circle>
      ))}
    </svg>
  );
}

function scale(values: readonly number[], from: number, to: number): (value: number) => number {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  return value => Number((from + ((value - low) / span) * (to - from)).toFixed(1));
}
