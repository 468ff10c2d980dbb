/**
 * From a pushed commit that changes one manifest of many until the plan of its rollout is there: the poll, the fetch, the comparison,
 * the parse, what each resource is told, the decision. Beside it `git fetch` and `git diff-tree` of the same commit by another clone.
 */
import { join } from 'node:path';
import type { ResourceId } from '../src/manifest/resource.ts';
import { createController } from '../src/operator/controller.ts';
import { commitFiles, git } from '../test/support/git-servers.ts';
import { type Figure, inFolder, median, medianRatio, note, timed } from './harness.ts';
import { createMemoryDriver } from './support/driver.ts';
import { startGitServer } from './support/git-server.ts';
import { configRepository, manifest, manifestPath } from './support/manifests.ts';
import { openDeclarations } from './support/site.ts';

const SIZES = (process.env.SIZES ?? '10000,50000').split(',').map(Number) as [number, number];
const ROUNDS = 15;
const REACH = { native: 1.5, growth: 2 };
/** A Workload: of ten manifests the third to the tenth are. */
const CHANGED = 42;

interface Times {
  ours: number[];
  native: number[];
}

async function measure(folder: string, count: number): Promise<Times> {
  const repository = configRepository(folder, count);
  const server = await startGitServer(folder);
  const url = `${server.url}/config-${count}.git`;
  const clone = join(folder, `native-${count}`);
  git(folder, ['clone', '--quiet', '--bare', url, clone]);
  const follower = await follow(url, join(folder, `operator-${count}`));
  const times: Times = { ours: [], native: [] };
  try {
    for (let round = 0; round < ROUNDS + 2; round++) {
      const before = git(clone, ['rev-parse', 'main']);
      const commit = commitFiles(repository, { [manifestPath(CHANGED)]: manifest(CHANGED, round + 2) });
      const native = async () => {
        git(clone, ['fetch', '--quiet', url, '+main:main']);
        git(clone, ['diff-tree', '-r', before, commit]);
      };
      const turns = [
        async () => times.native.push((await timed(native)).ms),
        async () => times.ours.push(await follower.planned()),
      ];
      for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
    }
  } finally {
    await follower.close();
    await server.close();
  }
  for (const list of Object.values(times) as number[][]) list.splice(0, 2);
  note(`${count}: ${median(times.ours).toFixed(1)} ms, git ${median(times.native).toFixed(1)} ms`);
  return times;
}

/** The operator up to its decisions; what they would start is started in memory. */
async function follow(url: string, folder: string) {
  const declarations = await openDeclarations(url, folder);
  const changed: ResourceId = `Workload/app-${CHANGED}`;
  const driver = createMemoryDriver();
  let planned: () => void = () => {};
  let generation = '';
  const controller = createController({
    now: Date.now,
    conditions: () => ({ operatorPaused: false, highestId: 0 }),
    driverOf: () => driver,
    runnable: async (id) => {
      const runnable = (await declarations.site.snapshots.resourceAt(declarations.head(), id))?.runnable;
      if (runnable === undefined) throw new Error(`${id} is not declared`);
      return runnable;
    },
    answer: async ({ question, rollout }) =>
      question.kind === 'precheck'
        ? { kind: 'prechecked', rollout: rollout.id, results: [] }
        : { kind: 'checked', rollout: rollout.id, stage: question.stage, pass: true, message: '' },
    publish: async () => {},
    decided(id, { next: { rollout } }) {
      if (id !== changed || rollout === undefined || rollout.plan.to === generation) return;
      generation = rollout.plan.to;
      planned();
    },
    failed: (id, what, error) => note(`${id}: ${what}: ${error}`),
    signal: new AbortController().signal,
  });
  controller.declare(await declarations.next());
  while (!controller.idle()) await new Promise((later) => setTimeout(later, 50));
  return {
    async planned(): Promise<number> {
      const start = performance.now();
      const done = new Promise<number>((resolve) => {
        planned = () => resolve(performance.now() - start);
      });
      declarations.hint();
      controller.declare(await declarations.next());
      const ms = await done;
      while (!controller.idle()) await new Promise((later) => setTimeout(later, 5));
      return ms;
    },
    async close() {
      controller.stop();
      await declarations.stopRouter();
      await declarations.close();
    },
  };
}

export function bench(): Promise<Figure[]> {
  return inFolder(async (folder) => {
    const [small, large] = [await measure(folder, SIZES[0]), await measure(folder, SIZES[1])];
    const native = medianRatio(small.ours, small.native);
    const growth = median(large.ours) / median(small.ours);
    return [
      {
        work: 'one changed manifest among 10,000: from push to plan ready',
        reach: `at most ${REACH.native} × a native \`git fetch\` + \`git diff-tree\` of the same commit`,
        seen: `${native.toFixed(2)} × (${median(small.ours).toFixed(0)} ms)`,
        held: native <= REACH.native,
      },
      {
        work: 'the same among 50,000',
        reach: `at most ${REACH.growth} × the time of 10,000`,
        seen: `${growth.toFixed(2)} × (${median(large.ours).toFixed(0)} ms)`,
        held: growth <= REACH.growth,
      },
    ];
  });
}
