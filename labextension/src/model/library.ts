/** The artifacts: models as a tree of lineage, profiles as a list. */
import { IArtifact, IRefusal, IServer, Message } from '../tokens';
import { Changing, Schedule } from './changes';

/** An artifact with what was made from it. */
export interface INode {
  artifact: IArtifact;
  children: INode[];
  refusals: IRefusal[];
}

/** Events after which the lists may differ. */
const MAKERS = new Set(['step.done', 'step.failed', 'promoted', 'rolled-back']);

export class LibraryModel extends Changing {
  constructor(server: IServer, schedule?: Schedule) {
    super(schedule);
    this._server = server;
  }

  get models(): readonly IArtifact[] {
    return this._models;
  }

  get profiles(): readonly IArtifact[] {
    return this._profiles;
  }

  get tree(): readonly INode[] {
    return this._tree;
  }

  /** Digests chosen for a comparison. */
  get chosen(): ReadonlySet<string> {
    return this._chosen;
  }

  get(digest: string): IArtifact | undefined {
    return this._models.find(one => one.digest === digest) ?? this._profiles.find(one => one.digest === digest);
  }

  choose(digest: string): void {
    if (!this._chosen.delete(digest)) {
      this._chosen.add(digest);
    }
    this._chosen = new Set(this._chosen);
    this.tell();
  }

  async load(): Promise<void> {
    const [{ models, refusals }, profiles] = await Promise.all([this._server.models(), this._server.profiles()]);
    this._models = models;
    this._profiles = profiles;
    this._tree = treeOf(models, refusals);
    this._chosen = new Set([...this._chosen].filter(digest => models.some(one => one.digest === digest)));
    this.touch();
  }

  /** Return whether a message of the stream asks for a new look. */
  concerns(message: Message): boolean {
    return message.type === 'reset' || (message.type === 'events' && message.events.some(e => MAKERS.has(e.kind)));
  }

  private _chosen = new Set<string>();
  private _models: IArtifact[] = [];
  private _profiles: IArtifact[] = [];
  private _server: IServer;
  private _tree: INode[] = [];
}

/** Put each artifact under its first known parent, newest first; what has none is a root. */
export function treeOf(models: readonly IArtifact[], refusals: readonly IRefusal[] = []): INode[] {
  const nodes = new Map(models.map(artifact => [artifact.digest, { artifact, children: [], refusals: [] } as INode]));
  const roots: INode[] = [];
  for (const node of nodes.values()) {
    const parent = node.artifact.parents.map(digest => nodes.get(digest)).find(found => found && found !== node);
    (parent ? parent.children : roots).push(node);
  }
  for (const refusal of refusals) {
    nodes.get(refusal.program)?.refusals.push(refusal);
  }
  return roots;
}

/** What to call an artifact: its shortest name that is no alias, else any, else the start of its digest. */
export function nameOf(artifact: IArtifact): string {
  return artifact.names.find(name => !name.includes('@')) ?? artifact.names[0] ?? artifact.digest.slice(0, 19);
}

/** What a row says: the name, else the kind and as much of the digest as people compare. */
export function labelOf(artifact: IArtifact): string {
  return artifact.names.length ? nameOf(artifact) : `${artifact.kind} ${artifact.digest.slice(7, 15)}`;
}

/** The figures a row shows, as people write them. */
export function figuresOf(artifact: IArtifact): { score?: number; latency?: string; size: string } {
  const { score, latency_ms } = artifact.figures;
  return {
    score: score ?? undefined,
    latency: latency_ms === null ? undefined : `${short(latency_ms)} ms`,
    size: bytes(artifact.size_bytes)
  };
}

/** A number with three significant digits. */
export function short(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

/** A size with a fitting unit. */
export function bytes(size: number): string {
  for (const [unit, scale] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) {
    if (size >= scale) {
      return `${short(size / scale)} ${unit}`;
    }
  }
  return `${size} B`;
}
