/** Runs benchmarks, each in a process of its own, and prints their figures as a table; see `harness.ts`. */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { type Figure, machine } from './harness.ts';

/** In the order of the table. */
const BENCHMARKS = [
  'poll',
  'change',
  'start',
  'status',
  'upgrade',
  'requests',
  'router',
  'idle',
  'walk',
  'scale',
  'fleet-ssh',
  'docker',
  'kubernetes',
];
const REPORT = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));
const [BEGIN, END] = ['<!-- figures -->', '<!-- /figures -->'];

async function runOne(name: string): Promise<Figure[]> {
  process.stderr.write(`${name}\n`);
  const child = fork(fileURLToPath(import.meta.url), ['--child', name], { execArgv: [] });
  let figures: Figure[] | undefined;
  child.on('message', (message) => {
    figures = message as Figure[];
  });
  const [code] = await once(child, 'close');
  return figures ?? [{ work: name, reach: 'to be measured', seen: `ended with ${code}`, held: false }];
}

async function asChild(name: string): Promise<void> {
  const module = (await import(new URL(`${name}.js`, import.meta.url).href)) as { bench(): Promise<Figure[]> };
  const figures = await module.bench();
  process.send?.(figures, () => process.exit());
}

function print(figures: Figure[]): void {
  const table = new Table({
    head: ['work', 'reach', 'seen', ''],
    colWidths: [36, 36, 40, 6],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { work, reach, seen, held } of figures) table.push([work, reach, seen, held ? 'ok' : 'no']);
  console.log(table.toString());
}

async function write(figures: Figure[]): Promise<void> {
  const git = execFileSync('git', ['--version']).toString().trim();
  const cell = (text: string) => text.replaceAll('|', '\\|');
  const rows = figures.map(
    ({ work, reach, seen, held }) => `| ${cell(work)} | ${cell(reach)} | ${cell(seen)} | ${held ? 'yes' : '**no**'} |`,
  );
  const lines = [
    BEGIN,
    `Measured on ${new Date().toISOString().slice(0, 10)}: ${machine(git)}.`,
    '',
    '| work | reach | seen | reached |',
    '| --- | --- | --- | --- |',
    ...rows,
    END,
  ];
  const text = await readFile(REPORT, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before < 0 || after < before) throw new Error(`${REPORT}: expected ${BEGIN} and, after it, ${END}`);
  await writeFile(REPORT, text.slice(0, before) + lines.join('\n') + text.slice(after + END.length));
}

async function main(args: string[]): Promise<void> {
  const names = args.filter((argument) => argument !== '--write');
  const unknown = names.filter((name) => !BENCHMARKS.includes(name));
  if (unknown.length > 0)
    throw new Error(`${unknown.join(', ')}: no such benchmark; there are ${BENCHMARKS.join(', ')}`);
  if (args.includes('--write') && names.length > 0) throw new Error('--write takes all benchmarks; name none');
  const figures: Figure[] = [];
  for (const name of names.length > 0 ? names : BENCHMARKS) figures.push(...(await runOne(name)));
  print(figures);
  if (args.includes('--write')) await write(figures);
  if (figures.some(({ held }) => !held)) process.exitCode = 1;
}

const [first, name, ...rest] = process.argv.slice(2);
if (first === '--child') await asChild(name ?? '');
else await main([first, name, ...rest].filter((argument) => argument !== undefined));
