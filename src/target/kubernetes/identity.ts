/**
 * Which cluster is asked, and as whom: from a kubeconfig, its login helpers too, or from what a pod is given. `@kubernetes/client-node` knows all that,
 * and takes 70 MiB for as long as it is loaded; so a process of its own asks it (`identify.ts`), now and then.
 */
import { type Agent, Agent as HttpAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { fileURLToPath } from 'node:url';
import { environment, run } from '../../process.ts';

/** Which cluster, and as whom. */
export interface KubeAccess {
  /** A context of a kubeconfig; absent: the credentials that a pod is given. */
  context?: string;
  /** Absent: as `kubectl` finds it, `$KUBECONFIG` or `~/.kube/config`. */
  kubeconfig?: string;
}

export interface Identity {
  /** `https://10.0.0.1:6443` */
  server: string;
  headers: Record<string, string>;
  tls: {
    ca?: string;
    cert?: string;
    key?: string;
    passphrase?: string;
    servername?: string;
    rejectUnauthorized?: boolean;
  };
  /** Through which the cluster is reached. */
  proxy?: string;
}

/** What `identify.ts` prints. */
export type Identified = { identity: Identity } | { error: string };

/** Tokens of a pod and certificates on the disk change while the operator runs; a token is good for minutes after its file was written anew. */
const FRESH_MS = 300_000;
/** A login helper may ask somebody. */
const PATIENCE_MS = 60_000;
const MAX_SOCKETS = 32;

/** Names of the variables that lead to a cluster, and those that the login helpers of clouds read. */
const PASSED = /^(KUBECONFIG|KUBERNETES_SERVICE_(HOST|PORT)|(HTTPS?|NO)_PROXY|(AWS|AZURE|GOOGLE|CLOUDSDK)_\w+)$/;

const known = new Map<string, { identity: Promise<Identity>; until: number }>();
const keyOf = ({ context, kubeconfig }: KubeAccess) => JSON.stringify([context, kubeconfig, process.env.KUBECONFIG]);

/** All targets of one cluster share it. */
export function identityOf(access: KubeAccess): Promise<Identity> {
  const key = keyOf(access);
  const there = known.get(key);
  if (there !== undefined && Date.now() < there.until) return there.identity;
  const identity = identify(access);
  known.set(key, { identity, until: Date.now() + FRESH_MS });
  identity.catch(() => known.delete(key));
  return identity;
}

/** It was not believed: the next is asked for anew. */
export const forgetIdentity = (access: KubeAccess): void => void known.delete(keyOf(access));

async function identify(access: KubeAccess): Promise<Identity> {
  const program = fileURLToPath(new URL('identify.js', import.meta.url));
  const passed = Object.entries(process.env).filter(([name]) => PASSED.test(name)) as [string, string][];
  const { stdout, stderr, failure } = await run([process.execPath, program, JSON.stringify(access)], {
    env: environment(Object.fromEntries(passed)),
    timeoutMs: PATIENCE_MS,
    group: true,
  });
  const said = stdout.toString();
  if (said === '') throw new Error(`who is to ask the cluster cannot be found out: ${failure ?? stderr.trim()}`);
  const found = JSON.parse(said) as Identified;
  if ('error' in found) throw new Error(found.error);
  return found.identity;
}

/** Connections as `identity` makes them. */
export async function agentFor({ server, tls, proxy }: Identity): Promise<Agent> {
  const options = { ...tls, keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_SOCKETS };
  if (proxy?.startsWith('socks')) {
    const { SocksProxyAgent } = await import('socks-proxy-agent');
    return new SocksProxyAgent(proxy, options);
  }
  if (proxy !== undefined) {
    const { HttpProxyAgent, HttpsProxyAgent } = await import('hpagent');
    return server.startsWith('https:')
      ? new HttpsProxyAgent({ ...options, proxy })
      : new HttpProxyAgent({ ...options, proxy });
  }
  return server.startsWith('http:') ? new HttpAgent(options) : new TlsAgent(options);
}
