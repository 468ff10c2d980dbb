/** What `npm start` runs: the operator on a copy of the examples, and then what to try. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ResourceId } from '../manifest/resource.ts';
import type { StatusDocument } from '../status/document.ts';
import type { Address } from '../target/local/router/launch.ts';
import { withCommits } from './declared.ts';
import { repositoryFolders } from './folders.ts';
import { makeConfigRepository } from './init.ts';
import { linesFrom } from './log.ts';
import { colours, note, print } from './print.ts';
import { type ConfigRepository, openRepository, resolveCommit } from './repository.ts';
import { routerOption, untilStopped } from './run.ts';
import { knownStatus, readStatuses } from './status-branch.ts';
import { healthText, table } from './status-view.ts';

export function registerDemo(program: Command): void {
  program
    .command('demo', { hidden: true })
    .addOption(routerOption())
    .action(async ({ router }: { router: Address }) => {
      const folder = resolve('demo-config');
      const isNew = !existsSync(folder);
      if (isNew) await makeConfigRepository(folder);
      print(isNew ? `Made the config repository ${folder}` : `The config repository ${folder} is used as it is`);
      const repository = await openRepository({ repo: folder });
      const folders = repositoryFolders(repository.key, {});
      const options = {
        repo: folder,
        path: '',
        intervalMs: 15_000,
        stateDir: folders.state,
        dataDir: folders.data,
        router,
        paused: false,
        once: false,
        acceptRewrite: false,
        log: linesFrom('info'),
      };
      process.exitCode = await untilStopped(options, () => {
        tellWhenSettled(repository, router).catch((error: Error) => note(error.message));
      });
    });
}

async function tellWhenSettled(repository: ConfigRepository, router: Address): Promise<void> {
  const commit = await resolveCommit(repository, `refs/heads/${repository.branch}`);
  const { resources } = await withCommits(repository.folder, '', (commits) => commits.load(commit));
  const hosts = new Map([...resources.values()].map(({ id, spec }) => [id, spec.host]));
  const statuses = await settled(repository, [...resources.keys()]);
  const rows = statuses.map(({ resource, health }) => [
    `  ${resource}`,
    healthText(health),
    `http://${hosts.get(resource)}:${router.port}`,
  ]);
  print(`\n${table([], rows)}\n\n${await whatToTry(repository.folder, router)}\n`);
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
async function whatToTry(folder: string, router: Address): Promise<string> {
  const { now, next } = await tomcatTags(folder);
  const main = resolve(process.argv[1] ?? '');
  const step = (text: string) => colours.dim(`# ${text}`);
  return `In a second terminal:

  cd ${quoted(folder)}
  alias sluice="node ${quoted(main)}"
  curl -H 'Host: tomcat.localhost' http://${router.host}:${router.port}

  ${step('edit and commit')}
  sed -i 's/image: tomcat:${now}/image: tomcat:${next}/' tomcat.yaml && git commit -am 'tomcat ${next}'
  ${step('watch')}
  sluice status --watch
  ${step('revert')}
  git revert --no-edit HEAD

Ctrl-C ends the operator; what runs goes on running.`;
}

/** The tag that is declared, and another one that there is an image of. */
async function tomcatTags(folder: string): Promise<{ now: string; next: string }> {
  const manifest = await readFile(join(folder, 'tomcat.yaml'), 'utf8').catch(() => '');
  const now = /^\s*image: tomcat:(\S+)/m.exec(manifest)?.[1] ?? '7';
  const tags = await readdir(join(folder, 'images/tomcat')).catch(() => []);
  return { now, next: tags.find((tag) => tag !== now) ?? '8' };
}

const quoted = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
