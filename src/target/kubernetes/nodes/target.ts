/**
 * Clusters of a Kubernetes target: the nodes that it has. All that is true of one lies with it, in its annotations (memory.ts) and in its Job:
 * nothing here must outlive the operator.
 */
import { setMaxListeners } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { AnyRunnable, ClusterRunnable, ClusterSpec, ResourceId } from '../../../manifest/resource.ts';
import type { KubernetesTarget } from '../../../manifest/target.ts';
import { type Live, nothingLive } from '../../../plan/live.ts';
import type { Action } from '../../../rollout/decision.ts';
import { readDeclared } from '../../hosts/declared.ts';
import { StaleEpoch, type UnitDriver } from '../../ports.ts';
import { openKube } from '../client.ts';
import { type Acting, carryOut, goOn, type NodeAction } from './acts.ts';
import { UPGRADE_IMAGE } from './job.ts';
import { inOrder, liveNode, type NodeView } from './node.ts';
import { precheckNodes } from './precheck.ts';
import { watchNodes } from './watch.ts';

export interface KubernetesNodesOptions {
  /** As manifests name it. */
  name: string;
  kubernetes: KubernetesTarget;
  epoch: number;
  /** A folder of the operator's machine, for nothing but caches. */
  dataDir: string;
  log?: (message: string, details: Record<string, unknown>) => void;
}

/** One node, and what is under way there. */
interface Unit {
  name: string;
  accepted?: { key: string; takeOut?: string; update?: string };
  /** What was accepted and went wrong, and until when it is not tried again. */
  failed?: { key: string; until: number; delay: number; message: string };
  /** What a drain waits for. */
  waits?: string;
  /** Acts, one after the other. */
  acting: Promise<void>;
  /** Whether what the node remembers is being followed. */
  following: boolean;
}

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 15_000;

export async function openKubernetesNodes(options: KubernetesNodesOptions): Promise<UnitDriver> {
  const { name, kubernetes, epoch, dataDir, log = () => {} } = options;
  const { namespace, upgradeImage: image = UPGRADE_IMAGE } = kubernetes;
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  const declared = await readDeclared(dataDir);
  const kube = await openKube(kubernetes);
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const subscribers = new Set<(resource: ResourceId) => void>();
  const units = new Map<string, Unit>();
  let stale: StaleEpoch | undefined;

  const clusters = () =>
    [...declared.specs].filter((entry): entry is [ResourceId, ClusterSpec] => entry[1].kind === 'Cluster');
  const tell = (resource?: ResourceId) => {
    if (closing.signal.aborted) return;
    for (const [id] of clusters())
      if (resource === undefined || id === resource) for (const changed of subscribers) changed(id);
  };
  const { nodes, jobs, pods, ...watch } = watchNodes(kube, namespace, {
    node(now, before) {
      if (now === undefined) units.delete(before?.name ?? '');
      else follow(now);
      tell();
    },
    job: () => followAll(),
    turned(what, up, message) {
      if (!up) log(`${what} cannot be watched`, { message });
      if (up) followAll();
      else tell();
    },
  });

  function unitOf(id: string): Unit {
    const unit = units.get(id) ?? { name: id, acting: Promise.resolve(), following: false };
    units.set(id, unit);
    return unit;
  }
  const podOf = ({ memory }: NodeView) => [...pods.all()].find(({ job }) => job === memory?.update?.uid);
  const insist = () => {
    const later = Math.max(0, ...[...nodes.all()].map((node) => node.epoch));
    if (later > epoch) {
      const where = [...nodes.all()].find((node) => node.epoch === later)?.name ?? '';
      stale ??= new StaleEpoch(epoch, later, `node ${where} of target ${name}`);
    }
    if (stale !== undefined) throw stale;
  };

  const actingOn = (resource: ResourceId, spec: ClusterSpec, unit: Unit): Acting => ({
    ...{ kube, nodes, epoch, target: name, resource, node: unit.name, spec, jobs, namespace, image, insist },
    signal: closing.signal,
    waits(message) {
      if (unit.waits === message) return;
      unit.waits = message;
      tell(resource);
    },
  });

  function followAll(): void {
    for (const node of nodes.all()) follow(node);
    tell();
  }

  /** What the node remembers and nobody ended goes on, whoever began it. */
  function follow(node: NodeView): void {
    const update = node.memory?.update;
    const [resource, spec] = clusters().find(([id]) => id === node.memory?.resource) ?? [];
    if (update === undefined || update.state !== undefined || resource === undefined || spec === undefined) return;
    const unit = unitOf(node.name);
    if (unit.following || stale !== undefined || node.epoch > epoch || !watch.up()) return;
    unit.following = true;
    unit.acting = unit.acting.then(async () => {
      const retry = await goOn(actingOn(resource, spec, unit), nodes.get(node.name) ?? node, podOf(node)).then(
        () => false,
        (error: Error) => {
          refused(resource, unit, 'follow', error);
          return true;
        },
      );
      unit.following = false;
      if (retry) setTimeout(() => followLast(node.name), FIRST_RETRY_MS).unref();
    });
  }
  const followLast = (id: string) => {
    const node = nodes.get(id);
    if (node !== undefined && !closing.signal.aborted) follow(node);
  };

  /** Accepted at once. What goes wrong is tried again when it is asked for again, later each time. */
  function accept(
    resource: ResourceId,
    spec: ClusterSpec,
    unit: Unit,
    action: NodeAction,
    runnable: ClusterRunnable | undefined,
  ): void {
    const key = JSON.stringify(action);
    if (unit.accepted?.key === key) return;
    if (unit.failed?.key === key && Date.now() < unit.failed.until) return;
    const accepted = {
      key,
      ...(action.kind === 'takeOut' && { takeOut: action.attempt }),
      ...(action.kind === 'update' && { update: action.attempt }),
    };
    unit.accepted = accepted;
    unit.acting = unit.acting.then(async () => {
      try {
        insist();
        await carryOut(actingOn(resource, spec, unit), action, runnable);
        delete unit.failed;
      } catch (error) {
        refused(resource, unit, key, error as Error);
      }
      delete unit.waits;
      if (unit.accepted === accepted) delete unit.accepted;
      followLast(unit.name);
      tell(resource);
    });
  }

  function refused(resource: ResourceId, unit: Unit, key: string, error: Error): void {
    if (closing.signal.aborted) return;
    if (error instanceof StaleEpoch) stale = error;
    const again = unit.failed?.key === key;
    const delay = Math.min(LONGEST_RETRY_MS, again ? (unit.failed?.delay ?? 0) * 2 : FIRST_RETRY_MS);
    unit.failed = { key, delay, message: error.message, until: Date.now() + delay };
    setTimeout(() => tell(resource), delay + 1).unref();
    log('a step on a node failed', { unit: unit.name, message: error.message });
  }

  function liveOf(resource: ResourceId): Live {
    const seen = [...nodes.all()].sort(inOrder);
    const instances = seen.map((node) => {
      const unit = units.get(node.name);
      const job = node.memory?.update && jobs.get(node.memory.update.job);
      const pod = podOf(node);
      const trouble = unit?.failed?.message ?? unit?.waits;
      return liveNode(node, {
        resource,
        ...(unit?.accepted && { accepted: unit.accepted }),
        ...(trouble !== undefined && { trouble }),
        ...(job?.uid === node.memory?.update?.uid && job && { job }),
        ...(pod && { pod }),
      });
    });
    return { ...nothingLive(Date.now()), complete: watch.up(), instances };
  }

  const specOf = (resource: ResourceId): ClusterSpec => {
    const spec = declared.specs.get(resource);
    if (spec?.kind !== 'Cluster') throw new Error(`target ${name} knows nothing of ${resource}`);
    return spec;
  };

  if (clusters().length > 0) await watch.begin();

  return {
    async observe(resources) {
      const known = (resource: ResourceId) => declared.specs.has(resource);
      return new Map(
        resources.map((resource) => [
          resource,
          known(resource) ? liveOf(resource) : { ...nothingLive(Date.now()), instances: [] },
        ]),
      );
    },
    async start(resource, action, runnable) {
      insist();
      if (action.kind === 'forget') {
        declared.specs.delete(resource);
        return declared.save();
      }
      if (isNodeAction(action)) {
        if (nodes.get(action.unit) === undefined)
          throw new Error(`${resource} has no node ${action.unit} on target ${name}`);
        return accept(resource, specOf(resource), unitOf(action.unit), action, runnableOf(runnable));
      }
      if (action.kind !== 'remove') throw new Error(`${action.kind} is nothing that is done to a node of a cluster`);
    },
    async precheck(resource, spec, runnable, plan, signal) {
      if (spec.kind !== 'Cluster' || !('version' in runnable)) throw new Error(`${resource} has no nodes`);
      await watch.begin();
      if (!watch.up()) throw new Error(`the cluster cannot be watched: ${watch.trouble()}`);
      const seen = [...nodes.all()].sort(inOrder);
      return precheckNodes({ kube, resource, spec, runnable, plan, nodes: seen, namespace, image, signal });
    },
    check: (resource) => Promise.reject(new Error(`${resource} has no versions to check`)),
    verify: (resource) => Promise.reject(new Error(`${resource} has nothing to check on its nodes`)),
    async declare(resource, spec) {
      if (spec.kind !== 'Cluster') throw new Error(`target ${name} has nodes only, and ${resource} is no Cluster`);
      declared.specs.set(resource, spec);
      await declared.save();
      await watch.begin();
      for (const node of nodes.all()) follow(node);
    },
    subscribe(changed) {
      subscribers.add(changed);
      return () => subscribers.delete(changed);
    },
    async resources() {
      return clusters().map(([id]) => id);
    },
    async close() {
      subscribers.clear();
      closing.abort(new Error('the target is closed'));
      watch.close();
      kube.close();
      await declared.save();
    },
  };
}

const isNodeAction = (action: Action): action is NodeAction =>
  action.kind === 'takeOut' || action.kind === 'update' || action.kind === 'putBack';

const runnableOf = (runnable: AnyRunnable | undefined): ClusterRunnable | undefined =>
  runnable !== undefined && 'version' in runnable ? runnable : undefined;
