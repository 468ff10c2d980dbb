/** With what a target logs in at registries that ask for a password. */
import type { RegistryLogin } from '../../manifest/target.ts';
import type { SecretSource } from '../ports.ts';

export interface Login {
  username: string;
  password: string;
}

/** Undefined: the target names none for this registry. Throws where the Secret does not have it. */
export async function loginAt(
  registry: string,
  registries: RegistryLogin[],
  secrets: SecretSource,
): Promise<Login | undefined> {
  const entry = registries.find((each) => each.registry === registry);
  if (entry === undefined) return undefined;
  const secret = await secrets.read(entry.secret);
  const [username, password] = [secret?.username, secret?.password];
  if (username === undefined || password === undefined)
    throw new Error(`registry ${registry}: Secret ${entry.secret} has no username and password; add them`);
  const text = (value: Buffer) => value.toString().trim();
  return { username: text(username), password: text(password) };
}
