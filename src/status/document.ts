/**
 * A status file: what people and programs read of one resource, and what a new operator resumes from. Everything of
 * `State` is in it, once; beside it stands what was observed, which `fromDocument` leaves out.
 */
import type { Oid, ResourceId, Revision } from '../manifest/resource.ts';
import type { Live, Scaled } from '../plan/live.ts';
import { type Settled, settledRevision, type Version } from '../plan/plan.ts';
import type { Cause, Health, HistoryEntry, Phase, State } from '../rollout/state.ts';
import { active } from '../rollout/transitions.ts';
import { type GoalDocument, goalFromDocument, goalToDocument, type PolicyDocument, policyToDocument } from './goals.ts';
import { type InstancesDocument, instancesToDocument } from './instances.ts';
import { type RolloutDocument, rolloutFromDocument, rolloutToDocument } from './rollout.ts';
import { fromTime, type Time, toTime } from './time.ts';
import { oneLine } from './words.ts';

export interface VersionDocument {
  name: string;
  revision: Revision;
  /** Absent: not observed. */
  ready?: number;
  total?: number;
  /** Where it answers while it runs: `v8.shop.localhost`. */
  address?: string;
  /** These three are absent for a version that is live but that nobody remembers. */
  commit?: Oid;
  rollout?: number;
  stable?: string;
}

interface OperationDocument {
  name: string;
  outcome: 'applied' | 'refused';
  message: string;
  at: Time;
  digest: string;
}

export interface HistoryDocument {
  id: number;
  cause: Cause;
  commit: Oid;
  revision: Revision;
  phase: Phase;
  startedAt: Time;
  finishedAt: Time;
  stages: { name: string; seconds: number }[];
  message: string;
}

export interface StatusDocument {
  resource: ResourceId;
  commit: Oid;
  health: Health;
  message: string;
  /** What is both settled and seen running. */
  revision?: Revision;
  rollout?: RolloutDocument;
  /** Services. */
  versions?: VersionDocument[];
  /** What the proxy was seen to do. */
  traffic?: PolicyDocument;
  /** Fleets and clusters; absent: not observed. */
  instances?: InstancesDocument;
  /** Who else says how many replicas there are to be. */
  scaled?: Scaled;
  repairs: { count: number; last?: Time };
  operations: OperationDocument[];
  history: HistoryDocument[];
  attempted?: Revision;
  deletion?: { commit: Oid; confirmed: boolean };
  settled: {
    goals: GoalDocument[];
    lineage: { revision: Revision; commit: Oid }[];
    full?: string;
    partial?: Revision;
    observed: boolean;
  };
  /** Of the declaration that was last acted on. */
  digest: string;
}

export interface DocumentInput {
  id: ResourceId;
  state: State;
  /** Absent: nothing was observed, so nothing observed is shown. */
  live?: Live | undefined;
  health: Health;
  message: string;
  /** `spec.host` of a service: versions answer below it. */
  host?: string | undefined;
  /** `spec.version` of a cluster. */
  version?: string | undefined;
}

/** Stops compiling when a field was added that the conversion does not know. */
const nothingElse = (_rest: Record<string, never>): void => {};

/** Times of stages beyond the plan's are dropped; all else comes back from `fromDocument` as it was. */
export function toDocument({ id, state, live, health, message, host, version }: DocumentInput): StatusDocument {
  const { commit, digest, settled, rollout, operations, repairs, history, attempted, deletion, scaled, ...rest } =
    state;
  nothingElse(rest);
  const revision = live === undefined ? undefined : liveRevision(settled, live);
  const versions = versionDocuments(settled, live, host);
  return {
    resource: id,
    commit,
    health,
    message: oneLine(message),
    ...(revision !== undefined && { revision }),
    ...(rollout !== undefined && { rollout: rolloutToDocument(rollout, settled, live) }),
    ...((versions.length > 0 || id.startsWith('Service/')) && { versions }),
    ...(live?.traffic !== undefined && id.startsWith('Service/') && { traffic: policyToDocument(live.traffic) }),
    ...(live?.instances !== undefined && {
      instances: instancesToDocument(live, { revision: wantedRevision(state), version }),
    }),
    ...(scaled !== undefined && { scaled }),
    repairs: { count: repairs.count, ...(repairs.last !== undefined && { last: toTime(repairs.last) }) },
    operations: Object.entries(operations).map(([name, { outcome, message, at, digest }]) => ({
      name,
      outcome,
      message,
      at: toTime(at),
      digest,
    })),
    history: history.map(historyToDocument),
    ...(attempted !== undefined && { attempted }),
    ...(deletion !== undefined && { deletion }),
    settled: settledToDocument(settled),
    digest,
  };
}

export function fromDocument(document: StatusDocument): State {
  const { commit, digest, rollout, operations, repairs, history, attempted, deletion, scaled } = document;
  return {
    commit,
    digest,
    settled: settledFromDocument(document),
    ...(rollout !== undefined && { rollout: rolloutFromDocument(rollout) }),
    operations: Object.fromEntries(
      operations.map(({ name, at, ...outcome }) => [name, { ...outcome, at: fromTime(at) }]),
    ),
    ...(scaled !== undefined && { scaled }),
    repairs: { count: repairs.count, ...(repairs.last !== undefined && { last: fromTime(repairs.last) }) },
    history: history.map(historyFromDocument),
    ...(attempted !== undefined && { attempted }),
    ...(deletion !== undefined && { deletion }),
  };
}

/** The settled revision, if it is seen ready, or if the settled goals want none of it (scaled to 0). */
function liveRevision(settled: Settled, live: Live): Revision | undefined {
  const revision = settledRevision(settled);
  if (revision === undefined) return undefined;
  const wanted = settled.goals.some((goal) =>
    goal.kind === 'replicas' ? (goal.want[revision] ?? 0) > 0 : goal.kind === 'members' && goal.size !== 0,
  );
  const ready =
    live.units.some((unit) => unit.revision === revision && unit.ready) ||
    live.instances?.some(({ applied, ready }) => applied.at(-1) === revision && ready);
  return ready || !wanted ? revision : undefined;
}

/** What should be on every instance now, or once the rollout is done. */
function wantedRevision({ settled, rollout }: State): Revision | undefined {
  return active(rollout) && !rollout.turned ? rollout.plan.to : settledRevision(settled);
}

function settledToDocument(settled: Settled): StatusDocument['settled'] {
  const { goals, lineage, versions: _, full, partial, observed, ...rest } = settled;
  nothingElse(rest);
  return {
    goals: goals.map(goalToDocument),
    lineage,
    ...(full !== undefined && { full }),
    ...(partial !== undefined && { partial }),
    observed,
  };
}

function settledFromDocument({ settled, versions }: StatusDocument): Settled {
  const known: Record<string, Version> = {};
  for (const { name, revision, commit, rollout, stable } of versions ?? []) {
    if (commit === undefined || rollout === undefined || stable === undefined) continue;
    known[name] = { revision, commit, rollout, stable };
  }
  return { ...settled, goals: settled.goals.map(goalFromDocument), versions: known };
}

/** All whose name is taken, then those that are only seen. */
function versionDocuments(settled: Settled, live: Live | undefined, host: string | undefined): VersionDocument[] {
  const known = Object.entries(settled.versions).map(([name, version]) => {
    const { revision, commit, rollout, stable, ...rest } = version;
    nothingElse(rest);
    return { name, revision, ...observedVersion(name, live, host), commit, rollout, stable };
  });
  const seen = new Map<string, Revision>();
  for (const unit of live?.units ?? []) {
    if (unit.version !== '' && !Object.hasOwn(settled.versions, unit.version)) seen.set(unit.version, unit.revision);
  }
  return [...known, ...[...seen].map(([name, revision]) => ({ name, revision, ...observedVersion(name, live, host) }))];
}

function observedVersion(name: string, live: Live | undefined, host: string | undefined): Partial<VersionDocument> {
  if (live === undefined) return {};
  const units = live.units.filter((unit) => unit.version === name);
  const ready = units.filter((unit) => unit.ready).length;
  const address = host !== undefined && units.length > 0 ? { address: `${name}.${host}` } : {};
  return { ready, total: units.length, ...address };
}

function historyToDocument(entry: HistoryEntry): HistoryDocument {
  const { id, cause, commit, revision, phase, startedAt, finishedAt, stages, message, ...rest } = entry;
  nothingElse(rest);
  const times = { startedAt: toTime(startedAt), finishedAt: toTime(finishedAt) };
  return { id, cause, commit, revision, phase, ...times, stages, message };
}

function historyFromDocument({ startedAt, finishedAt, ...entry }: HistoryDocument): HistoryEntry {
  return { ...entry, startedAt: fromTime(startedAt), finishedAt: fromTime(finishedAt) };
}
