/** The user that units run as, where that is not the operator's own. */
import { chown } from 'node:fs/promises';
import { environment, run } from '../../process.ts';

export interface User {
  name: string;
  uid: number;
  gid: number;
}

/** Throws when there is no such user. */
export async function findUser(name: string): Promise<User> {
  const [uid, gid] = await Promise.all([id('-u', name), id('-g', name)]);
  return { name, uid, gid };
}

async function id(flag: '-u' | '-g', name: string): Promise<number> {
  const { code, stdout, stderr, failure } = await run(['id', flag, '--', name], { env: environment() });
  if (code === 0) return Number(stdout.toString());
  throw new Error(`--run-as ${name}: ${failure ?? stderr.trim()}; name a user of this machine`);
}

export async function giveTo(user: User | undefined, path: string): Promise<void> {
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

export const identityOf = (user: User | undefined) => (user === undefined ? {} : { uid: user.uid, gid: user.gid });
