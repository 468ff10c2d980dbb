/** Hosts of a Target: told apart, and reached with nothing that lies in the config repository. */
import { quote } from '../diagnostic.ts';
import { nearest } from '../nearest.ts';
import type { WrittenTarget } from '../written.ts';
import { badPath } from './paths.ts';
import type { Path, Report } from './report.ts';
import { unique } from './unique.ts';

type Ssh = NonNullable<WrittenTarget['ssh']>;

export function checkHosts({ ssh, policy }: WrittenTarget, report: Report): void {
  if (ssh === undefined) return;
  if (policy !== undefined)
    report(['spec', 'policy'], 'bad-value', 'hosts take no containers, so nothing is held to it; remove it', 'key');
  const path = ['spec', 'ssh'];
  unique(ssh.hosts ?? [], 'name', [...path, 'hosts'], report);
  checkAddresses(ssh, [...path, 'hosts'], report);
  checkBalancer(ssh, [...path, 'loadBalancer', 'haproxy'], report);
  if (ssh.agent === true && ssh.identityFile !== undefined)
    report([...path, 'agent'], 'exactly-one', 'identityFile is there too; remove one', 'key');
  const socket = ssh.loadBalancer?.haproxy?.socket;
  const files = { identityFile: ssh.identityFile, knownHostsFile: ssh.knownHostsFile };
  for (const [field, file] of Object.entries(files)) checkFile(file, [...path, field], report);
  checkFile(socket, [...path, 'loadBalancer', 'haproxy', 'socket'], report);
}

function checkFile(file: string | undefined, path: Path, report: Report): void {
  const wrong = file === undefined ? undefined : badPath(file);
  if (wrong !== undefined) report(path, 'bad-path', wrong);
}

/** Two names for one host would be upgraded as two, at once. */
function checkAddresses({ hosts = [], port = 22 }: Ssh, path: Path, report: Report): void {
  const first = new Map<string, number>();
  for (const [index, host] of hosts.entries()) {
    if (host?.address === undefined) continue;
    const place = `${host.address.toLowerCase()} ${host.port ?? port}`;
    const before = first.get(place);
    if (before === undefined) first.set(place, index);
    else
      report(
        [...path, index, 'address'],
        'duplicate',
        `${quote(host.address)} with the same port is there already, at index ${before}; one host is one entry`,
      );
  }
}

function checkBalancer({ hosts = [], loadBalancer }: Ssh, path: Path, report: Report): void {
  const host = loadBalancer?.haproxy?.host;
  const names = hosts.flatMap((known) => known?.name ?? []);
  if (host === undefined || names.includes(host)) return;
  const guess = nearest(host, names);
  const hint = guess === undefined ? 'add it to hosts' : `did you mean ${quote(guess)}?`;
  report([...path, 'host'], 'missing-reference', `there is no host ${quote(host)} in this target; ${hint}`);
}
