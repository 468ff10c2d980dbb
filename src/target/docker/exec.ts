/** A command inside a container, as an exec probe, a hook, a check or a script runs it. */
import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import type { Answer } from '../local/handler.ts';
import { answered, saidBy } from './engine.ts';

const OUTPUT = 64 * 1024;

export interface Execution {
  command: string[];
  timeoutMs: number;
  /** Who runs it, in which folder, with which variables; absent: as the container's own process is. */
  user?: string;
  cwd?: string;
  env?: Record<string, string>;
  signal?: AbortSignal;
  /** Of each output only the end is kept. */
  maxOutput?: number;
}

export interface Executed {
  /** Absent: it was let go, since an engine cannot end it. */
  code?: number;
  stdout: string;
  stderr: string;
}

/** Throws when nothing tells whether it ran to its end: the engine was not reached or went away, the signal aborted. */
export async function execute(docker: Docker, id: string, execution: Execution): Promise<Executed> {
  const { command, timeoutMs, user, cwd, env, signal, maxOutput = OUTPUT } = execution;
  signal?.throwIfAborted();
  const exec = await answered(
    docker.getContainer(id).exec({
      ...{ Cmd: command, AttachStdout: true, AttachStderr: true },
      ...(user !== undefined && { User: user }),
      ...(cwd !== undefined && { WorkingDir: cwd }),
      ...(env !== undefined && { Env: Object.entries(env).map(([name, value]) => `${name}=${value}`) }),
    }),
  );
  const stream = await answered(exec.start({}));
  // Once more after it was told: an engine that goes away says so twice.
  stream.on('error', () => {});
  const [out, err] = [tail(maxOutput), tail(maxOutput)];
  docker.modem.demuxStream(stream, out.into, err.into);
  const ended = await endsWithin(stream, timeoutMs, signal);
  const said = () => ({ stdout: out.text(), stderr: err.text() });
  if (!ended) {
    stream.destroy();
    signal?.throwIfAborted();
    return said();
  }
  const { ExitCode } = await answered(exec.inspect());
  if (ExitCode === null) throw new Error('the engine does not tell how it ended');
  return { code: ExitCode, ...said() };
}

/** Passes when the command ends with 0 in time. */
export async function execIn(
  docker: Docker,
  id: string,
  command: string[],
  timeoutMs: number,
  redact: (text: string) => string,
): Promise<Answer> {
  try {
    return answerOf(command, timeoutMs, await execute(docker, id, { command, timeoutMs }), redact);
  } catch (error) {
    return { pass: false, message: `${command[0] ?? ''}: ${redact(saidBy(error))}` };
  }
}

export function answerOf(
  [program = '']: string[],
  timeoutMs: number,
  { code, stdout, stderr }: Executed,
  redact: (text: string) => string,
): Answer {
  if (code === undefined) return { pass: false, message: `${program}: took longer than ${timeoutMs / 1000} s` };
  const said = redact(lastLine(stderr) || lastLine(stdout));
  return { pass: code === 0, message: `${program}: ended with ${code}${said === '' ? '' : `: ${said}`}` };
}

function endsWithin(stream: NodeJS.ReadableStream, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (ended: boolean) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      resolve(ended);
    };
    const aborted = () => done(false);
    const timer = setTimeout(() => done(false), timeoutMs);
    signal?.addEventListener('abort', aborted, { once: true });
    for (const event of ['end', 'close', 'error']) stream.once(event, () => done(true));
  });
}

function tail(most: number) {
  const into = new PassThrough();
  let text = '';
  into.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-most);
  });
  return { into, text: () => text };
}

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '';
