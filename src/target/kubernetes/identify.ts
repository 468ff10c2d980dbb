/** A process of its own that says which cluster is asked, and as whom; see `identity.ts`. Its argument is the KubeAccess, its output the answer. */
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import type { Identified, Identity, KubeAccess } from './identity.ts';

function configOf({ context, kubeconfig }: KubeAccess): KubeConfig {
  const config = new KubeConfig();
  if (context === undefined) {
    if (process.env.KUBERNETES_SERVICE_HOST === undefined)
      throw new Error(
        'kubernetes.context is missing, and the operator runs in no cluster; name a context of your kubeconfig',
      );
    config.loadFromCluster();
    return config;
  }
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig.replace(/^~(?=\/)/, homedir()));
  } catch (error) {
    throw new Error(`the kubeconfig ${kubeconfig ?? ''} cannot be read: ${(error as Error).message}`);
  }
  if (config.getContextObject(context) === null) {
    const known = config.getContexts().map(({ name }) => name);
    const where = kubeconfig ?? process.env.KUBECONFIG ?? join(homedir(), '.kube/config');
    throw new Error(`${where} has no context ${context}; it has ${known.join(', ') || 'none'}`);
  }
  config.setCurrentContext(context);
  return config;
}

async function identify(access: KubeAccess): Promise<Identity> {
  const config = configOf(access);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`${wordsOf(access)} names no cluster`);
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { headers, auth, servername, passphrase, rejectUnauthorized } = options;
  const basic = auth ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
  const pem = (['ca', 'cert', 'key'] as const).flatMap((name) =>
    options[name] === undefined || options[name] === null ? [] : [[name, String(options[name])]],
  );
  return {
    server: cluster.server.replace(/\/+$/, ''),
    headers: { ...(headers as Record<string, string>), ...basic },
    tls: {
      ...Object.fromEntries(pem),
      ...(servername !== undefined && { servername }),
      ...(passphrase !== undefined && { passphrase }),
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    },
    ...(cluster.proxyUrl !== undefined && { proxy: cluster.proxyUrl }),
  };
}

const wordsOf = ({ context, kubeconfig }: KubeAccess): string =>
  context === undefined ? 'the pod' : `context ${context}${kubeconfig === undefined ? '' : ` of ${kubeconfig}`}`;

const said: Identified = await identify(JSON.parse(process.argv[2] ?? '{}')).then(
  (identity) => ({ identity }),
  (error: Error) => ({ error: error.message }),
);
process.stdout.write(JSON.stringify(said));
