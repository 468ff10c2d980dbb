/** Instances that are folders and processes of this machine. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResourceId } from '../../../manifest/resource.ts';
import { environment, run } from '../../../process.ts';
import { openUnitPlace } from '../../hosts/attempts.ts';
import { localShell } from '../../hosts/shell.ts';
import { homeFolder, hostFolder, INSTANCE_VOLUME, memberFolder } from '../../instances/folders.ts';
import type { Ground, Looking } from '../../instances/ground.ts';
import { isNode } from '../../instances/instance.ts';
import type { InstanceRecord } from '../../instances/record.ts';
import type { Unit as AnyUnit } from '../../replicas/unit.ts';
import { askCommand } from '../handler.ts';
import { freePort } from '../ports.ts';
import type { Host, Unit } from '../unit.ts';
import { giveTo, identityOf, type User } from '../user.ts';

const MAX_OUTPUT = 64 * 1024;

export function lookingHere(root: string, user: User | undefined): Looking {
  const homeOf = ({ resource, unit }: InstanceRecord) => homeFolder(root, resource, unit);
  return {
    homeOf,
    peersFile: (resource) => peersFile(root, resource),
    scriptPort: (record, unit) => unit?.record.containers[0]?.ports[0] ?? record.port,
    async processEnvironment(unit) {
      const { SLUICE_FOLDER: _, SLUICE_ATTEMPT: __, ...env } = here(unit)?.containers[0]?.beside.env ?? environment();
      return env;
    },
    async run(record, command, { env, timeoutMs, signal }) {
      const how = { env, cwd: homeOf(record), timeoutMs, signal, maxOutput: MAX_OUTPUT, ...identityOf(user) };
      const { stdout, ...ended } = await run(command, how);
      return { ...ended, stdout: stdout.toString() };
    },
    check(record, command, env, timeoutMs) {
      const cwd = homeOf(record);
      const told = { ...environmentOf(user, cwd), ...env };
      return askCommand(command, { env: told, cwd, user, redact: (text) => text }, timeoutMs);
    },
  };
}

/** All units of a local target are of this kind. */
const here = (unit: AnyUnit | undefined) => unit as Unit | undefined;

const peersFile = (root: string, resource: ResourceId) => join(memberFolder(root, resource), 'peers');

/** Listed, never the operator's own; another user is at home in the instance's folder. */
const environmentOf = (user: User | undefined, home: string): Record<string, string> =>
  environment(user === undefined ? {} : { HOME: home, USER: user.name, LOGNAME: user.name });

export function openGround(root: string, host: Host, epoch: number): Ground {
  const { user, hold, ports, keptPorts } = host;
  const looking = lookingHere(root, user);
  const { homeOf } = looking;
  return {
    ...looking,
    placeOf(record) {
      const { resource, unit } = record;
      const env = environmentOf(user, homeOf(record));
      const shell = localShell({ env, cwd: hold.reach(root), ...identityOf(user) });
      return openUnitPlace({ shell, folder: hostFolder(root, resource, unit), epoch });
    },
    async prepare(record) {
      for (const folder of [homeOf(record), hostFolder(root, record.resource, record.unit)]) {
        hold.makeFolder(folder);
        await giveTo(user, folder);
      }
    },
    settle: async (_, { image }) => image,
    // `./instance` in its working directory.
    container: (_, { name }) => ({
      image: name,
      volumeMounts: [{ name: INSTANCE_VOLUME, mountPath: `/${INSTANCE_VOLUME}` }],
    }),
    volumesOf: () => [{ name: INSTANCE_VOLUME, disk: { size: '0' } }],
    scriptEnvironment: async () => ({}),
    ownDrain(unit) {
      const own = here(unit)?.containers[0];
      return own?.image.drain && { command: own.image.drain, cwd: own.beside.cwd };
    },
    ports: {
      reserve: () => freePort(ports),
      free: (port) => ports.delete(port),
      keep(record) {
        if (!isNode(record) || record.port === undefined) return;
        ports.add(record.port);
        keptPorts.add(record.port);
      },
      let({ port }) {
        if (port !== undefined && keptPorts.delete(port)) ports.delete(port);
      },
    },
    peerHost: () => '127.0.0.1',
    writePeers: (resource, text) => hold.write(peersFile(root, resource), text, { mode: 0o644, durable: true }),
    clear: (record) => rm(hold.reach(homeOf(record)), { recursive: true, force: true }),
  };
}
