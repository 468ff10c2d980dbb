import type { WrittenTarget } from '../written.ts';
import { badPath } from './paths.ts';
import type { Report } from './report.ts';
import { unique } from './unique.ts';

export function checkTarget({ local, docker, kubernetes }: WrittenTarget, report: Report): void {
  if (docker !== undefined) checkDocker(docker, report);
  if (kubernetes !== undefined) checkKubernetes(kubernetes, report);
  const { images, dataDir } = local ?? {};
  const wrong = images === undefined ? undefined : (badPath(images) ?? badFolder(images));
  if (wrong !== undefined) report(['spec', 'local', 'images'], 'bad-path', wrong);
  const badDataDir = dataDir === undefined ? undefined : badPath(dataDir);
  if (badDataDir !== undefined) report(['spec', 'local', 'dataDir'], 'bad-path', badDataDir);
}

type Docker = NonNullable<WrittenTarget['docker']>;

/** A folder of the repository is taken out of what is searched for manifests: it cannot be the repository itself. */
const badFolder = (path: string) =>
  path.split('/').slice(1).includes('') || path.split('/').includes('.')
    ? 'must be a folder such as images, without "." and without "/" at the end'
    : undefined;

function checkKubernetes(
  { kubeconfig, context, registries }: NonNullable<WrittenTarget['kubernetes']>,
  report: Report,
): void {
  const path = ['spec', 'kubernetes'];
  unique(registries ?? [], 'registry', [...path, 'registries'], report);
  if (kubeconfig === undefined) return;
  const wrong = badPath(kubeconfig);
  if (wrong !== undefined) report([...path, 'kubeconfig'], 'bad-path', wrong);
  if (context === undefined)
    report(path, 'missing-field', 'context is missing; name the one of the kubeconfig that is meant', 'key');
}

function checkDocker({ host = 'unix:', address, tls, ssh, registries, router, listen }: Docker, report: Report): void {
  const path = ['spec', 'docker'];
  unique(registries ?? [], 'registry', [...path, 'registries'], report);
  if (listen !== undefined && router !== 'haproxy')
    report([...path, 'listen'], 'bad-value', 'listen goes with `router: haproxy`; add that, or remove listen', 'key');
  if (Number(listen?.slice(listen.lastIndexOf(':') + 1)) > 65_535)
    report([...path, 'listen'], 'bad-value', 'a port is a number from 1 to 65535');
  const scheme = /^(unix|tcp|ssh):/.exec(host)?.[1];
  if (scheme === undefined) return;
  if (scheme !== 'unix' && address === undefined)
    report(
      path,
      'missing-field',
      `address is missing; with ${scheme}:// containers are reached at ports that the engine's machine publishes, so give its IP address`,
      'key',
    );
  for (const [field, goesWith] of Object.entries({ tls: 'tcp', ssh: 'ssh' }))
    if ({ tls, ssh }[field] !== undefined && scheme !== goesWith)
      report(
        [...path, field],
        'bad-value',
        `${field} goes with ${goesWith}://, and host is ${scheme}://; remove one`,
        'key',
      );
  const files = { tls: { ...tls }, ssh: { ...ssh } };
  for (const [group, fields] of Object.entries(files))
    for (const [field, file] of Object.entries(fields)) {
      const wrong = typeof file === 'string' ? badPath(file) : undefined;
      if (wrong !== undefined) report([...path, group, field], 'bad-path', wrong);
    }
}
