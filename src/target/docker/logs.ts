/** What containers wrote: kept by the engine while they are there, and beside the unit's record after that. */
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import { logsFolder } from '../local/folders.ts';
import { outputFile, rotate, rule, STDOUT_SIZE, type UnitLog } from '../local/logs.ts';
import { allContainers, type Found } from './containers.ts';
import { found } from './engine.ts';
import type { Scope } from './labels.ts';

/** Standard output and standard error, as they came. */
export async function outputOf(docker: Docker, id: string, tail?: number): Promise<string> {
  const options = { stdout: true, stderr: true, follow: false as const, ...(tail === undefined ? {} : { tail }) };
  const bytes = await found(docker.getContainer(id).logs(options));
  return bytes === undefined ? '' : plain(docker, bytes);
}

/** Without the frames that the engine puts around what came at once. */
async function plain(docker: Docker, bytes: Buffer): Promise<string> {
  const [source, into] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(source, into, into);
  source.end(bytes);
  source.once('end', () => into.end());
  let text = '';
  for await (const chunk of into) text += String(chunk);
  return text;
}

/** Before a container is removed. */
export async function keepOutput(docker: Docker, folder: string, { id, mark, fresh }: Found): Promise<void> {
  if (fresh) return;
  const text = await outputOf(docker, id);
  const path = outputFile(folder, mark.container);
  await mkdir(logsFolder(folder, mark.container), { recursive: true, mode: 0o755 });
  await mkdir(dirname(path), { recursive: true });
  await appendFile(path, '');
  rotate({ path, maxSize: STDOUT_SIZE });
  const begins = rule(mark.attempt, new Date().toISOString());
  if (text.length > STDOUT_SIZE / 4) await writeFile(path, begins + text.slice(-STDOUT_SIZE / 4));
  else await appendFile(path, begins + text);
}

/** What the containers of a resource that are there wrote. */
export async function readDockerLogs(
  docker: Docker,
  scope: Scope,
  resource: string,
  unit?: string,
): Promise<UnitLog[]> {
  const there = (await allContainers(docker, scope)).filter(
    ({ mark }) => mark.resource === resource && (unit === undefined || mark.unit === unit),
  );
  there.sort((a, b) => (a.mark.unit < b.mark.unit ? -1 : 1));
  return Promise.all(
    there.map(async ({ id, mark }) => ({
      ...{ unit: mark.unit, container: mark.container, source: 'stdout' },
      text: `--- attempt ${mark.attempt} ---\n${await outputOf(docker, id)}`,
    })),
  );
}
