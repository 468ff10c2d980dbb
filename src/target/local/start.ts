/** Starts the processes of an attempt. */
import { once } from 'node:events';
import { accessSync, closeSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from '../../process.ts';
import { containerEnded } from '../replicas/end.ts';
import { isOver } from '../replicas/unit.ts';
import { groupFolders, makeGroups } from './cgroup.ts';
import { describe, readSecrets } from './describe.ts';
import { keepWithin, logFilesOf, openOutput } from './logs.ts';
import { freePort, keptPort, portAgain, wantedPorts } from './ports.ts';
import { goBehind } from './priority.ts';
import { markOf } from './processes.ts';
import { groupName, type Host, type Running, type Unit } from './unit.ts';
import { identityOf } from './user.ts';
import { mountsOf, prepareVolumes, prepareWorkFolder, volumeFolders } from './volumes.ts';

/** Folders, ports and environments first, then the processes, one after the other. */
export async function startProcesses(host: Host, unit: Unit): Promise<void> {
  await prepare(host, unit);
  keepLogs(host, unit);
  for (const [index, running] of unit.containers.entries()) {
    if (isOver(unit)) return;
    await spawnContainer(host, unit, running, index);
  }
}

/** From before its first process starts until its last one has ended (`unit.letLogs`), or this operator lets go of it. */
export function keepLogs(host: Host, unit: Unit): void {
  const files = unit.containers.flatMap(({ container }) => logFilesOf(unit.folder, container));
  const end = keepWithin(files, (error) => {
    host.log('log cannot be cut back', { unit: unit.record.unit, message: error.message });
  });
  unit.letLogs = () => {
    end();
    host.closing.removeEventListener('abort', end);
  };
  host.closing.addEventListener('abort', end, { once: true });
}

/** Folders, ports and environments; what was prepared is in the record before anything is spawned. */
async function prepare(host: Host, unit: Unit): Promise<void> {
  const { record, runnable, folder } = unit;
  const secrets = await readSecrets(host, unit);
  const place = { ...record, dataDir: host.dataDir, hold: host.hold, folder, user: host.user, secrets };
  await prepareVolumes(place, runnable);
  for (const [index, container] of runnable.template.spec.containers.entries()) {
    const ports: Record<string, number> = {};
    for (const [place, wanted] of wantedPorts(container, index === 0).entries()) {
      const former = index === 0 && place === 0 ? unit.formerPort : undefined;
      const isKept = former !== undefined && host.keptPorts.has(former);
      ports[wanted] = isKept
        ? await keptPort(former)
        : ((await portAgain(host.ports, former)) ?? (await freePort(host.ports)));
    }
    const groups = groupFolders(host.groups, groupName(unit, container.name), container.resources.limits);
    record.containers.push({ name: container.name, ports, groups });
  }
  unit.watching.signal.throwIfAborted();
  host.save(unit);
  const volumes = volumeFolders(place, runnable);
  for (const entry of record.containers) {
    const running = await describe(host, unit, entry, secrets);
    const mounts = mountsOf(running.container, volumes);
    await prepareWorkFolder(place, running.container, running.image.folder, mounts);
    unit.containers.push(running);
  }
}

/**
 * Between the spawn and the record of its process id nothing else happens in this process; should it be killed just there,
 * the next operator finds the process by its environment.
 */
async function spawnContainer(host: Host, unit: Unit, running: Running, index: number): Promise<void> {
  const { record, folder } = unit;
  const { container, beside } = running;
  const command = withProgram(running.command, beside.env, beside.cwd);
  const groups = makeGroups(host.groups, groupName(unit, container.name), container.resources.limits);
  const output = openOutput(folder, container.name, record.attempt, new Date());
  host.guard();
  if (index === 0) record.startedAt = Date.now();
  try {
    const child = launch(command, {
      env: beside.env,
      // Nothing is started there any more once a later operator has taken over.
      cwd: host.hold.reach(beside.cwd),
      stdio: ['ignore', output, output],
      ...identityOf(host.user),
    });
    if (child.pid === undefined) {
      const [error] = await once(child, 'error');
      throw new Error(`container ${container.name}: ${(error as Error).message}`);
    }
    goBehind(child.pid);
    const mark = markOf(child.pid);
    running.spawned = true;
    child.once('exit', (code, signal) => {
      containerEnded(host, unit, running, code === null ? `ended by signal ${signal}` : `exited with code ${code}`);
    });
    groups.hold(child.pid);
    if (mark !== undefined) running.record.process = mark;
    host.save(unit);
    if (mark !== undefined) void groups.follow(mark.pid);
  } finally {
    closeSync(output);
  }
  if (index === 0) host.changed(unit);
}

/** Says in words what a bare ENOENT hides; `node` is always there, because the operator runs on it. */
function withProgram(command: string[], env: Record<string, string>, cwd: string): string[] {
  if (!isDirectory(cwd)) throw new Error(`working directory ${cwd} does not exist; correct \`workingDir\``);
  const [program = '', ...args] = command;
  if (program.includes('/')) return command;
  if (findProgram(program, env.PATH ?? '') !== undefined) return command;
  if (program === 'node') return [process.execPath, ...args];
  throw new Error(
    `program ${program} is not on this machine's PATH; install it, or write ./${program} for a file of the image`,
  );
}

/** Where a program lies on the PATH. */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(':')
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
