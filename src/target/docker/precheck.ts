/** What must hold before containers are started on an engine. Looks, changes nothing; each answer says what to do. */
import type Docker from 'dockerode';
import { formatPath } from '../../manifest/diagnostic.ts';
import { parseQuantity } from '../../manifest/quantity.ts';
import type { ReplicasSpec, Runnable } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import { askAll, fail, mib, orPass, pass, router, secrets, warn } from '../local/precheck.ts';
import type { RouterClient } from '../local/router/client.ts';
import type { SecretSource } from '../ports.ts';
import { answered, found, saidBy } from './engine.ts';
import { notHonouredByDocker } from './honour.ts';
import type { Images } from './images.ts';

/** What is asked whatever runs there. */
export interface AskedOfEngine {
  docker: Docker;
  target: DockerTarget;
  images: Pick<Images, 'look'>;
}

export interface AskedOfDocker extends AskedOfEngine {
  host: { secrets: SecretSource };
  router: Pick<RouterClient, 'answers' | 'address'>;
  spec: ReplicasSpec;
  runnable: Runnable;
}

export async function precheckDocker(asked: AskedOfDocker): Promise<PrecheckResult[]> {
  const [answer] = await askAll({ engine }, asked);
  if (answer?.result === 'fail') return [answer];
  const others = await askAll({ network, images, secrets, capacity, fields, router }, asked);
  return answer === undefined ? others : [answer, ...others];
}

const OLDEST_API = 1.4;

export async function engine({ docker, target: { host, tls } }: AskedOfEngine): Promise<PrecheckResult[]> {
  try {
    const { Version, ApiVersion } = await answered(docker.version());
    const [major = 0, minor = 0] = ApiVersion.split('.').map(Number);
    if (major + minor / 100 < OLDEST_API)
      return [fail('engine', `${host}: Docker ${Version} is too old`, 'install Docker 19.03 or a later one')];
    const answers = `Docker ${Version} answers at ${host}`;
    if (!host.startsWith('tcp://') || tls !== undefined) return [pass('engine', answers)];
    return [
      warn('engine', `${answers}, to anybody: whoever reaches it is root of its machine`, 'give `tls`, or use ssh://'),
    ];
  } catch (error) {
    return [fail('engine', `${host} does not answer: ${saidBy(error)}`, 'start the engine, or correct `docker.host`')];
  }
}

export async function network({ docker, target }: AskedOfEngine): Promise<PrecheckResult[]> {
  if (target.network === 'bridge' || (await found(docker.getNetwork(target.network).inspect())) !== undefined)
    return [];
  const remedy = `docker network create ${target.network}, or correct \`docker.network\``;
  return [fail('network', `the engine has no network ${target.network}`, remedy)];
}

const images = (asked: AskedOfDocker): Promise<PrecheckResult[]> =>
  imagesThere(asked, asked.runnable, new Set(asked.runnable.template.spec.containers.map(({ image }) => image)));

export async function imagesThere(
  { images: known }: AskedOfEngine,
  { resource, revision }: Pick<Runnable, 'resource' | 'revision'>,
  names: Set<string>,
): Promise<PrecheckResult[]> {
  const told: PrecheckResult[] = [];
  for (const image of names) {
    try {
      const { digest, moved } = await known.look(resource, revision, image);
      if (moved !== undefined)
        told.push(
          warn(
            'images',
            `the tag ${image} has moved to ${moved} since this revision first ran; it runs ${digest} again`,
            'commit another tag to run what the tag stands for now',
          ),
        );
    } catch (error) {
      const remedy = 'push it, correct its name, or name its registry with a secret under `docker.registries`';
      told.push(fail('images', `image ${image} cannot be had: ${saidBy(error)}`, remedy));
    }
  }
  return orPass(told, 'images', `${names.size} found`);
}

async function capacity({ docker, spec, runnable }: AskedOfDocker): Promise<PrecheckResult[]> {
  const { MemTotal, NCPU } = (await answered(docker.info())) as { MemTotal: number; NCPU: number };
  const sum = (unit: 'cpu' | 'memory') =>
    spec.replicas *
    runnable.template.spec.containers.reduce(
      (all, { resources }) => all + (parseQuantity(resources.requests?.[unit] ?? '') ?? 0),
      0,
    );
  const remedy = 'lower `replicas` or `resources`, or take a larger machine';
  if (sum('memory') > MemTotal)
    return [
      fail(
        'capacity',
        `${spec.replicas} replicas ask for ${mib(sum('memory'))} of memory; the engine has ${mib(MemTotal)}`,
        remedy,
      ),
    ];
  if (sum('cpu') > NCPU)
    return [warn('capacity', `${spec.replicas} replicas ask for ${sum('cpu')} CPUs; the engine has ${NCPU}`, remedy)];
  return [pass('capacity', `the engine has ${mib(MemTotal)} of memory and ${NCPU} CPUs`)];
}

function fields({ spec, runnable, target }: AskedOfDocker): PrecheckResult[] {
  const wrong = notHonouredByDocker(spec, runnable.template, target).map(({ path, result, message, remedy }) => ({
    ...{ name: 'fields', result, message: `${formatPath(path)}: ${message}`, remedy },
  }));
  return orPass(wrong, 'fields', 'all can be honoured');
}
