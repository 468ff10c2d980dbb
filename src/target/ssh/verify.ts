/** Checks of one host: HTTP is asked from here, commands run there. */
import type { Check, ResourceId } from '../../manifest/resource.ts';
import type { SshHost } from '../../manifest/target.ts';
import type { Shell } from '../hosts/shell.ts';
import { askHttp } from '../local/handler.ts';

export interface Verdict {
  pass: boolean;
  message: string;
}
export interface Verified {
  resource: ResourceId;
  host: SshHost;
  shell: Shell;
  signal: AbortSignal;
}

const HTTP_MS = 5_000;
const COMMAND_SECONDS = 50;
const HTTP_PORT = 80;

/** The first that does not pass is told. */
export async function verifyHost(verified: Verified, checks: Check[]): Promise<Verdict> {
  for (const check of checks) {
    const verdict = await verifyOne(verified, check);
    if (!verdict.pass) return verdict;
  }
  return { pass: true, message: checks.length === 1 ? 'passed' : `${checks.length} checks passed` };
}

async function verifyOne(verified: Verified, check: Check): Promise<Verdict> {
  try {
    if ('command' in check) return await verifyCommand(verified, check.command);
    const { url, path = '/', port = HTTP_PORT } = check.http;
    if (url !== undefined) return await askHttp(new URL(url), HTTP_MS);
    if (!/^\d+$/.test(String(port)))
      return { pass: false, message: `port ${port} has no number on a host; write the number` };
    return await askHttp(hostUrl(verified.host, Number(port), path), HTTP_MS);
  } catch (error) {
    return { pass: false, message: (error as Error).message };
  }
}

function hostUrl({ address }: SshHost, port: number, path: string): URL {
  const name = address.includes(':') ? `[${address}]` : address;
  return new URL(`http://${name}:${port}${path.startsWith('/') ? '' : '/'}${path}`);
}

const COMMAND = 'cd "$HOME" || exit; limit=$1; shift; exec timeout "$limit" "$@" </dev/null';

/** Also asked as a precheck. */
export async function verifyCommand({ resource, host, shell, signal }: Verified, command: string[]): Promise<Verdict> {
  const told = ['env', `SLUICE_RESOURCE=${resource}`, `SLUICE_INSTANCE=${host.name}`];
  const args = [String(COMMAND_SECONDS), ...told, ...command];
  const timeoutMs = (COMMAND_SECONDS + 5) * 1000;
  const { code, stdout, stderr } = await shell.sh(COMMAND, args, { timeoutMs, signal, alone: true });
  if (code === 0) return { pass: true, message: 'passed' };
  const said = lastLine(stderr) || lastLine(stdout);
  const outcome = code === 124 ? `took longer than ${COMMAND_SECONDS} s` : `ended with ${code}`;
  return { pass: false, message: `${command[0]} ${outcome}${said === '' ? '' : `: ${said}`}` };
}

const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '';
