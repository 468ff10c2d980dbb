/** Asks a process something once: an HTTP request, a connection, a command beside it. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Container, LifecycleHandler, ProbeHandler } from '../../manifest/resource.ts';
import { run } from '../../process.ts';
import { resolvePort } from './ports.ts';
import { identityOf, type User } from './user.ts';

export interface Answer {
  pass: boolean;
  message: string;
}

/** How a command is run beside a container's process: as that process is. */
export interface Beside {
  container: Container;
  ports: Record<string, number>;
  env: Record<string, string>;
  cwd: string;
  user: User | undefined;
  /** Takes secrets out of what a command prints. */
  redact: (text: string) => string;
}

/** A container that is asked. */
export interface Asked {
  container: Container;
  ports: Record<string, number>;
  /** Where these ports are. */
  address: string;
  run(command: string[], timeoutMs: number): Promise<Answer>;
}

/** Never throws: what cannot be asked has not passed. */
export async function ask(
  handler: ProbeHandler | LifecycleHandler,
  { container, ports, address, run }: Asked,
  timeoutMs: number,
): Promise<Answer> {
  try {
    if ('exec' in handler) return await run(handler.exec.command, timeoutMs);
    const { port } = 'httpGet' in handler ? handler.httpGet : handler.tcpSocket;
    const found = resolvePort(container, ports, port);
    if ('tcpSocket' in handler) return await askPort(found, timeoutMs, address);
    const headers = handler.httpGet.httpHeaders?.map(({ name, value }) => [name, value] as const) ?? [];
    return await askHttp(httpUrl(address, found, handler.httpGet.path), timeoutMs, headers);
  } catch (error) {
    return { pass: false, message: (error as Error).message };
  }
}

/** Put together as text: resolved against a base, a path like `//host/` would name another machine. */
export const httpUrl = (address: string, port: number, path: string) =>
  new URL(
    `http://${address.includes(':') ? `[${address}]` : address}:${port}${path.startsWith('/') ? '' : '/'}${path}`,
  );

/** Answers of 200 to 399 pass; a redirect is not followed. */
export function askHttp(url: URL, timeoutMs: number, headers: (readonly [string, string])[] = []): Promise<Answer> {
  const where = `GET ${url.pathname}`;
  return new Promise((resolve) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      agent: false,
      headers: { connection: 'close', 'user-agent': 'sluice', ...Object.fromEntries(headers) },
    });
    const timer = setTimeout(() => done(false, `${where}: no answer within ${timeoutMs / 1000} s`), timeoutMs);
    function done(pass: boolean, message: string) {
      clearTimeout(timer);
      request.destroy();
      resolve({ pass, message });
    }
    request.on('response', (response) => {
      const status = response.statusCode ?? 0;
      // Read to its end where that is near, so that a server does not see its answer cut off.
      response.resume();
      response.once('close', () => done(status >= 200 && status < 400, `${where}: answered ${status}`));
      setTimeout(() => response.destroy(), 100).unref();
    });
    request.on('error', (error) => done(false, `${where}: ${error.message}`));
    request.end();
  });
}

/** Passes when a connection is accepted. */
export function askPort(port: number, timeoutMs: number, host = '127.0.0.1'): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const done = (pass: boolean, message: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ pass, message });
    };
    const timer = setTimeout(() => done(false, `port ${port}: no answer within ${timeoutMs / 1000} s`), timeoutMs);
    socket.once('connect', () => done(true, `port ${port} accepts connections`));
    socket.once('error', (error) => done(false, `port ${port}: ${error.message}`));
  });
}

const OUTPUT = 64 * 1024;

/** Passes when the command ends with 0 in time. */
export async function askCommand(
  command: string[],
  beside: Pick<Beside, 'env' | 'cwd' | 'user' | 'redact'>,
  timeoutMs: number,
): Promise<Answer> {
  const { env, cwd, user, redact } = beside;
  const ended = run(command, { env, cwd, timeoutMs, group: true, maxOutput: OUTPUT, ...identityOf(user) });
  // What the command left behind may keep its output open beyond its own end.
  const late = new Promise<'late'>((resolve) => setTimeout(resolve, timeoutMs + 200, 'late').unref());
  const result = await Promise.race([ended, late]);
  const program = command[0] ?? '';
  if (result === 'late' || result.failure === 'timeout') {
    return { pass: false, message: `${program}: took longer than ${timeoutMs / 1000} s` };
  }
  const said = redact(lastLine(result.stderr) || lastLine(result.stdout.toString()));
  const outcome = result.failure ?? `ended with ${result.code}`;
  return { pass: result.code === 0, message: `${program}: ${outcome}${said === '' ? '' : `: ${said}`}` };
}

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '';
