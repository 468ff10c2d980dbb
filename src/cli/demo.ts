/** What `npm start` runs: the operator on a copy of the examples, and then what to try. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ResourceId } from '../manifest/resource.ts';
import type { StatusDocument } from '../status/document.ts';
import { type Address, routerDirectory } from '../target/local/router/launch.ts';
import { dial } from '../target/local/router/wire.ts';
import { withCommits } from './declared.ts';
import { repositoryFolders } from './folders.ts';
import { git } from './git.ts';
import { makeConfigRepository } from './init.ts';
import { type Live, openLive } from './live.ts';
import { linesFrom } from './log.ts';
import { colours, print } from './print.ts';
import { type ConfigRepository, openRepository, resolveCommit } from './repository.ts';
import { DEFAULT_ROUTER, routerOption, untilStopped } from './run.ts';
import { knownStatus, readStatuses } from './status-branch.ts';
import { healthText, moving, table } from './status-view.ts';

export function registerDemo(program: Command): void {
  program
    .command('demo', { hidden: true })
    .addOption(routerOption().default(undefined))
    .action(async ({ router }: { router?: Address }) => {
      const repository = await demoRepository();
      const folders = repositoryFolders(repository.key, {});
      const live = openLive();
      const options = {
        repo: repository.folder,
        path: '',
        intervalMs: 15_000,
        stateDir: folders.state,
        dataDir: folders.data,
        router: router ?? (await whereToServe(folders.data)),
        paused: false,
        once: false,
        acceptRewrite: false,
        log: linesFrom('info', live.line),
      };
      const trouble = (error: Error) => live.line(error.message);
      const started = () => {
        followProgress(repository, live).catch(trouble);
        tellWhenSettled(repository, folders.data, live).catch(trouble);
      };
      process.exitCode = await untilStopped(options, { started }).finally(live.end);
    });
}

async function demoRepository(): Promise<ConfigRepository> {
  const folder = resolve('demo-config');
  const isNew = !existsSync(folder);
  if (isNew) {
    const { known } = await makeConfigRepository(folder);
    if (!known) await introduce(folder);
  }
  print(isNew ? `Made the config repository ${folder}\n\n` : `The config repository ${folder} is used as it is\n\n`);
  return openRepository({ repo: folder });
}

/** To git, so that the commits to try can be made on a machine where nobody has done that. In this repository only. */
async function introduce(folder: string): Promise<void> {
  await git(folder, ['config', 'user.name', 'Demo']);
  await git(folder, ['config', 'user.email', 'demo@localhost']);
}

/** Where its router serves already; else the usual address, or any free port where another program has that. */
async function whereToServe(dataDir: string): Promise<Address> {
  return (
    (await addressOf(dataDir)) ?? ((await isFree(DEFAULT_ROUTER)) ? DEFAULT_ROUTER : { ...DEFAULT_ROUTER, port: 0 })
  );
}

async function addressOf(dataDir: string): Promise<Address | undefined> {
  const router = await dial(routerDirectory(dataDir));
  router?.close();
  return router && { host: router.health.host, port: router.health.port };
}

function isFree({ host, port }: Address): Promise<boolean> {
  const server = createServer();
  return new Promise((answer) => {
    server.once('error', () => answer(false));
    server.listen(port, host, () => server.close(() => answer(true)));
  });
}

/** A bar for each resource that moves, below what has happened. */
async function followProgress(repository: ConfigRepository, live: Live): Promise<never> {
  let tip: string | undefined;
  for (;;) {
    const branch = await knownStatus(repository);
    if (branch !== undefined && branch.tip !== tip) live.show(moving(await readStatuses(repository, branch)));
    tip = branch?.tip;
    await sleep(200, undefined, { ref: false });
  }
}

async function tellWhenSettled(repository: ConfigRepository, dataDir: string, live: Live): Promise<void> {
  const commit = await resolveCommit(repository, `refs/heads/${repository.branch}`);
  const { resources } = await withCommits(repository.folder, '', (commits) => commits.load(commit));
  const hosts = new Map([...resources.values()].flatMap(({ id, spec }) => ('host' in spec ? [[id, spec.host]] : [])));
  const statuses = await settled(repository, [...resources.keys()]);
  const port = (await addressOf(dataDir))?.port ?? DEFAULT_ROUTER.port;
  const urlOf = (id: ResourceId) => `http://${hosts.get(id)}:${port}`;
  const rows = statuses.map(({ resource, health, message }) => [
    ...[`  ${resource}`, healthText(health), hosts.has(resource) ? urlOf(resource) : message],
  ]);
  live.line(`\nUp:\n\n${table([], rows)}\n\n${await whatToTry(repository.folder, urlOf('Workload/tomcat'))}\n`);
}

/** Waits until none of them moves any more. */
async function settled(repository: ConfigRepository, ids: ResourceId[]): Promise<StatusDocument[]> {
  for (;;) {
    const branch = await knownStatus(repository);
    const statuses = (branch ? await readStatuses(repository, branch) : []).filter(({ resource }) =>
      ids.includes(resource),
    );
    if (statuses.length === ids.length && statuses.every(({ health }) => health !== 'Progressing')) return statuses;
    await sleep(300, undefined, { ref: false });
  }
}

/** For the shell of a second terminal, word for word. */
async function whatToTry(folder: string, url: string): Promise<string> {
  const { now, next } = await tomcatTags(folder);
  const main = resolve(process.argv[1] ?? '');
  const step = (text: string) => colours.dim(`# ${text}`);
  return `To try it, in a second terminal:

  cd ${quoted(folder)}
  alias sluice=${quoted(`node ${quoted(main)}`)}
  curl ${url}

  ${step('edit and commit: an upgrade, one replica at a time')}
  sed -i 's/image: tomcat:${now}/image: tomcat:${next}/' tomcat.yaml && git commit -am 'tomcat ${next}'
  ${step('watch; Ctrl-C ends it')}
  sluice status --watch
  ${step('revert: back, just as carefully')}
  git revert --no-edit HEAD

More in ${relative(process.cwd(), join(folder, 'README.md'))}. Ctrl-C here ends the operator; what runs goes on running.`;
}

/** The tag that is declared, and another one that there is an image of. */
async function tomcatTags(folder: string): Promise<{ now: string; next: string }> {
  const manifest = await readFile(join(folder, 'tomcat.yaml'), 'utf8').catch(() => '');
  const now = /^\s*image: tomcat:(\S+)/m.exec(manifest)?.[1] ?? '7';
  const tags = await readdir(join(folder, 'images/tomcat')).catch(() => []);
  return { now, next: tags.find((tag) => tag !== now) ?? '8' };
}

const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
