/**
 * From a pushed commit that changes one manifest of many until the plan of its rollout is there: the poll, the fetch, the
 * comparison, the parse, what each resource is told, the decision. Beside it `git fetch` and `git diff-tree` of the same commit by
 * another clone. The operators of both sizes are processes of their own and take turns.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ResourceId } from '../src/manifest/resource.ts';
import { commitFiles, git } from '../test/support/git-servers.ts';
import { type Figure, inFolder, median, medianRatio, nextMessage, note, timed } from './harness.ts';
import { createEngine } from './support/engine.ts';
import { startGitServer } from './support/git-server.ts';
import { configRepository, manifest, manifestPath } from './support/manifests.ts';
import { openDeclarations } from './support/site.ts';

const SIZES = [10_000, 50_000] as const;
const ROUNDS = 15;
const WARM_UP = 3;
const REACH = { native: 1.5, growth: 2 };
/** A Workload: of ten manifests the third to the tenth are. */
const CHANGED = 4232;
const SELF = fileURLToPath(import.meta.url);

/** In its own process: the operator up to its decisions; what they would start is started in memory. */
async function follow(url: string, folder: string): Promise<void> {
  const declarations = await openDeclarations(url, folder);
  const changed: ResourceId = `Workload/app-${CHANGED}`;
  let planned: (revision: string) => void = () => {};
  const { controller, tell } = createEngine(declarations.site, {
    publish: async () => {},
    decided(id, { next: { rollout } }) {
      if (id === changed && rollout !== undefined) planned(rollout.plan.to);
    },
  });
  const settled = async () => {
    while (!controller.idle()) await setTimeout(20);
    return controller.state(changed)?.rollout?.plan.to;
  };
  tell(await declarations.next());
  let revision = await settled();
  process.on('message', async (message) => {
    if (message === 'end') {
      controller.stop();
      await declarations.stopRouter();
      await declarations.close();
      process.disconnect();
      return;
    }
    const start = performance.now();
    const done = new Promise<number>((resolve) => {
      planned = (to) => {
        if (to !== revision) resolve(performance.now() - start);
      };
    });
    declarations.hint();
    tell(await declarations.next());
    const ms = await done;
    revision = await settled();
    process.send?.(ms);
  });
  process.send?.('ready');
}

async function contender(root: string, server: string, count: number) {
  const repository = configRepository(root, count);
  const url = `${server}/config-${count}.git`;
  const clone = join(root, `native-${count}`);
  git(root, ['clone', '--quiet', '--bare', url, clone]);
  const operator = fork(SELF, [url, join(root, `operator-${count}`)]);
  await nextMessage(operator);
  const seen = { ours: [] as number[], native: [] as number[] };
  return {
    ...seen,
    async round(edition: number): Promise<void> {
      const before = git(clone, ['rev-parse', 'main']);
      const commit = commitFiles(repository, { [manifestPath(CHANGED)]: manifest(CHANGED, edition) });
      const native = async () => {
        git(clone, ['fetch', '--quiet', url, '+main:main']);
        git(clone, ['diff-tree', '-r', before, commit]);
      };
      const ours = async () => {
        operator.send('look');
        seen.ours.push(Number(await nextMessage(operator)));
      };
      const theirs = async () => seen.native.push((await timed(native)).ms);
      for (const turn of edition % 2 === 0 ? [ours, theirs] : [theirs, ours]) await turn();
    },
    warm(): void {
      for (const samples of Object.values(seen)) samples.length = 0;
    },
    async close(): Promise<void> {
      operator.send('end');
      await once(operator, 'exit');
    },
  };
}

async function measure(folder: string) {
  const server = await startGitServer(folder);
  const [small, large] = [
    await contender(folder, server.url, SIZES[0]),
    await contender(folder, server.url, SIZES[1]),
  ] as const;
  try {
    for (let round = 0; round < WARM_UP + ROUNDS; round++) {
      if (round === WARM_UP) for (const each of [small, large]) each.warm();
      for (const each of [small, large]) await each.round(round + 2);
    }
    return { small, large };
  } finally {
    await small.close();
    await large.close();
    await server.close();
  }
}

export async function bench(): Promise<Figure[]> {
  const { small, large } = await inFolder(measure);
  for (const { ours, native } of [small, large])
    note(`ours ${median(ours).toFixed(1)} ms, git ${median(native).toFixed(1)} ms`);
  const native = medianRatio(small.ours, small.native);
  const growth = medianRatio(large.ours, small.ours);
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
}

const [, script, url, folder] = process.argv;
if (script === SELF && url !== undefined && folder !== undefined) await follow(url, folder);
