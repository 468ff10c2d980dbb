/** What is asked of pods themselves: checks between stages, and what they wrote. All of it goes through the API, so it works from outside too. */
import { PassThrough } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Check } from '../../manifest/resource.ts';
import { type Answer, askHttp } from '../local/handler.ts';
import { type Kube, KubeError } from './client.ts';
import { corePath, type Scope } from './names.ts';
import type { PodView, ServedPort } from './view.ts';

const HTTP_MS = 5000;
const COMMAND_MS = 60_000;

export interface AskedPod {
  pod: PodView;
  ports: ServedPort[];
}

/** Passes when every ready pod passes, and there is one. A `url` is asked once, as it is. */
export async function checkPods(
  kube: Kube,
  scope: Scope,
  pods: AskedPod[],
  version: string,
  check: Check,
  signal: AbortSignal,
): Promise<Answer> {
  if ('http' in check && check.http.url !== undefined) return askHttp(new URL(check.http.url), HTTP_MS);
  if (pods.length === 0) {
    const whose = version === '' ? 'it' : `version ${version}`;
    return { pass: false, message: `no unit of ${whose} is ready, so nothing could be checked` };
  }
  const answers = await Promise.all(
    pods.map(async (asked) => ({ asked, ...(await checkPod(kube, scope, asked, check, signal)) })),
  );
  signal.throwIfAborted();
  const failed = answers.filter(({ pass }) => !pass);
  const [first] = failed;
  if (first === undefined) return { pass: true, message: `passed on ${pods.length} of ${pods.length} units` };
  const message = `failed on ${failed.length} of ${pods.length} units: ${first.asked.pod.name}: ${first.message}`;
  return { pass: false, message };
}

async function checkPod(
  kube: Kube,
  scope: Scope,
  { pod, ports }: AskedPod,
  check: Check,
  signal: AbortSignal,
): Promise<Answer> {
  if ('command' in check) return runIn(kube, scope, pod.name, check.command, signal);
  const asked = check.http.port;
  const port =
    typeof asked === 'number' ? asked : (ports.find(({ name }) => name === asked) ?? ports[0])?.containerPort;
  if (port === undefined) return { pass: false, message: 'it listens on no port; give the check a port' };
  const path = check.http.path ?? '/';
  try {
    const at = `${corePath(scope, 'pods', `${pod.name}:${port}`)}/proxy${path}`;
    await kube.ask('GET', at, { signal, timeoutMs: HTTP_MS });
    return { pass: true, message: '' };
  } catch (error) {
    const { status, message } = error instanceof KubeError ? error : { status: undefined, message: String(error) };
    if (status !== undefined && status < 400) return { pass: true, message: '' };
    return { pass: false, message: `GET ${path}: ${message}` };
  }
}

async function runIn(
  { server, sign }: Kube,
  { namespace }: Scope,
  pod: string,
  command: string[],
  signal: AbortSignal,
): Promise<Answer> {
  // Not by the front door of the library, which loads all of it.
  const { Exec } = await import('@kubernetes/client-node/dist/exec.js');
  const config = { getCurrentCluster: () => ({ server }), applyToHTTPSOptions: sign } as unknown as KubeConfig;
  let said = '';
  const output = new PassThrough();
  output.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-1000);
  });
  const late = AbortSignal.any([signal, AbortSignal.timeout(COMMAND_MS)]);
  return new Promise<Answer>((resolve) => {
    const ended = (pass: boolean, message: string) => resolve({ pass, message });
    late.addEventListener('abort', () => ended(false, `${command[0]} takes too long`), { once: true });
    new Exec(config)
      // Without a container the API takes the first.
      .exec(namespace, pod, '', command, output, output, null, false, ({ status, message }) =>
        ended(status === 'Success', `${message ?? ''} ${said}`.trim()),
      )
      .then((socket) => {
        socket.on('close', () => ended(false, 'the connection was closed'));
        late.addEventListener('abort', () => socket.close(), { once: true });
      })
      .catch((error: Error) => ended(false, `${command[0]} cannot be run: ${error.message}`));
  });
}
