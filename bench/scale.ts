/**
 * A thousand services upgraded by one commit, on a target in memory: all of the operator but its target, from the push of
 * the commit until every rollout has succeeded and is pushed with its tag. In a process of its own, whose memory is its own.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/clock.ts';
import { releaseLater } from '../src/operator/memory.ts';
import { createPublisher } from '../src/operator/publisher.ts';
import { bareRepository, commitFiles, git } from '../test/support/git-servers.ts';
import { type Figure, inFolder, median, nextMessage, note } from './harness.ts';
import { createEngine } from './support/engine.ts';
import { startGitServer } from './support/git-server.ts';
import { openDeclarations } from './support/site.ts';

const SERVICES = 1000;
const ROUNDS = 3;
const REACH = { seconds: 5, mebibytes: 150 };
const SELF = fileURLToPath(import.meta.url);

const service = (index: number, edition: number): string => `apiVersion: sluice/v1
kind: Service
metadata: {name: shop-${index}}
spec:
  replicas: 2
  traffic: {onDeploy: all}
  template:
    spec:
      containers:
        - name: web
          image: app:1
          ports: [{containerPort: 8080}]
          env: [{name: EDITION, value: "${edition}"}]
          readinessProbe: {httpGet: {path: /ready, port: 8080}}
`;

const services = (edition: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: SERVICES }, (_, index) => [`team-${index % 20}/shop-${index}.yaml`, service(index, edition)]),
  );

const IMAGE = { 'images/app/1/image.yaml': 'command: [node, server.mjs]\n', 'images/app/1/server.mjs': 'export {};\n' };

interface Seen {
  cpuSeconds: number;
  peakMebibytes: number;
}

/** The operator in its own process; what it would start is there at once. */
async function operate(url: string, folder: string): Promise<void> {
  const declarations = await openDeclarations(url, folder);
  const { site } = declarations;
  const publisher = createPublisher({
    clock: systemClock,
    head: () => ({ commit: declarations.head(), at: Date.now() }),
    prepare: site.remote.prepare,
    push: site.remote.push,
    failed: (error) => note(String(error)),
    intervalMs: 10_000,
  });
  const succeeded = new Map<string, number>();
  const { controller, tell } = createEngine(site, {
    async publish(change) {
      const publication = site.remote.publication(change);
      if (change.first) await publisher.first(publication);
      else publisher.gather(publication);
    },
    decided(id, { next: { rollout } }) {
      if (rollout?.phase === 'Succeeded') succeeded.set(id, rollout.id);
    },
  });
  const settled = async (rollout: number) => {
    while (succeeded.size < SERVICES || [...succeeded.values()].some((id) => id < rollout)) await setTimeout(20);
    while (!controller.idle()) await setTimeout(20);
    await publisher.flush();
  };
  tell(await declarations.next());
  await settled(1);
  // As an operator does some seconds after its first commit.
  await releaseLater();
  resetPeak();
  process.send?.('ready');
  await once(process, 'message');
  const before = process.cpuUsage();
  declarations.hint();
  tell(await declarations.next());
  await settled(2);
  const { user, system } = process.cpuUsage(before);
  const seen: Seen = { cpuSeconds: (user + system) / 1e6, peakMebibytes: peak() };
  process.send?.(seen);
  controller.stop();
  publisher.close();
  await declarations.stopRouter();
  await declarations.close();
  process.disconnect();
}

const resetPeak = () => writeFileSync('/proc/self/clear_refs', '5');
const peak = (): number => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) / 1024;

async function sample(folder: string): Promise<Seen> {
  const repository = bareRepository(folder, 'config.git');
  commitFiles(repository, { ...IMAGE, ...services(1) });
  const server = await startGitServer(folder);
  try {
    const operator = fork(SELF, ['--operator', `${server.url}/config.git`, join(folder, 'operator')]);
    await nextMessage(operator);
    commitFiles(repository, services(2));
    operator.send('look');
    const seen = (await nextMessage(operator)) as Seen;
    await once(operator, 'exit');
    const tags = git(repository, ['tag', '-l', 'sluice/service/*/2']).split('\n').length;
    if (tags !== SERVICES) throw new Error(`${tags} of ${SERVICES} rollouts were tagged`);
    return seen;
  } finally {
    await server.close();
  }
}

export async function bench(): Promise<Figure[]> {
  const seen: Seen[] = [];
  for (let round = 0; round < ROUNDS; round++) seen.push(await inFolder(sample));
  const seconds = median(seen.map(({ cpuSeconds }) => cpuSeconds));
  const mebibytes = median(seen.map(({ peakMebibytes }) => peakMebibytes));
  return [
    {
      work: '1,000 services upgraded by one commit, on a simulated target',
      reach: `at most ${REACH.seconds} s of CPU, at most ${REACH.mebibytes} MiB`,
      seen: `${seconds.toFixed(1)} s of CPU, at most ${mebibytes.toFixed(0)} MiB resident`,
      held: seconds <= REACH.seconds && mebibytes <= REACH.mebibytes,
    },
  ];
}

const [, script, mode, url, folder] = process.argv;
if (script === SELF && mode === '--operator' && url !== undefined && folder !== undefined) await operate(url, folder);
