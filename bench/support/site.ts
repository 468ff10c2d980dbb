/** The operator's way from the config repository to what each resource is told, without carrying anything out. */
import { join } from 'node:path';
import type { Oid, ResourceId } from '../../src/manifest/resource.ts';
import type { Told } from '../../src/operator/declarations.ts';
import type { Log, OperatorOptions } from '../../src/operator/options.ts';
import { systemParts } from '../../src/operator/parts.ts';
import { createRegister } from '../../src/operator/register.ts';
import { openSite, type Site } from '../../src/operator/site.ts';
import { stopRouter } from '../../src/target/local/router/client.ts';

export interface Declarations {
  site: Site;
  /** What the next head of the branch tells anew. */
  next(): Promise<Map<ResourceId, Told>>;
  /** The commit that was taken up last. */
  head(): Oid;
  /** Looks at the remote at once. */
  hint(): void;
  /** Ends the router too, which outlives an operator. */
  stopRouter(): Promise<void>;
  close(): Promise<void>;
}

const warn: Log = (level, message) => {
  if (level === 'warn' || level === 'error') process.stderr.write(`  ${level}: ${message}\n`);
};

const operatorOptions = (repo: string, folder: string): OperatorOptions => ({
  repo,
  path: '',
  intervalMs: 3_600_000,
  stateDir: join(folder, 'state'),
  dataDir: join(folder, 'data'),
  router: { host: '127.0.0.1', port: 0 },
  paused: false,
  once: false,
  acceptRewrite: false,
  log: warn,
});

export async function openDeclarations(repo: string, folder: string): Promise<Declarations> {
  const stopping = new AbortController();
  let head: Oid | undefined;
  const site = await openSite(operatorOptions(repo, folder), systemParts, stopping.signal, {
    changed() {},
    head: () => head,
  });
  const register = createRegister(site.snapshots, site.commitsOf);
  const arrived: Map<ResourceId, Told>[] = [];
  let waiting: ((told: Map<ResourceId, Told>) => void) | undefined;

  async function follow(commit: Oid): Promise<void> {
    const declared = await site.snapshots.load(commit);
    await site.targets.declare(declared.targets, declared.hostTargets);
    const told = await register.takeUp(declared, () => undefined);
    head = commit;
    if (waiting === undefined) arrived.push(told);
    else waiting(told);
    waiting = undefined;
  }

  const feed = await site.openFeed(async (event) => {
    if (event.kind !== 'head') throw new Error(`the feed tells of ${event.kind}`);
    await follow(event.commit);
  });
  return {
    site,
    next: () => {
      const first = arrived.shift();
      return first === undefined ? new Promise((resolve) => (waiting = resolve)) : Promise.resolve(first);
    },
    head: () => head ?? '',
    hint: feed.hint,
    stopRouter: () => stopRouter(join(folder, 'data')),
    async close() {
      stopping.abort();
      await feed.close();
      await site.close();
    },
  };
}
