/** An engine behind SSH: every connection to it is a channel that runs what Docker's own client runs there. */
import { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import type { DockerTarget } from '../../manifest/target.ts';
import { connect, type Login } from '../ssh/connect.ts';

const COMMAND = 'docker system dial-stdio';
/** A server allows ten for a connection, where nobody has said otherwise. */
const CHANNELS = 8;

interface Line {
  client: Promise<Client>;
  channels: number;
}

/** Verified SSH connections, as many as there are channels for, opened when they are needed and again after they broke. */
export function sshAgent(ssh: DockerTarget['ssh'], login: Login): { agent: Agent; close(): void } {
  const { identityFile, knownHostsFile = '~/.ssh/known_hosts' } = ssh ?? {};
  const key = identityFile === undefined ? { agent: true as const } : { identityFile };
  const lines = new Set<Line>();

  function lineWithRoom(): Line {
    for (const line of lines) if (line.channels < CHANNELS) return line;
    const line: Line = { client: connect({ key, knownHostsFile, hosts: [] }, login, undefined), channels: 0 };
    lines.add(line);
    const drop = () => lines.delete(line);
    line.client.then((client) => client.once('close', drop), drop);
    return line;
  }

  async function open(): Promise<Duplex> {
    const line = lineWithRoom();
    line.channels++;
    const left = () => {
      line.channels--;
      // The last one stays open for what comes next.
      if (line.channels === 0 && lines.size > 1) line.client.then((client) => client.end()).catch(() => {});
    };
    try {
      const channel = await run(await line.client);
      channel.once('close', left);
      return channel;
    } catch (error) {
      left();
      throw new Error(`${login.address}: ${(error as Error).message}`);
    }
  }

  const agent = new Agent({ keepAlive: true, maxFreeSockets: 2 });
  const createConnection = (_: unknown, done: (error: Error | null, stream?: Duplex) => void): undefined => {
    open().then(
      (channel) => done(null, channel),
      (error: Error) => done(error),
    );
    return undefined;
  };
  return {
    agent: Object.assign(agent, { createConnection }),
    close() {
      agent.destroy();
      for (const { client } of lines) client.then((connected) => connected.end()).catch(() => {});
    },
  };
}

function run(client: Client): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    client.exec(COMMAND, (error, channel) => (error ? reject(error) : resolve(asSocket(channel))));
  });
}

/** HTTP asks of a connection what only a socket has. */
function asSocket(channel: ClientChannel): Duplex {
  const same = () => channel;
  const socket = Object.assign(channel, {
    setKeepAlive: same,
    setNoDelay: same,
    setTimeout: same,
    ref: same,
    unref: same,
  });
  // What the command says where there is no engine, or no command.
  let said = '';
  channel.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-500);
  });
  channel.once('exit', (code: number | null) => {
    if (code !== 0) channel.emit('error', new Error(`\`${COMMAND}\` ended with ${code} there: ${said.trim()}`));
  });
  return socket;
}
