/** An engine behind SSH: every connection to it is a channel that runs what Docker's own client runs there. */
import { Agent, type AgentOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import type { DockerTarget } from '../../manifest/resource.ts';
import { connect, type Login } from '../ssh/connect.ts';

const COMMAND = 'docker system dial-stdio';

/** One verified SSH connection for all, opened when it is first needed and again after it broke. */
export function sshAgent(ssh: DockerTarget['ssh'], login: Login): Agent {
  const { identityFile, knownHostsFile = '~/.ssh/known_hosts' } = ssh ?? {};
  const key = identityFile === undefined ? { agent: true as const } : { identityFile };
  let client: Promise<Client> | undefined;
  const connected = (): Promise<Client> => {
    client ??= connect({ key, knownHostsFile, hosts: [] }, login, undefined).then((open) => {
      open.once('close', () => {
        client = undefined;
      });
      return open;
    });
    client.catch(() => {
      client = undefined;
    });
    return client;
  };
  const options: AgentOptions = { keepAlive: false };
  const agent = new Agent(options);
  const create = (_: unknown, done: (error: Error | null, stream?: Duplex) => void): undefined => {
    connected()
      .then((open) => open.exec(COMMAND, (error, channel) => done(error ?? null, channel)))
      .catch((error: Error) => done(new Error(`${login.address}: ${error.message}`)));
    return undefined;
  };
  (agent as unknown as { createConnection: typeof create }).createConnection = create;
  const destroy = agent.destroy.bind(agent);
  agent.destroy = () => {
    client?.then((open) => open.end()).catch(() => {});
    destroy();
    return agent;
  };
  return agent;
}
