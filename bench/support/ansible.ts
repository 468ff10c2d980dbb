/** `ansible-playbook` over the same hosts: how long others take for a rolling script. */
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environment } from '../../src/process.ts';
import type { TestHosts } from '../../test/target/ssh/hosts.ts';
import { runRepeatedly } from '../harness.ts';

/** Its first line of `--version`; undefined: it is not on the PATH. */
export function ansibleVersion(): string | undefined {
  try {
    return execFileSync('ansible-playbook', ['--version'], { encoding: 'utf8', stdio: 'pipe' }).split('\n')[0];
  } catch {
    return undefined;
  }
}

export interface Play {
  /** Hosts at a time, and as many processes of its own. */
  serial: number;
  /** Of sh. */
  script: string;
}

/** A playbook of one task, and how long one run of it takes; connections are made anew by each of two. */
export async function playMs({ root, ssh }: TestHosts, { serial, script }: Play): Promise<number> {
  if (!('identityFile' in ssh.key)) throw new Error('the hosts take no key from a file');
  const [inventory, playbook] = [join(root, 'inventory'), join(root, 'playbook.yaml')];
  const lines = ssh.hosts.map(
    ({ name, address, port, user }) =>
      `${name} ansible_host=${address} ansible_port=${port} ansible_user=${user} ansible_python_interpreter=/usr/bin/python3`,
  );
  await writeFile(inventory, `${lines.join('\n')}\n`);
  const task = { name: 'script', 'ansible.builtin.shell': script };
  const play = [{ hosts: 'all', gather_facts: false, serial, any_errors_fatal: true, tasks: [task] }];
  await writeFile(playbook, JSON.stringify(play));
  const env = environment({
    ANSIBLE_FORKS: String(serial),
    ANSIBLE_HOME: join(root, 'ansible'),
    ANSIBLE_PRIVATE_KEY_FILE: ssh.key.identityFile,
    ANSIBLE_SSH_COMMON_ARGS: `-o 'UserKnownHostsFile="${ssh.knownHostsFile}"' -o StrictHostKeyChecking=yes`,
    ANSIBLE_PIPELINING: 'True',
  });
  const command = ['ansible-playbook', '-i', inventory, playbook];
  return (await runRepeatedly(command, { times: 1, cwd: root, env })).wallMs;
}
