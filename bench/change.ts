/**
 * From a pushed commit that changes one manifest of many until the plan of its rollout is there: the poll, the fetch, the comparison,
 * the parse, what each resource is told, the decision. Beside it `git fetch` and `git diff-tree` of the same commit by another clone.
 */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { ResourceId } from '../src/manifest/resource.ts';
import { commitFiles, git } from '../test/support/git-servers.ts';
import { type Figure, inFolder, median, medianRatio, note, timed } from './harness.ts';
import { createEngine } from './support/engine.ts';
import { startGitServer } from './support/git-server.ts';
import { configRepository, manifest, manifestPath } from './support/manifests.ts';
import { openDeclarations } from './support/site.ts';

const SIZES = [10_000, 50_000] as const;
const ROUNDS = 15;
const REACH = { native: 1.5, growth: 2 };
/** A Workload: of ten manifests the third to the tenth are. */
const CHANGED = 4232;

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
  let planned: (revision: string) => void = () => {};
  const { controller, tell } = createEngine(declarations.site, {
    publish: async () => {},
    decided(id, { next: { rollout } }) {
      if (id === changed && rollout !== undefined) planned(rollout.plan.to);
    },
  });
  tell(await declarations.next());
  while (!controller.idle()) await setTimeout(50);
  let revision = controller.state(changed)?.rollout?.plan.to;
  return {
    async planned(): Promise<number> {
      const start = performance.now();
      const done = new Promise<number>((resolve) => {
        planned = (to) => {
          if (to !== revision) resolve(performance.now() - start);
        };
      });
      declarations.hint();
      tell(await declarations.next());
      const ms = await done;
      while (!controller.idle()) await setTimeout(5);
      revision = controller.state(changed)?.rollout?.plan.to;
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
