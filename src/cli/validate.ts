import { existsSync, realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { type Command, Option } from 'commander';
import { formatDiagnostic, githubAnnotation } from '../manifest/diagnostic.ts';
import { DEFAULT_IMAGES } from '../manifest/documents.ts';
import type { Diagnostic } from '../manifest/resource.ts';
import { declaredByFiles } from './declared.ts';
import { usage } from './failure.ts';
import { pathOption, type RepositoryOptions, repositoryOption } from './options.ts';
import { colours, note, print } from './print.ts';
import { openAnyBranch } from './repository.ts';
import { unhonoured } from './unhonoured.ts';

type Format = 'text' | 'json' | 'github';

interface ValidateOptions extends RepositoryOptions {
  path: string;
  format: Format;
}

export function registerValidate(program: Command): void {
  program
    .command('validate')
    .argument('[path...]', 'files or folders to look at; without one, the whole working tree')
    .description('find what is wrong in manifests, as they lie on disk; execute nothing')
    .addOption(repositoryOption())
    .addOption(pathOption())
    .addOption(new Option('--format <format>', 'how').choices(['text', 'json', 'github']).default('text'))
    .addHelpText(
      'after',
      `
The manifests around the named ones are read too, because they refer to each other and to images.
Exit status: 1 when there is an error; warnings alone are 0.

Examples:
  sluice validate
  sluice validate shop.yaml
  sluice validate --format github              # in a workflow: shown at the line it is about`,
    )
    .action(async (paths: string[], options: ValidateOptions) => {
      const checked = paths.length === 0 ? [await wholeTree(options)] : byRoot(paths);
      const found: Diagnostic[] = [];
      let resources = 0;
      for (const { root, only } of checked) {
        const declared = await declaredByFiles(root, options.path);
        const isMeant = (file: string) => only.some((path) => isWithin(join(root, file), path));
        const meant = [...declared.resources.values()].filter(({ place }) => isMeant(place.file));
        resources += meant.length;
        const told = await unhonoured(meant, declared, (file) => readFile(join(root, file)));
        found.push(...[...declared.diagnostics.filter(({ place }) => isMeant(place.file)), ...told].map(from(root)));
      }
      report(found, options.format, resources);
      if (found.some(({ severity }) => severity === 'error')) process.exitCode = 1;
    });
}

/** A config repository's folder, and the paths in it that were asked for. */
interface Checked {
  root: string;
  only: string[];
}

async function wholeTree(options: ValidateOptions): Promise<Checked> {
  const { folder, workingTree } = await openAnyBranch(options);
  if (!workingTree) throw usage(`${folder} has no working tree to look at; name files or folders`);
  return { root: folder, only: [folder] };
}

function byRoot(paths: string[]): Checked[] {
  const roots = new Map<string, string[]>();
  for (const given of paths) {
    if (!existsSync(given)) throw usage(`there is no file or folder ${given}`);
    const path = realpathSync(given);
    const root = rootOf(path);
    roots.set(root, [...(roots.get(root) ?? []), path]);
  }
  return [...roots].map(([root, only]) => ({ root, only }));
}

/** The nearest folder, from the path upwards, that is a repository or holds images: what references start from. */
function rootOf(path: string): string {
  for (let folder = path; ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.git')) || existsSync(join(folder, DEFAULT_IMAGES))) return folder;
    if (folder === dirname(folder)) return dirname(path);
  }
}

const isWithin = (file: string, path: string): boolean => file === path || file.startsWith(path + sep);

/** Places as seen from where the command was typed, so that they can be clicked. */
const from =
  (root: string) =>
  (diagnostic: Diagnostic): Diagnostic => {
    const file = relative(process.cwd(), resolve(root, diagnostic.place.file));
    return { ...diagnostic, place: { ...diagnostic.place, file } };
  };

const FORMATS: Record<Format, (found: Diagnostic[]) => string> = {
  text: (found) => found.map(formatDiagnostic).join('\n'),
  json: (found) => JSON.stringify(found, null, 2),
  github: (found) => found.map(githubAnnotation).join('\n'),
};

function report(found: Diagnostic[], format: Format, resources: number): void {
  const text = FORMATS[format](found);
  if (text !== '') print(text);
  const errors = found.filter(({ severity }) => severity === 'error').length;
  const warnings = found.length - errors;
  if (errors > 0) note(colours.red(`${count(errors, 'error')}, ${count(resources, 'valid resource')}`));
  else if (warnings > 0) note(colours.yellow(`${count(resources, 'resource')}, ${count(warnings, 'warning')}`));
  else note(colours.green(`${count(resources, 'resource')}, nothing wrong`));
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;
