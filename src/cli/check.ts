import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { isCluster, isReplicas } from '../manifest/kinds.ts';
import type { Declared, InstanceResource, ReplicasResource, Resource, ResourceId } from '../manifest/resource.ts';
import { runnableOf } from '../manifest/runnable.ts';
import type { DockerTarget, KubernetesTarget } from '../manifest/target.ts';
import { secretsFrom } from '../operator/secrets.ts';
import type { Live } from '../plan/live.ts';
import { nothingSettled, type Plan, type Settled } from '../plan/plan.ts';
import { direction, planRollout } from '../plan/planner.ts';
import { builtinPrechecks } from '../rollout/prechecks.ts';
import type { PrecheckResult, State } from '../rollout/state.ts';
import { active } from '../rollout/transitions.ts';
import { fromDocument } from '../status/document.ts';
import { haproxyAddress } from '../target/haproxy/router/client.ts';
import { instancesFolder } from '../target/instances/folders.ts';
import { findGroups } from '../target/local/cgroup.ts';
import { lookingAt, openImages } from '../target/local/image.ts';
import { inspectInstances } from '../target/local/instances/inspect.ts';
import { precheckLocal } from '../target/local/precheck.ts';
import type { RouterClient } from '../target/local/router/client.ts';
import { routerDirectory } from '../target/local/router/launch.ts';
import { dial } from '../target/local/router/wire.ts';
import { findUser, type User } from '../target/local/user.ts';
import { withProject } from '../target/project.ts';
import { withCommits } from './declared.ts';
import { Failure, usage } from './failure.ts';
import { repositoryFolders } from './folders.ts';
import { dataDirOption, pathOption, type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { colours, print } from './print.ts';
import { openRepository, resolveCommit } from './repository.ts';
import { knownStatus, readStatuses } from './status-branch.ts';
import { table } from './status-view.ts';

interface CheckOptions extends RepositoryOptions {
  path: string;
  dataDir?: string;
  secretsDir?: string;
  runAs?: string;
}

export function registerCheck(program: Command): void {
  repositoryOptions(program.command('check'))
    .argument('<resource>', 'Kind/name', resourceArgument)
    .description('ask what must hold before a rollout of what is declared; change nothing')
    .addOption(pathOption())
    .addOption(dataDirOption())
    .option('--secrets-dir <folder>', 'secrets, as files <name>/<key>')
    .option('--run-as <user>', 'the user that the operator runs units as')
    .addHelpText(
      'after',
      `
Run it on the machine of the operator, as its user and with its options. Exit status: 1 when a check fails.

Examples:
  sluice check Service/shop
  sluice check Cluster/prod`,
    )
    .action(async (id: ResourceId, options: CheckOptions) => {
      const repository = await openRepository(options);
      const { data } = repositoryFolders(repository.key, options);
      const commit = await resolveCommit(repository, `refs/heads/${repository.branch}`);
      const declared = await withCommits(repository.folder, options.path, (commits) => commits.load(commit));
      const resource = declared.resources.get(id);
      if (resource === undefined) throw notDeclared(id, declared);
      const status = await knownStatus(repository);
      const document = (status ? await readStatuses(repository, status) : []).find((each) => each.resource === id);
      const state = document && fromDocument(document);
      const results = await precheck({ resource, declared, state, data, options });
      print(table([], results.map(row)));
      if (results.some(({ result }) => result === 'fail')) process.exitCode = 1;
    });
}

function notDeclared(id: ResourceId, declared: Declared): Failure {
  if (declared.invalid.has(id)) return new Failure(`the declared manifest of ${id} is invalid: sluice validate`);
  return usage(`${id} is not declared; declared: ${[...declared.resources.keys()].join(', ') || 'nothing'}`);
}

interface Asked<R extends Resource = Resource> {
  resource: R;
  declared: Declared;
  /** What is remembered of it; undefined: no operator has seen it. */
  state: State | undefined;
  data: string;
  options: CheckOptions;
}

async function precheck(asked: Asked): Promise<PrecheckResult[]> {
  const { resource } = asked;
  if (isReplicas(resource)) return [...builtin(asked, undefined), ...(await precheckReplicas({ ...asked, resource }))];
  const { live, results } = await inspect({ ...asked, resource });
  return [...builtin(asked, live), ...results];
}

async function inspect(asked: Asked<InstanceResource>): Promise<{ live: Live; results: PrecheckResult[] }> {
  const { resource, declared } = asked;
  const { target } = resource.spec;
  const host = declared.hostTargets.get(target);
  const { docker, kubernetes } = declared.targets.get(target) ?? {};
  const signal = AbortSignal.timeout(LONGEST_MS);
  const plan = (live: Live) => planOf(asked, live);
  if (host !== undefined) {
    const { inspectHosts } = await import('../target/ssh/inspect.ts');
    return inspectHosts(resource, host.ssh, plan, signal);
  }
  if (kubernetes !== undefined && isCluster(resource)) {
    const { inspectNodes } = await import('../target/kubernetes/nodes/inspect.ts');
    return inspectNodes(resource, kubernetes, plan, signal);
  }
  if (docker !== undefined) return inspectOnEngine(asked, docker, plan, signal);
  return withLocal(asked, (local) => inspectInstances(resource, local, plan, signal));
}

/** More than the operator gives a driver, which has its connections open. */
const LONGEST_MS = 120_000;

const settledOf = ({ state }: Asked): Settled => state?.settled ?? nothingSettled;
const nextId = ({ state }: Asked): number => 1 + (state?.rollout?.id ?? 0);

const builtin = (asked: Asked, live: Live | undefined): PrecheckResult[] =>
  builtinPrechecks(asked.resource, settledOf(asked), nextId(asked), live);

/** That of a rollout that would begin now. */
function planOf(asked: Asked, { instances = [] }: Live): Plan {
  const { resource, state } = asked;
  const settled = settledOf(asked);
  const towards = active(state?.rollout) ? state?.rollout?.plan.to : undefined;
  const cause = direction(settled, resource.revision, towards);
  return planRollout({ resource, settled, id: nextId(asked), generation: 1, instances }, cause);
}

/** What a local target has that another process holds: nothing is opened for acting. */
interface Local {
  dataDir: string;
  imagesFolder?: string;
  user: User | undefined;
  router: Pick<RouterClient, 'answers' | 'address'>;
}

async function withLocal<T>({ resource, declared, data, options }: Asked, ask: (local: Local) => Promise<T>) {
  const { spec } = resource;
  const target = declared.targets.get(spec.target);
  if (target === undefined) throw new Failure(`target ${spec.target} is not declared`);
  if (target.local === undefined) throw new Failure(`target ${spec.target} is no local target`);
  const { images, dataDir = join(data, 'targets', target.name) } = target.local;
  if (!existsSync(dataDir)) throw new Failure(`target ${target.name} is not on this machine: there is no ${dataDir}`);
  const router = await dial(routerDirectory(data));
  if (router === undefined) throw new Failure(`no router runs for ${data}; the operator starts it: sluice run`);
  try {
    return await ask({
      dataDir,
      ...(images.startsWith('/') && { imagesFolder: images }),
      user: options.runAs === undefined ? undefined : await findUser(options.runAs),
      router: { answers: async () => void (await router.call('health', null)), address: () => router.health },
    });
  } finally {
    router.close();
  }
}

/** Asks with the router of a target on an engine, which another process holds. */
async function withRouterOf<T>(
  data: string,
  name: string,
  docker: DockerTarget,
  ask: (router: Local['router']) => Promise<T>,
): Promise<T> {
  const own = haproxyAddress(docker) === undefined ? data : join(data, 'targets', name);
  const router = await dial(routerDirectory(own));
  if (router === undefined) throw new Failure(`no router runs for ${own}; the operator starts it: sluice run`);
  try {
    return await ask({ answers: async () => void (await router.call('health', null)), address: () => router.health });
  } finally {
    router.close();
  }
}

async function precheckContainers(
  { resource, options, data }: Asked<ReplicasResource>,
  name: string,
  docker: DockerTarget,
): Promise<PrecheckResult[]> {
  const { inspectDocker } = await import('../target/docker/target.ts');
  const secrets = secretsFrom(options.secretsDir);
  const what = { spec: resource.spec, runnable: runnableOf(resource) };
  return withRouterOf(data, name, docker, (router) =>
    inspectDocker({ name, docker: withProject(docker, data), secrets, router, ...what }),
  );
}

async function inspectOnEngine(
  { resource, options, data }: Asked<InstanceResource>,
  docker: DockerTarget,
  plan: (live: Live) => Plan,
  signal: AbortSignal,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  const { inspectContainers } = await import('../target/docker/instances/inspect.ts');
  const name = resource.spec.target;
  const root = instancesFolder(join(data, 'targets', name));
  const secrets = secretsFrom(options.secretsDir);
  return withRouterOf(data, name, docker, (router) =>
    inspectContainers(resource, { name, docker: withProject(docker, data), root, secrets, router }, plan, signal),
  );
}

async function precheckPods(
  { resource, options, data }: Asked<ReplicasResource>,
  name: string,
  kubernetes: KubernetesTarget,
): Promise<PrecheckResult[]> {
  const { inspectKubernetes } = await import('../target/kubernetes/target.ts');
  const secrets = secretsFrom(options.secretsDir);
  const what = { spec: resource.spec, runnable: runnableOf(resource) };
  return inspectKubernetes({ name, kubernetes: withProject(kubernetes, data), secrets, ...what });
}

function precheckReplicas(asked: Asked<ReplicasResource>): Promise<PrecheckResult[]> {
  const { spec } = asked.resource;
  const runnable = runnableOf(asked.resource);
  const { docker, kubernetes } = asked.declared.targets.get(spec.target) ?? {};
  if (docker !== undefined) return precheckContainers(asked, spec.target, docker);
  if (kubernetes !== undefined) return precheckPods(asked, spec.target, kubernetes);
  const writesNothing = () => Promise.reject(new Error('a check writes no image'));
  return withLocal(asked, ({ dataDir, imagesFolder, user, router }) => {
    const images = openImages(lookingAt(dataDir), { materialize: writesNothing }, imagesFolder);
    const secrets = secretsFrom(asked.options.secretsDir);
    return precheckLocal({ host: { dataDir, user, groups: findGroups(), images, secrets }, router, spec, runnable });
  });
}

const PAINT: Record<PrecheckResult['result'], (text: string) => string> = {
  pass: colours.green,
  warn: colours.yellow,
  fail: colours.red,
};

const row = ({ name, result, message, remedy }: PrecheckResult): string[] => [
  PAINT[result](result),
  name,
  result === 'pass' || remedy === '' ? message : `${message}; ${remedy}`,
];
