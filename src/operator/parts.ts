/** What an operator is put together from: the parts that meet the system, unless a simulation has others. */
import { existsSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pRetry from 'p-retry';
import { type Clock, systemClock } from '../clock.ts';
import { type Clone, openClone } from '../git/clone.ts';
import { materialize } from '../git/materialize.ts';
import type { ResourceId } from '../manifest/resource.ts';
import type { Decision } from '../rollout/decision.ts';
import { nextEpoch } from '../target/local/epoch.ts';
import { openRouter } from '../target/local/router/client.ts';
import { startHeartbeat } from './heartbeat.ts';
import { type KeptParses, openKeptParses } from './kept-parses.ts';
import { releaseLater } from './memory.ts';
import type { OperatorOptions } from './options.ts';
import { secretsFrom } from './secrets.ts';
import { createTargets, type Targets } from './targets.ts';

export interface Parts {
  clock: Clock;
  openClone(options: OperatorOptions): Promise<Clone>;
  openParses(options: OperatorOptions): Promise<KeptParses>;
  /** The least epoch that no target would refuse. */
  nextEpoch(options: OperatorOptions): number;
  openTargets(
    options: OperatorOptions,
    clone: Clone,
    epoch: number,
    changed: (id: ResourceId) => void,
  ): Promise<Targets>;
  /** Asks until it does not fail, for as long as what it fails with passes by itself. */
  patiently<T>(ask: () => Promise<T>, passes: (error: Error) => boolean, signal: AbortSignal): Promise<T>;
  paused(options: OperatorOptions): PauseSwitch;
  /** Told of everything that is decided. */
  decided(id: ResourceId, decision: Decision): void;
  /** Absent: whoever stands by takes over. */
  startHeartbeat?: typeof startHeartbeat;
  /** The first commit was taken up, which takes more memory than anything after it. */
  releaseMemory(): void;
}

/** Whether nothing new is to be started, at this moment. */
export interface PauseSwitch {
  isOn(): boolean;
  /** Calls back when it may have been switched; what it gives back ends that. */
  watch(changed: () => void): () => void;
}

export const systemParts: Parts = {
  clock: systemClock,
  async openClone({ stateDir, repo }) {
    await keepToOneself(stateDir);
    return await openClone({ stateDir, repo });
  },
  openParses: ({ stateDir }) => openKeptParses(join(stateDir, 'parses')),
  nextEpoch: ({ dataDir, leastEpoch = 1 }) => Math.max(leastEpoch, nextEpoch(join(dataDir, 'targets'))),
  openTargets,
  patiently: (ask, passes, signal) =>
    pRetry(ask, {
      ...{ retries: Number.POSITIVE_INFINITY, minTimeout: 1000, maxTimeout: 60_000, randomize: true, signal },
      shouldRetry: ({ error }) => passes(error),
    }),
  paused: pauseFile,
  decided() {},
  startHeartbeat,
  releaseMemory: () => void releaseLater(),
};

/** What was fetched is for the operator's user alone. A folder of somebody else's that may be written to stays as it is. */
async function keepToOneself(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700).catch(() => undefined);
}

async function openTargets(
  options: OperatorOptions,
  { objects }: Clone,
  epoch: number,
  changed: (id: ResourceId) => void,
): Promise<Targets> {
  const { dataDir, log, runAs } = options;
  const router = await openRouter({ dataDir, listen: options.router, epoch });
  const targets = createTargets({
    images: { materialize: (tree, directory) => materialize(objects, tree, directory) },
    secrets: secretsFrom(options.secretsDir),
    ...{ dataDir, router, epoch, log, changed },
    ...(runAs !== undefined && { runAs }),
  });
  return {
    ...targets,
    async close() {
      await targets.close();
      await router.close();
    },
  };
}

/** `--paused`, or a file `PAUSED` in the data folder, which may come and go. */
function pauseFile({ paused, dataDir }: OperatorOptions): PauseSwitch {
  return {
    isOn: () => paused || existsSync(join(dataDir, 'PAUSED')),
    watch(changed) {
      const poll = setInterval(changed, 1000);
      poll.unref();
      return () => clearInterval(poll);
    },
  };
}
