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
  /** Kills with SIGKILL when it takes longer. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Output beyond this many bytes is dropped; 64 MiB by default. */
  maxOutput?: number;
  uid?: number;
  gid?: number;
}

export interface RunResult {
  /** Absent when it was killed by a signal or never started. */
  code?: number;
  /** Why there is no code: a signal's name, `timeout`, or the system's message for a program that cannot be started. */
  failure?: string;
  stdout: Buffer;
  stderr: string;
}

/** Runs to the end and reports; throws only when `signal` aborts. */
export function run(command: readonly string[], options: RunOptions): Promise<RunResult> {
  const [program = '', ...args] = command;
  const limit = options.maxOutput ?? 64 * 1024 * 1024;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...identity(options),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: options.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const stdout = collector(limit);
    const stderr = collector(limit);
    let failure: string | undefined;
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            failure = 'timeout';
            child.kill('SIGKILL');
          }, options.timeoutMs);
    child.stdout.on('data', stdout.add);
    child.stderr.on('data', stderr.add);
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
    child.once('error', (error) => {
      clearTimeout(timer);
      if (options.signal?.aborted) reject(options.signal.reason);
      else resolve({ failure: error.message, stdout: stdout.bytes(), stderr: stderr.bytes().toString() });
    });
    child.once('close', (code, signalName) => {
      clearTimeout(timer);
      const reason = failure ?? signalName ?? undefined;
      resolve({
        ...(code === null ? {} : { code }),
        ...(reason === undefined ? {} : { failure: reason }),
        stdout: stdout.bytes(),
        stderr: stderr.bytes().toString(),
      });
    });
  });
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
