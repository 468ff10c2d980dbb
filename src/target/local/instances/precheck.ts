/** What must hold before instances or nodes are touched here. Looks, changes nothing; each answer says what to do. */
import type { ClusterRunnable, FleetRunnable, Image, InstanceSpec, Script } from '../../../manifest/resource.ts';
import type { LiveInstance } from '../../../plan/live.ts';
import type { Plan } from '../../../plan/plan.ts';
import { environment } from '../../../process.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { type Answer, askHttp } from '../handler.ts';
import { freePort } from '../ports.ts';
import { askAll, fail, isThere, orPass, pass, router, space, user, warn } from '../precheck.ts';
import type { RouterClient } from '../router/client.ts';
import { findProgram } from '../start.ts';
import type { Host } from '../unit.ts';

export interface InstancesAsked {
  host: Pick<Host, 'dataDir' | 'user' | 'ports'> & { images: Pick<Host['images'], 'look'> };
  router: Pick<RouterClient, 'answers' | 'address'>;
  spec: InstanceSpec;
  runnable: FleetRunnable | ClusterRunnable;
  plan: Plan;
  live: LiveInstance[];
  /** Whether a rollback script of this revision is stored beside the unit; undefined: it had no script at all. */
  undoable(unit: string, revision: string): boolean | undefined;
  /** Runs a command of the manifest in the folder of a node. */
  ask(unit: string, command: string[]): Promise<Answer>;
}

export function precheckInstances(asked: InstancesAsked): Promise<PrecheckResult[]> {
  const common = { images, 'data folder': space, ports, scripts, rollback, 'run-as': user };
  if (asked.spec.kind === 'Fleet') return askAll({ ...common, router }, asked);
  return askAll({ ...common, nodes, prechecks }, asked);
}

async function images({ host, runnable }: InstancesAsked): Promise<PrecheckResult[]> {
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

async function ports({ host, runnable }: InstancesAsked): Promise<PrecheckResult[]> {
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

function scripts({ runnable, spec }: InstancesAsked): PrecheckResult[] {
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

/** Going back over a revision without a rollback script leaves what its script did. */
function rollback({ plan, undoable }: InstancesAsked): PrecheckResult[] {
  const undone = plan.stages.flatMap(({ goal }) =>
    goal.kind === 'units'
      ? Object.entries(goal.want).flatMap(([unit, { undo }]) => undo.map((revision) => ({ unit, revision })))
      : [],
  );
  if (undone.length === 0) return [];
  const without = new Map<string, string[]>();
  for (const { unit, revision } of undone) {
    if (undoable(unit, revision) === false) without.set(revision, [...(without.get(revision) ?? []), unit]);
  }
  const remedy = 'undo by hand what its script did, or go forward with a script that does';
  const wrong = [...without].map(([revision, units]) =>
    warn('rollback', `revision ${revision} has no rollback script on ${some(units)}: nothing is run for it`, remedy),
  );
  return orPass(wrong, 'rollback', 'what takes it back is stored beside each unit');
}

const SOME = 5;
const some = (names: string[]): string =>
  names.length > SOME ? `${names.slice(0, SOME).join(', ')} and ${names.length - SOME} more` : names.join(', ');

function nodes({ live }: InstancesAsked): PrecheckResult[] {
  if (live.length === 0) return [pass('nodes', 'they will be created')];
  const wrong = live
    .filter(({ ready }) => !ready)
    .map(({ id, message = 'does not answer' }) =>
      fail('nodes', `${id} is not ready: ${message}`, 'bring it up, then retry'),
    );
  return orPass(wrong, 'nodes', `${live.length} ready`);
}

const HTTP_MS = 5000;

/** The manifest's own: a `url` is asked once, a command on every node. */
async function prechecks({ spec, live, ask }: InstancesAsked): Promise<PrecheckResult[]> {
  const declared = spec.kind === 'Cluster' ? spec.prechecks : [];
  const results: PrecheckResult[] = [];
  for (const [index, check] of declared.entries()) {
    const name = `prechecks[${index}]`;
    const answers: Answer[] =
      'command' in check
        ? await Promise.all(live.map(async ({ id }) => named(id, await ask(id, check.command))))
        : [await askHttp(new URL(check.http.url ?? ''), HTTP_MS)];
    const wrong = answers.filter((answer) => !answer.pass);
    results.push(
      ...orPass(
        wrong.map(({ message }) => fail(name, message, 'see to what it asks for, then retry')),
        name,
        'passes',
      ),
    );
  }
  return results;
}

const named = (id: string, { pass: passed, message }: Answer): Answer => ({
  pass: passed,
  message: `${id}: ${message}`,
});
