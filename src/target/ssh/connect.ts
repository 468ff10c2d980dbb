/** Opens one verified SSH connection. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import ssh2, { Client, type ConnectConfig } from 'ssh2';
import type { SshTarget } from '../../manifest/target.ts';
import { type Expected, expectedKeys, parseKnownHosts } from './known-hosts.ts';

export interface Login {
  address: string;
  port: number;
  user: string;
}

/** A frozen peer is noticed after so many intervals without an answer. */
const KEEPALIVE = { keepaliveInterval: 2000, keepaliveCountMax: 3 };
const READY_MS = 15_000;

const ownFile = (path: string): string => (path.startsWith('~/') ? join(homedir(), path.slice(2)) : path);

/** `through` is a stream to its port where a jump host is between. Throws with what to do about it. */
export async function connect(ssh: SshTarget, login: Login, through: Duplex | undefined): Promise<Client> {
  const [expected, credentials] = await Promise.all([expectedOf(ssh, login), credentialsOf(ssh)]);
  const client = new Client();
  let denied: string | undefined;
  const config: ConnectConfig = {
    ...credentials,
    ...(through === undefined ? { host: login.address, port: login.port } : { sock: through }),
    ...KEEPALIVE,
    username: login.user,
    readyTimeout: READY_MS,
    algorithms: { serverHostKey: expected.algorithms as never },
    hostVerifier: (key: Buffer) => {
      const { ok, message } = expected.verify(key);
      denied = ok ? undefined : message;
      return ok;
    },
  };
  try {
    await ready(client, config);
  } catch (error) {
    client.on('error', () => {});
    client.destroy();
    throw new Error(denied ?? explain(error as ClientError, ssh, login, expected));
  }
  client.on('error', () => {});
  client.setNoDelay(true);
  return client;
}

type ClientError = Error & { level?: string; code?: string };

function ready(client: Client, config: ConnectConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${READY_MS / 1000} s`)), READY_MS + 1000);
    const settled = (act: () => void) => () => {
      clearTimeout(timer);
      act();
    };
    client.once('ready', settled(resolve));
    client.once(
      'close',
      settled(() => reject(new Error('the connection was closed before it was ready'))),
    );
    client.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    client.connect(config);
  });
}

async function expectedOf({ knownHostsFile }: SshTarget, { address, port }: Login): Promise<Expected> {
  const file = ownFile(knownHostsFile);
  try {
    return expectedKeys(parseKnownHosts(await readFile(file, 'utf8')), file, address, port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return expectedKeys([], file, address, port);
    throw new Error(`the keys of hosts cannot be read: ${(error as Error).message}; correct knownHostsFile`);
  }
}

async function credentialsOf({ key }: SshTarget): Promise<Pick<ConnectConfig, 'privateKey' | 'agent'>> {
  if ('agent' in key) {
    const agent = process.env.SSH_AUTH_SOCK;
    if (agent !== undefined && agent !== '') return { agent };
    throw new Error(
      'there is no SSH agent: SSH_AUTH_SOCK is not set for the operator; start one and ssh-add the key, or set identityFile',
    );
  }
  const file = ownFile(key.identityFile);
  const privateKey = await readFile(file).catch((error: Error) => {
    throw new Error(`the key cannot be read: ${error.message}; correct identityFile or its permissions`);
  });
  const parsed = ssh2.utils.parseKey(privateKey);
  if (!(parsed instanceof Error) && [parsed].flat()[0]?.isPrivateKey()) return { privateKey };
  const why = parsed instanceof Error ? parsed.message : 'it is the public half';
  const remedy = /encrypted/i.test(why)
    ? 'it is protected by a passphrase; add it to an agent and leave identityFile out'
    : 'it must be a private key of OpenSSH or in PEM';
  throw new Error(`the key ${file} cannot be used: ${why}; ${remedy}`);
}

function explain(error: ClientError, { key }: SshTarget, { user }: Login, { types }: Expected): string {
  if (error.level === 'client-authentication') {
    const whose = 'agent' in key ? 'no key of the agent' : `the key ${key.identityFile}`;
    const problem = whose.startsWith('no ') ? `${whose} is accepted` : `${whose} is not accepted`;
    return `${problem} for user ${user}; add its public half to the user's ~/.ssh/authorized_keys there`;
  }
  if (error.level === 'handshake' && /host key/i.test(error.message)) {
    const known = types.length > 0 ? ` (${types.join(', ')})` : '';
    return `the host offers no key of a type that knownHostsFile has for it${known}: ${error.message}; compare its keys, then correct the file`;
  }
  if (error.level === 'client-timeout') return `no answer within ${READY_MS / 1000} s`;
  return error.message;
}
