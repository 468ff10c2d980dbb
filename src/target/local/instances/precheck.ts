/** What must hold before instances or nodes of this machine are touched. Looks, changes nothing; each answer says what to do. */
import type { Image, Script } from '../../../manifest/resource.ts';
import { environment } from '../../../process.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { type InstancesAsked, nodes, prechecks, rollback } from '../../instances/precheck.ts';
import { freePort } from '../ports.ts';
import { askAll, fail, isThere, orPass, pass, router, space, user } from '../precheck.ts';
import type { RouterClient } from '../router/client.ts';
import { findProgram } from '../start.ts';
import type { Host } from '../unit.ts';

export interface AskedHere extends InstancesAsked {
  host: Pick<Host, 'dataDir' | 'user' | 'ports'> & { images: Pick<Host['images'], 'look'> };
  router: Pick<RouterClient, 'answers' | 'address'>;
}

export function precheckHere(asked: AskedHere): Promise<PrecheckResult[]> {
  const common = { images, 'data folder': space, ports, scripts, rollback, 'run-as': user };
  if (asked.spec.kind === 'Fleet') return askAll({ ...common, router }, asked);
  return askAll({ ...common, nodes, prechecks }, asked);
}

async function images({ host, runnable }: AskedHere): Promise<PrecheckResult[]> {
  const named = [runnable.image, 'rollbackImage' in runnable ? runnable.rollbackImage : undefined];
  const all = named.filter((image): image is Image => image !== undefined);
  const wrong: PrecheckResult[] = [];
  for (const image of all) {
    try {
      const [program] = ((await host.images.look(image)) ?? image).command;
      if (program === undefined) throw new Error(`image ${image.name} gives no command`);
      if (!isThere(program)) throw new Error(`image ${image.name}: program ${program} is not on this machine's PATH`);
    } catch (error) {
      wrong.push(fail('images', (error as Error).message, 'correct the manifest or the image'));
    }
  }
  return orPass(wrong, 'images', all.length === 0 ? 'none is declared' : all.map(({ name }) => name).join(', '));
}

async function ports({ host, runnable }: AskedHere): Promise<PrecheckResult[]> {
  if (runnable.image === undefined) return [];
  await freePort(new Set(host.ports));
  return [pass('ports', 'free ones are left')];
}

/** What the markers beside a unit need of the machine. */
const NEEDED = ['sh', 'setsid', 'timeout', 'flock', 'mkfifo', 'sync', 'env', 'head', 'tail', 'sed', 'mktemp'];
const INTERPRETERS: Record<Script['interpreter'], string[]> = {
  sh: ['sh'],
  bat: ['cmd.exe'],
  powershell: ['pwsh', 'powershell', 'powershell.exe'],
};

function scripts({ runnable, spec }: AskedHere): PrecheckResult[] {
  const runs = runnable.script !== undefined || spec.kind === 'Cluster';
  if (!runs) return [];
  const path = environment().PATH ?? '';
  const missing = NEEDED.filter((program) => findProgram(program, path) === undefined);
  const wrong =
    missing.length === 0
      ? []
      : [fail('scripts', `this machine has no ${missing.join(', ')}`, 'install them (util-linux, coreutils, sed)')];
  const interpreter = runnable.script?.interpreter ?? 'sh';
  const programs = INTERPRETERS[interpreter];
  if (programs.every((program) => findProgram(program, path) === undefined)) {
    const message = `this machine cannot run a ${interpreter} script: it has no ${programs.join(', no ')}`;
    wrong.push(fail('scripts', message, 'install it, or write the script for sh'));
  }
  return orPass(wrong, 'scripts', `${interpreter} is there`);
}
