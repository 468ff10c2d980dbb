/** The one place that starts processes. Arguments are vectors, never shell text; environments are built from a list. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

const INHERITED = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];

/** What a started process may know of the operator's environment, and `extra` over it. */
export function environment(extra: Record<string, string> = {}): Record<string, string> {
  const inherited: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) inherited[name] = value;
  }
  return { ...inherited, ...extra };
}

export interface RunOptions {
  env: Record<string, string>;
  cwd?: string;
  input?: Buffer | string;
  /** It is ended (SIGTERM, then SIGKILL) when it takes longer. */
  timeoutMs?: number;
  /** Likewise when nothing came from it for so long, on neither output. */
  silenceMs?: number;
  /** What it started ends with it: for programs that leave nothing running on purpose. */
  group?: boolean;
  signal?: AbortSignal;
  /** Output beyond this many bytes is dropped; 64 MiB by default. */
  maxOutput?: number;
  uid?: number;
  gid?: number;
}

export interface RunResult {
  /** Absent when it was killed by a signal or never started. */
  code?: number;
  /** Why it did not end by itself: a signal's name, `timeout`, `silence`, or the system's message for a program that cannot be started. */
  failure?: string;
  stdout: Buffer;
  stderr: string;
}

/** To put away what it holds, as git does with its locks. */
const GRACE_MS = 1000;

/** Runs to the end and reports; throws only when `signal` aborts. */
export async function run(command: readonly string[], options: RunOptions): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    ...identity(options),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: options.group === true,
  });
  const limit = options.maxOutput ?? 64 * 1024 * 1024;
  const stdout = collector(limit);
  const stderr = collector(limit);
  const ending = endEarly(child, options);
  for (const [stream, { add }] of [[child.stdout, stdout] as const, [child.stderr, stderr] as const])
    stream.on('data', (chunk: Buffer) => {
      ending.heard();
      add(chunk);
    });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  const { code, failure } = await outcome(child);
  ending.over();
  options.signal?.throwIfAborted();
  const reason = ending.why() ?? failure;
  return {
    ...(code === undefined || ending.why() !== undefined ? {} : { code }),
    ...(reason === undefined ? {} : { failure: reason }),
    stdout: stdout.bytes(),
    stderr: stderr.bytes().toString(),
  };
}

function outcome(child: ChildProcess): Promise<Pick<RunResult, 'code' | 'failure'>> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ failure: error.message }));
    child.once('close', (code, signal) => resolve(code === null ? { failure: signal ?? 'killed' } : { code }));
  });
}

/** Ends a program that took too long, fell silent or was called off; its outputs close then, whoever else holds them. */
function endEarly(child: ChildProcessWithoutNullStreams, { timeoutMs, silenceMs, signal, group }: RunOptions) {
  let why: string | undefined;
  let forced: NodeJS.Timeout | undefined;
  const kill = (how: NodeJS.Signals) => {
    try {
      if (group === true && child.pid !== undefined) process.kill(-child.pid, how);
      else child.kill(how);
    } catch {
      // It has ended.
    }
  };
  const letGo = () => {
    if (group === true) kill('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const end = (reason: string) => {
    if (why !== undefined) return;
    why = reason;
    if (child.exitCode !== null || child.signalCode !== null) return letGo();
    kill('SIGTERM');
    child.once('exit', letGo);
    forced = setTimeout(kill, GRACE_MS, 'SIGKILL');
  };
  const abort = () => end('abort');
  signal?.addEventListener('abort', abort, { once: true });
  const late = timeoutMs === undefined ? undefined : setTimeout(end, timeoutMs, 'timeout');
  const silent = silenceMs === undefined ? undefined : setTimeout(end, silenceMs, 'silence');
  return {
    why: () => why,
    heard: () => silent?.refresh(),
    over() {
      signal?.removeEventListener('abort', abort);
      for (const timer of [late, silent, forced]) clearTimeout(timer);
    },
  };
}

export type PipedProcess = ChildProcessWithoutNullStreams;

/** Starts a process that is kept and talked to through its standard input and output. It ends with the caller's pipes. */
export function openPipe(command: readonly string[], env: Record<string, string>): PipedProcess {
  const [program = '', ...args] = command;
  return spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
}

export interface LaunchOptions {
  env: Record<string, string>;
  cwd: string;
  /** File descriptors (or `'ignore'`) for standard input, output and error, and any beyond them. */
  stdio: (number | 'ignore')[];
  uid?: number;
  gid?: number;
}

/** Starts a process that outlives this one, as the leader of a session of its own. The caller awaits `spawn` or `error`. */
export function launch(command: readonly string[], options: LaunchOptions): ChildProcess {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    ...identity(options),
    cwd: options.cwd,
    env: options.env,
    stdio: options.stdio,
    detached: true,
  });
  child.unref();
  return child;
}

function identity({ uid, gid }: { uid?: number; gid?: number }) {
  return { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
}

/** Keeps the first `limit` bytes of what comes. */
export function collector(limit: number) {
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    add(chunk: Buffer) {
      if (size < limit) chunks.push(chunk.subarray(0, limit - size));
      size += chunk.length;
    },
    bytes: () => Buffer.concat(chunks),
  };
}
