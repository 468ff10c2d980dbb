/** One connection to each host, opened when it is first needed, kept and used for everything, opened again when it is lost. */
import type { Duplex } from 'node:stream';
import PQueue from 'p-queue';
import type { Client } from 'ssh2';
import type { SshHost, SshTarget } from '../../manifest/target.ts';
import type { Shell } from '../hosts/shell.ts';
import { connect } from './connect.ts';
import { createLink, type Link } from './link.ts';

export interface Connections {
  /** Throws where the target has no host of this name. */
  shell(host: string): Shell;
  /** A stream to a Unix socket on a host. */
  openSocket(host: string, path: string): Promise<Duplex>;
  /** Calls back when a connection that was open is lost. */
  onLost(lost: (host: string) => void): void;
  close(): void;
}

export interface ConnectionsOptions {
  ssh: SshTarget;
  /** So many connections are being opened at once at most. */
  opening?: number;
}

const OPENING = 20;

export function openConnections({ ssh, opening = OPENING }: ConnectionsOptions): Connections {
  const places = new PQueue({ concurrency: opening });
  const { jump } = ssh;
  let tellLost: (host: string) => void = () => {};
  const gate =
    jump &&
    createLink(
      `jump host ${jump.address}`,
      () => places.add(() => connect(ssh, jump, undefined)),
      () => {},
    );
  const links = new Map(
    ssh.hosts.map((host) => [
      host.name,
      createLink(
        host.name,
        () => open(host),
        () => tellLost(host.name),
      ),
    ]),
  );

  /** The jump host's own connection takes no place of those that wait for it. */
  async function open(host: SshHost): Promise<Client> {
    if (gate === undefined) return places.add(() => connect(ssh, host, undefined));
    await gate.client();
    return places.add(async () => connect(ssh, host, await forward(await gate.client(), host)));
  }

  const linkOf = (host: string): Link => {
    const link = links.get(host);
    if (link === undefined) throw new Error(`there is no host ${host}`);
    return link;
  };

  return {
    shell(host) {
      const link = linkOf(host);
      return { sh: link.execute };
    },
    async openSocket(host, path) {
      const client = await linkOf(host).client();
      return new Promise((resolve, reject) => {
        client.openssh_forwardOutStreamLocal(path, (error, stream) => {
          if (error) {
            const why = `the SSH server of ${host} opens no way to ${path}: ${error.message}`;
            reject(new Error(`${why}; the socket must be there for its user, and AllowStreamLocalForwarding be yes`));
          } else resolve(stream);
        });
      });
    },
    onLost(lost) {
      tellLost = lost;
    },
    close() {
      for (const link of links.values()) link.close();
      gate?.close();
    },
  };
}

function forward(client: Client, { address, port }: SshHost): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    client.forwardOut('127.0.0.1', 0, address, port, (error, stream) => {
      if (error) reject(new Error(`the jump host opens no way to ${address}:${port}: ${error.message}`));
      else resolve(stream);
    });
  });
}
