/** A command inside a container, as an exec probe, a hook or a check runs it. */
import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import type { Answer } from '../local/handler.ts';
import { answered, saidBy } from './engine.ts';

const OUTPUT = 64 * 1024;

/** Passes when the command ends with 0 in time. One that takes longer is let go: an engine cannot end it. */
export async function execIn(
  docker: Docker,
  id: string,
  command: string[],
  timeoutMs: number,
  redact: (text: string) => string,
): Promise<Answer> {
  const program = command[0] ?? '';
  try {
    const container = docker.getContainer(id);
    const exec = await answered(container.exec({ Cmd: command, AttachStdout: true, AttachStderr: true }));
    const stream = await answered(exec.start({}));
    const [out, err] = [tail(), tail()];
    docker.modem.demuxStream(stream, out.into, err.into);
    if (!(await endsWithin(stream, timeoutMs))) {
      stream.destroy();
      return { pass: false, message: `${program}: took longer than ${timeoutMs / 1000} s` };
    }
    const { ExitCode } = await answered(exec.inspect());
    const said = redact(lastLine(err.text()) || lastLine(out.text()));
    return { pass: ExitCode === 0, message: `${program}: ended with ${ExitCode}${said === '' ? '' : `: ${said}`}` };
  } catch (error) {
    return { pass: false, message: `${program}: ${redact(saidBy(error))}` };
  }
}

function endsWithin(stream: NodeJS.ReadableStream, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs);
    const end = () => {
      clearTimeout(timer);
      resolve(true);
    };
    for (const event of ['end', 'close', 'error']) stream.once(event, end);
  });
}

function tail() {
  const into = new PassThrough();
  let text = '';
  into.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-OUTPUT);
  });
  return { into, text: () => text };
}

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '';
