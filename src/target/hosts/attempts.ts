/**
 * The markers beside a unit, on whatever machine it is. Each call is one round trip, and may be repeated whenever nothing
 * tells whether it came through: an attempt is begun once, whoever asks and however often.
 */
import type { Interpreter, Revision } from '../../manifest/resource.ts';
import type { UnitChange } from '../../plan/plan.ts';
import { StaleEpoch } from '../ports.ts';
import { BEGIN } from './scripts/begin.ts';
import { CHECK, LOGS, LOOK } from './scripts/look.ts';
import { PUT_BACK, TAKE_OUT } from './scripts/service.ts';
import { quote, type Shell, type ShellResult } from './shell.ts';
import { type AttemptKind, readView, type UnitView } from './view.ts';

export interface UnitPlaceOptions {
  shell: Shell;
  /** Absolute, or below the home of who logs in: `.sluice/Fleet-web/web-3`. */
  folder: string;
  epoch: number;
  /** Tells one start of the machine from the next; another only for tests of what a new start does. */
  bootIdFile?: string;
}

interface LookOptions {
  signal: AbortSignal;
  /** Answers once what runs has ended, or after so long. */
  waitSeconds?: number;
  versionCommand?: string[];
  /** What prechecks need to know of the machine, with the certificates in these places. */
  details?: { certificates: string[] };
}

/** What is run, and at most once for each `kind` and `attempt`. */
export interface Attempt {
  kind: AttemptKind;
  attempt: string;
  timeoutSeconds: number;
  /** NAME → value, beside what the machine's own user has. */
  env: Record<string, string>;
  /** Absent: the user's home. */
  cwd?: string;
  /** Takes the unit out of service with it: where nothing sends requests to it, that is only to be marked. */
  out?: boolean;
  task: ScriptTask | UndoTask | CommandTask;
}
/** Pushes `revision` and runs its script, once what undoes it is stored. Without a script, it is only pushed. */
interface ScriptTask {
  revision: Revision;
  script?: { interpreter: Interpreter; run: string; rollback?: string };
}
/** Runs what was stored for these revisions, first of them first, and pops each. */
interface UndoTask {
  undo: Revision[];
}
interface CommandTask {
  command: string[];
}

/** Another attempt runs on the unit; nothing was begun. */
class Busy extends Error {}

export interface UnitPlace {
  /** Also keeps earlier operators from beginning anything there from now on. */
  look(options: LookOptions): Promise<UnitView>;
  /** Throws StaleEpoch when a later operator has taken over. */
  check(signal: AbortSignal): Promise<void>;
  begin(attempt: Attempt, signal: AbortSignal): Promise<UnitView>;
  /** `weights` is kept from the first of several until `putBack`. */
  takeOut(mark: { attempt: string; weights?: string; cordon: boolean }, signal: AbortSignal): Promise<UnitView>;
  putBack(mark: { cordoned: boolean }, signal: AbortSignal): Promise<UnitView>;
  /** What the last attempts printed, oldest first; bounded. */
  logs(signal: AbortSignal): Promise<string>;
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const VERSION_SECONDS = 10;
const ROUND_TRIP_MS = 30_000;

export function openUnitPlace({ shell, folder, epoch, bootIdFile = BOOT_ID }: UnitPlaceOptions): UnitPlace {
  const common = [folder, bootIdFile];

  async function answered(script: string, args: string[], timeoutMs: number, signal: AbortSignal): Promise<string> {
    const result = await shell.sh(script, args, { timeoutMs, signal });
    const [, seen] = /^stale ([\d.]+)$/m.exec(result.stdout) ?? [];
    if (seen !== undefined) throw new StaleEpoch(epoch, Number(seen));
    if (result.code !== 0) throw new Error(failure(result));
    return result.stdout;
  }

  async function viewed(script: string, args: string[], timeoutMs: number, signal: AbortSignal): Promise<UnitView> {
    const said = await answered(script, args, timeoutMs, signal);
    const [, kind, id] = /^busy (\S+) (\S+)$/m.exec(said) ?? [];
    if (id !== undefined) throw new Busy(`the ${kind} ${id} still runs there`);
    return readView(said);
  }

  return {
    look({ signal, waitSeconds = 0, versionCommand = [], details }) {
      const args = [
        ...common,
        String(epoch),
        String(waitSeconds),
        details?.certificates.join(' ') ?? '',
        String(VERSION_SECONDS),
      ];
      return viewed(LOOK, [...args, ...versionCommand], ROUND_TRIP_MS + waitSeconds * 1000, signal);
    },
    async check(signal) {
      await answered(CHECK, [folder, String(epoch)], ROUND_TRIP_MS, signal);
    },
    begin(attempt, signal) {
      return viewed(BEGIN, [...common, String(epoch), ...beginArguments(attempt)], ROUND_TRIP_MS, signal);
    },
    takeOut({ attempt, weights = '', cordon }, signal) {
      const args = [...common, String(epoch), named(attempt), weights, cordon ? '1' : '0'];
      return viewed(TAKE_OUT, args, ROUND_TRIP_MS, signal);
    },
    putBack({ cordoned }, signal) {
      return viewed(PUT_BACK, [...common, String(epoch), cordoned ? '1' : '0'], ROUND_TRIP_MS, signal);
    },
    async logs(signal) {
      const result = await shell.sh(LOGS, [folder], { timeoutMs: ROUND_TRIP_MS, signal });
      if (result.code !== 0) throw new Error(failure(result));
      return result.stdout;
    },
  };
}

function failure({ code, stdout, stderr }: ShellResult): string {
  const said = (stderr.trim() || stdout.trim()).split('\n').at(-1) ?? '';
  return `a step failed there with code ${code}${said === '' ? '' : `: ${said.slice(0, 300)}`}`;
}

const NOTHING = { interpreter: 'sh', run: '', rollback: undefined } as const;

function beginArguments({ kind, attempt, timeoutSeconds, env, cwd = '', out = false, task }: Attempt): string[] {
  const head = [kind, named(attempt), String(Math.max(1, Math.ceil(timeoutSeconds)))];
  const tail = [out ? attempt : '', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
  if ('undo' in task) {
    const steps = task.undo.map((revision) => `undo ${named(revision)}`).join('\n');
    return [...head, 'sh', cwd, steps, '', '', '', '0', ...tail];
  }
  if ('command' in task) {
    return [...head, 'sh', cwd, 'command', `exec ${task.command.map(quote).join(' ')}\n`, '', '', '0', ...tail];
  }
  const { interpreter, run, rollback } = task.script ?? NOTHING;
  const revision = named(task.revision);
  const undo = [rollback ?? '', rollback === undefined ? '0' : '1'];
  return [...head, interpreter, cwd, `run ${revision}`, run, revision, ...undo, ...tail];
}

/** It becomes the name of a file. */
function named(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(text)) return text;
  throw new Error(`${JSON.stringify(text)} cannot name an attempt or a revision`);
}

/** What `update` of a unit runs: what was applied is undone, or `to` is run. */
export function updateTask({ to, undo }: UnitChange, script: ScriptTask['script']): Attempt['task'] {
  return undo.length > 0 ? { undo } : { revision: to, ...(script && { script }) };
}

/** `web-3.7.1` belongs to rollout 7. */
export const rolloutOf = (attempt: string): string => attempt.split('.').at(-2) ?? '';
