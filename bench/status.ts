/**
 * 1,000 resources change status at once: rollouts begin for all of them, and their intent must be durable before anything is
 * done. From the first decision until the last of them is pushed.
 */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { systemClock } from '../src/clock.ts';
import { createPublisher } from '../src/operator/publisher.ts';
import { type Figure, inFolder, median, note } from './harness.ts';
import { createEngine } from './support/engine.ts';
import { startGitServer } from './support/git-server.ts';
import { configRepository } from './support/manifests.ts';
import { openDeclarations } from './support/site.ts';

/** Of ten manifests nine are resources. */
const MANIFESTS = 1112;
const RESOURCES = 1000;
const ROUNDS = 5;
const REACH = { each: 3, pushes: 2 };

interface Sample {
  ms: number;
  pushes: number;
}

async function sample(repo: string, folder: string): Promise<Sample> {
  const declarations = await openDeclarations(repo, folder);
  const { site } = declarations;
  const told = new Map([...(await declarations.next())].slice(0, RESOURCES));
  let pushes = 0;
  let durable = 0;
  let done: (sample: Sample) => void = () => {};
  const result = new Promise<Sample>((resolve) => {
    done = resolve;
  });
  const publisher = createPublisher({
    clock: systemClock,
    head: () => ({ commit: declarations.head(), at: Date.now() }),
    prepare: site.remote.prepare,
    async push(write, wishes) {
      pushes++;
      return await site.remote.push(write, wishes, false);
    },
    failed: (error) => note(String(error)),
    intervalMs: 10_000,
  });
  const { controller, tell } = createEngine(site, {
    async publish(change) {
      const publication = site.remote.publication(change);
      if (!change.first) return publisher.gather(publication);
      await publisher.first(publication);
      if (++durable === RESOURCES) done({ ms: performance.now() - start, pushes });
    },
    decided() {},
  });
  const start = performance.now();
  tell(told);
  const seen = await result;
  while (!controller.idle()) await setTimeout(20);
  controller.stop();
  await publisher.flush();
  await declarations.stopRouter();
  await declarations.close();
  return seen;
}

export function bench(): Promise<Figure[]> {
  return inFolder(async (folder) => {
    const samples: Sample[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const root = join(folder, `round-${round}`);
      configRepository(root, MANIFESTS);
      const server = await startGitServer(root);
      try {
        samples.push(await sample(`${server.url}/config-${MANIFESTS}.git`, join(root, 'operator')));
      } finally {
        await server.close();
      }
    }
    const each = median(samples.map(({ ms }) => ms / RESOURCES));
    const pushes = Math.max(...samples.map((one) => one.pushes));
    return [
      {
        work: '1,000 resources change status at once',
        reach: `at most ${REACH.each} ms each, at most ${REACH.pushes} pushes`,
        seen: `${each.toFixed(2)} ms each, ${pushes} ${pushes === 1 ? 'push' : 'pushes'}`,
        held: each <= REACH.each && pushes <= REACH.pushes,
      },
    ];
  });
}
