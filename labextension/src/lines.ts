/** The `%mlops` line that does what a button does. The panel teaches these; the tests keep them parseable. */
import { nameOf } from './model/library';
import { IArtifact, IRun } from './tokens';

export const lines = {
  cancel: (run: IRun): string => `%mlops cancel ${run.id}`,
  resume: (run: IRun): string => `%mlops resume ${run.id} --bg`,
  logs: (run: IRun): string => `%mlops logs ${run.id}`,
  again: (run: IRun): string => (run.line ? asMagic(run.line) : `%mlops resume ${run.id}`),
  show: (artifact: IArtifact): string => `%mlops show ${nameOf(artifact)}`,
  lineage: (artifact: IArtifact): string => `%mlops lineage ${nameOf(artifact)}`,
  compare: (artifacts: readonly IArtifact[]): string => `%mlops compare ${artifacts.map(nameOf).join(' ')}`,
  operate: (name: string, operation: string): string =>
    operation === 'continue' ? `%mlops pause ${name} --off` : `%mlops ${operation} ${name}`,
  doctor: (): string => '%mlops doctor'
};

/** What to do next with an artifact: what the drag of its name or a double click inserts. */
export function next(artifact: IArtifact): string {
  const name = nameOf(artifact);
  switch (artifact.kind) {
    case 'program':
      return `%mlops quantize ${name} --scheme int8`;
    case 'variant':
      return `%mlops compile ${name}`;
    case 'compiled':
      return `%mlops push ${name} --to staging`;
    case 'trace':
      return `%mlops show ${name}`;
    default:
      return `%mlops lineage ${name}`;
  }
}

/** A shell's line as a magic. */
function asMagic(line: string): string {
  return line.startsWith('%') ? line : `%${line}`;
}
