/**
 * Preloaded into the operator (`node --import`): counts its effects on the world, and kills it with -9 right before or
 * right after one of them. Nothing of it is known to the program.
 *
 * An effect is a file written, renamed, made or removed, a process started or signalled, what a script is sent, a change
 * that the router, a load balancer or a Docker engine is told. Reading, asking and looking are none: how often it looks depends on the time.
 *
 *     CRASH_AT=before:17 | after:17   where; absent: nowhere
 *     CRASH_AT=before:/unit.json$/    at the first whose line reads so
 *     CRASH_OF=/the engine/           only effects whose line reads so are counted
 *     CRASH_BY=SIGSTOP                it is stopped there instead, until it is woken
 *     CRASH_LOG=FILE                  each effect in a line, before it takes place
 */
import childProcess from 'node:child_process';
import fs, { openSync, writeSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { isMainThread } from 'node:worker_threads';
import Docker from 'dockerode';
import { LOGS, LOOK } from '../../src/target/hosts/scripts/look.ts';

type Work = (this: unknown, ...args: unknown[]) => unknown;

const log = process.env.CRASH_LOG === undefined ? undefined : openSync(process.env.CRASH_LOG, 'a');
const writeLog = writeSync;
const [, side, where = ''] = /^(before|after):(.*)$/.exec(process.env.CRASH_AT ?? '') ?? [];
const pattern = (text: string) =>
  /^\/(.*)\/$/
    .exec(text)
    ?.slice(1)
    .map((inner) => new RegExp(inner))[0];
let reads = pattern(where);
const counted = pattern(process.env.CRASH_OF ?? '') ?? /^/;
const by = (process.env.CRASH_BY ?? 'SIGKILL') as NodeJS.Signals;
const kill = process.kill.bind(process);
/** So long at most until a signal that a process sends itself has come to all of its threads. */
const DEAF_MS = 50;
function die(): void {
  kill(process.pid, by);
  for (const since = performance.now(); performance.now() - since < DEAF_MS; );
}
let count = 0;
/** Within an effect: what it consists of is not counted besides. */
let within = false;

function isThere(what: string): boolean {
  count++;
  if (reads === undefined) return String(count) === where;
  if (!reads.test(what)) return false;
  reads = undefined;
  return true;
}

function effect(what: string, args: unknown[], act: (args: unknown[]) => unknown): unknown {
  if (within || !counted.test(what)) return act(args);
  const here = isThere(what) ? side : undefined;
  if (log !== undefined) writeLog(log, `${count} ${what.slice(0, 300)}\n`);
  if (here === 'before') die();
  within = true;
  try {
    const result = act(here === 'after' ? args.map(dyingCallback) : args);
    if (here !== 'after') return result;
    if (result instanceof Promise) return result.finally(die);
    if (!args.some((arg) => typeof arg === 'function')) die();
    return result;
  } finally {
    within = false;
  }
}

/** Nobody is told of the end of an effect before. */
function dyingCallback(arg: unknown): unknown {
  if (typeof arg !== 'function') return arg;
  return function (this: unknown, ...told: unknown[]) {
    die();
    return arg.apply(this, told);
  };
}

/** `tells` says what the call would do; undefined: nothing. */
function countCalls(holder: object, name: string, tells: (args: unknown[], self: unknown) => string | undefined): void {
  const methods = holder as Record<string, Work>;
  const original = methods[name];
  if (original === undefined) throw new Error(`there is no ${name} to be counted`);
  const wrapper: Work = function (...args) {
    const what = tells(args, this);
    const act = (those: unknown[]) => original.apply(this, those);
    return what === undefined ? act(args) : effect(what, args, act);
  };
  // What util.promisify reads from it.
  Object.defineProperties(wrapper, Object.getOwnPropertyDescriptors(original));
  methods[name] = wrapper;
}

const text = (data: unknown): string =>
  typeof data === 'string' ? data : data instanceof Uint8Array ? Buffer.from(data).toString() : '';

/** A Git object is one effect: its file is nothing to anybody until it has its name. */
const IDLE_PATHS = /^\/dev\/|\/clone\.git\/objects\//;

function countFiles(): void {
  const CHANGING = [
    'writeFile',
    'appendFile',
    'rename',
    'rm',
    'rmdir',
    'unlink',
    'symlink',
    'link',
    'copyFile',
    'mkdtemp',
  ];
  const told = (name: string) => (args: unknown[]) =>
    `${name} ${args
      .filter((arg) => typeof arg === 'string')
      .slice(0, name === 'rename' ? 2 : 1)
      .join(' to ')}`;
  const opens = (args: unknown[]) => {
    const [path, flags = 'r'] = args;
    const reads = typeof flags === 'number' ? (flags & 3) === 0 : /^rs?$/.test(String(flags));
    return reads || IDLE_PATHS.test(String(path)) ? undefined : `open ${path}`;
  };
  const makes = ([path]: unknown[]) =>
    IDLE_PATHS.test(String(path)) || fs.existsSync(String(path)) ? undefined : `mkdir ${path}`;
  const onFile = (name: string) => (args: unknown[]) => (Number(args[0]) <= 2 ? undefined : `${name} an open file`);
  for (const [holder, suffix] of [
    [fs, 'Sync'],
    [fs, ''],
    [fs.promises, ''],
  ] as const) {
    for (const name of CHANGING) countCalls(holder, `${name}${suffix}`, told(name));
    countCalls(holder, `open${suffix}`, opens);
    countCalls(holder, `mkdir${suffix}`, makes);
  }
  for (const name of ['write', 'ftruncate']) {
    countCalls(fs, `${name}Sync`, onFile(name));
    countCalls(fs, name, onFile(name));
  }
}

async function countHandles(): Promise<void> {
  const handle = await fs.promises.open('/dev/null');
  const methods = Object.getPrototypeOf(handle) as object;
  for (const name of ['write', 'writeFile', 'truncate']) countCalls(methods, name, () => `${name} an open file`);
  await handle.close();
}

/** Of a script's sh nothing has happened until it has read what it is sent. */
const WAITING_SH = /^exec sh -c '/;
const READING_GIT = new Set(['cat-file', 'ls-remote', 'for-each-ref', 'rev-parse', 'version', '--version']);

function countProcesses(): void {
  countCalls(childProcess, 'spawn', ([program, args]) => {
    const words = args as string[];
    if (words.some((word) => READING_GIT.has(word))) return undefined;
    if (program === 'sh' && WAITING_SH.test(words[1] ?? '')) return undefined;
    return `spawn ${program} ${words.join(' ')}`;
  });
  countCalls(process, 'kill', ([pid, signal]) => (signal === 0 ? undefined : `signal ${signal} to ${pid}`));
}

/** Of each lasting shell, the names by which it has the scripts that only look. */
const looking = new WeakMap<object, Set<string>>();
const LOOKS = /limit_version=|ls -tr \|/;

/** `eval 'script_3() {…}'`, where the shell does not have it yet, and `(script_3 'web-1' …)` (hosts/lasting.ts). */
function lasting(said: string, shell: object): string | undefined {
  const at = said.search(/(?:^|\n)\(script_\d+ /);
  if (at < 0) return undefined;
  const call = said.slice(at).trimStart();
  const name = call.slice(1, call.indexOf(' '));
  const names = looking.get(shell) ?? new Set();
  looking.set(shell, names);
  if (LOOKS.test(said.slice(0, at))) names.add(name);
  return names.has(name) ? undefined : script(call);
}

/** What is sent that changes something. */
function sent(data: unknown, to: object): string | undefined {
  const said = text(data);
  if (/^eval |^\(script_/.test(said)) return lasting(said, to);
  if (/^\{ set -- |^set -- /.test(said)) return said.includes(LOOK) || said.includes(LOGS) ? undefined : script(said);
  if (/^\{"id":\d+,"call":"(change|stop)"/.test(said)) return `tell the router ${said}`;
  if (/^set (weight|server) /.test(said)) return `tell the load balancer ${said.trim()}`;
  return undefined;
}

const script = (said: string) => `send a script ${said.slice(0, 120).replace(/\s+/g, ' ')}`;

function countConnections(): void {
  const require = createRequire(import.meta.url);
  const Channel = (require('ssh2/lib/Channel.js') as { Channel: { prototype: Writable } }).Channel;
  for (const writable of [Socket.prototype, Channel.prototype]) {
    for (const name of ['write', 'end'] as const) {
      const inherited = writable[name] as unknown as Work;
      Object.defineProperty(writable, name, {
        value: function (this: unknown, ...args: unknown[]) {
          return inherited.apply(this, args);
        },
        ...{ configurable: true, writable: true },
      });
      countCalls(writable, name, ([data], self) => sent(data, self as object));
    }
  }
}

const STARTING = /^\/exec\//;
/** Of these the engine goes on with what was begun, though nobody waits for the answer. */
const GOING_ON = /\/(start|stop)\?/;
const EXECUTING = /^\/containers\/[^/]+\/exec/;

interface Asking {
  method: string;
  path: string;
  /** Of what is made. */
  options?: { name?: string; Name?: string };
}

function countEngine(): void {
  const docker = new Docker({ socketPath: '/' });
  countCalls(Object.getPrototypeOf(docker.modem), 'dial', ([asking]) => {
    const { method, path, options: { Name, name = Name ?? '' } = {} } = asking as Asking;
    if (method === 'GET' || method === 'HEAD' || STARTING.test(path) || EXECUTING.test(path)) return undefined;
    return `${GOING_ON.test(path) ? 'tell' : 'ask'} the engine ${method} ${path} ${name}`;
  });
  countExecutions(Object.getPrototypeOf(docker.getContainer('')), Object.getPrototypeOf(docker.getExec('')));
}

/** Nothing has happened in a container until its command is started. */
function countExecutions(container: object, exec: object): void {
  const commands = new WeakMap<object, string[]>();
  const methods = container as Record<string, Work>;
  const original = methods.exec as Work;
  methods.exec = async function (...args) {
    const made = (await original.apply(this, args)) as object;
    commands.set(made, (args[0] as { Cmd: string[] }).Cmd);
    return made;
  };
  countCalls(exec, 'start', (_, self) => {
    const [program = '', , text = '', ...words] = commands.get(self as object) ?? [];
    if (text.includes(LOOK) || text.includes(LOGS)) return undefined;
    return `send a script ${program} ${words.join(' ').slice(0, 120).replace(/\s+/g, ' ')}`;
  });
}

if (isMainThread) {
  await countHandles();
  countFiles();
  countProcesses();
  countConnections();
  countEngine();
  syncBuiltinESMExports();
}
