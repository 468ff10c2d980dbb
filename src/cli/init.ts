import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { usage } from './failure.ts';
import { askGit, git } from './git.ts';
import { packageRoot } from './package.ts';
import { print } from './print.ts';

export function registerInit(program: Command): void {
  program
    .command('init')
    .argument('<dir>', 'the folder to make; an empty one may be there already')
    .description('make a config repository to start from: a small shop with one example of every kind')
    .addHelpText(
      'after',
      `
Example:
  sluice init shop-config && cd shop-config
  sluice run`,
    )
    .action(async (dir: string) => {
      const { known } = await makeConfigRepository(resolve(dir));
      const shown = relative(process.cwd(), resolve(dir)) || '.';
      print(`Made the config repository ${shown}, with a first commit on main. Next:

  ${shown === '.' ? '' : `cd ${shown}\n  `}sluice run                                   # the operator; leave it running
  sluice status --watch                        # in a second terminal: what it does
  $EDITOR tomcat.yaml && git commit -am 'tomcat 8'${known ? '' : UNKNOWN}`);
    });
}

const UNKNOWN = `

Git does not know you yet, so tell it once, before you commit:

  git config --global user.name 'Your Name'
  git config --global user.email you@example.com`;

/**
 * All or nothing: the folder appears, complete and committed, in one rename. Throws when there is something in it.
 * `known`: git knows who commits here.
 */
export async function makeConfigRepository(folder: string): Promise<{ known: boolean }> {
  if (existsSync(folder) && (await readdir(folder)).length > 0) {
    throw usage(`${folder} is not empty; name a folder that does not exist yet`);
  }
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(join(dirname(folder), `.${basename(folder)}-`));
  try {
    await chmod(draft, 0o777 & ~process.umask());
    await cp(join(packageRoot, 'examples-repo'), draft, { recursive: true });
    await cp(join(packageRoot, 'schemas'), join(draft, '.schemas'), { recursive: true, filter: isFolderOrSchema });
    await git(draft, ['init', '--quiet', '--initial-branch=main']);
    await git(draft, ['add', '--all']);
    const known = Boolean(await askGit(draft, ['config', 'user.email']));
    const author = known ? [] : ['-c', 'user.name=sluice init', '-c', 'user.email=sluice@localhost'];
    await git(draft, [...author, 'commit', '--quiet', '--message=A shop to start from']);
    await rename(draft, folder);
    return { known };
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

const isFolderOrSchema = (path: string): boolean => !/\.(?!json$)[^./]+$/.test(basename(path));
