/**
 * How long an operator takes from the start of its process until it knows what each of 10,000 manifests is to be told, beside the
 * `yaml` parse of them alone. Every sample is a process of its own, so that loading and warming up count.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stopRouter } from '../src/target/local/router/client.ts';
import { type Figure, inFolder, median, medianRatio, note } from './harness.ts';
import { configRepository, manifest } from './support/manifests.ts';
import { openDeclarations } from './support/site.ts';

const MANIFESTS = 10_000;
const ROUNDS = 5;
const REACH = { first: 1.2, kept: 0.15 };

/** Milliseconds since the process began. */
async function startOperator(repo: string, folder: string): Promise<number> {
  const { next, close } = await openDeclarations(repo, folder);
  const told = await next();
  const ms = performance.now();
  if (told.size !== (MANIFESTS * 9) / 10) throw new Error(`${told.size} resources`);
  await close();
  return ms;
}

/** Milliseconds of the parse alone. */
async function parseAlone(): Promise<number> {
  const { parse } = await import('yaml');
  const texts = Array.from({ length: MANIFESTS }, (_, index) => manifest(index));
  const start = performance.now();
  for (const text of texts) parse(text);
  return performance.now() - start;
}

const SELF = fileURLToPath(import.meta.url);

async function sample(...args: string[]): Promise<number> {
  const child = spawn(process.execPath, [SELF, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said: Buffer[] = [];
  child.stdout.on('data', (chunk) => said.push(chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${args[0]} ended with ${code}`);
  return Number(Buffer.concat(said));
}

export function bench(): Promise<Figure[]> {
  return inFolder(async (folder) => {
    const repo = configRepository(folder, MANIFESTS);
    const seen = { yaml: [] as number[], first: [] as number[], kept: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      const own = join(folder, `round-${round}`);
      seen.yaml.push(await sample('yaml'));
      try {
        seen.first.push(await sample('operator', repo, own));
        seen.kept.push(await sample('operator', repo, own));
      } finally {
        await stopRouter(join(own, 'data'));
      }
    }
    const [yaml, first, kept] = [median(seen.yaml), median(seen.first), median(seen.kept)];
    note(`yaml ${yaml.toFixed(0)} ms, first ${first.toFixed(0)} ms, with the kept parses ${kept.toFixed(0)} ms`);
    const ratios = { first: medianRatio(seen.first, seen.yaml), kept: medianRatio(seen.kept, seen.yaml) };
    const line = (name: 'first' | 'kept', words: string, ms: number): Figure => ({
      work: `start with 10,000 manifests, ${words}`,
      reach: `at most ${REACH[name]} × the \`yaml\` parse of them alone on one thread`,
      seen: `${ratios[name].toFixed(2)} × (${(ms / 1000).toFixed(2)} s)`,
      held: ratios[name] <= REACH[name],
    });
    return [line('first', 'first time', first), line('kept', 'with the kept parses', kept)];
  });
}

if (process.argv[1] === SELF) {
  const [mode, repo = '', folder = ''] = process.argv.slice(2);
  const ms = mode === 'yaml' ? await parseAlone() : await startOperator(repo, folder);
  process.stdout.write(String(ms));
}
