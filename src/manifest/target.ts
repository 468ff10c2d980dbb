/** Targets: where resources run, as their manifests declare it. */

export interface LocalTarget {
  /** A folder of the config repository (`images`), or an absolute path on the machine. */
  images: string;
  dataDir?: string;
}

/** A registry that asks for a password, and the Secret with `username` and `password`. */
export interface RegistryLogin {
  registry: string;
  secret: string;
}

/** A Docker Engine. */
export interface DockerTarget {
  /** As `DOCKER_HOST` says it: `unix://`, `tcp://` or `ssh://`. */
  host: string;
  /** Files of the operator's machine, absolute or below `~/`. */
  tls?: { ca: string; cert: string; key: string };
  ssh?: { identityFile?: string; knownHostsFile: string };
  /** Where containers publish their ports; absent: they publish none, and are reached at their own addresses. */
  address?: string;
  network: string;
  /** Absent: `embedded`. */
  router?: 'embedded' | 'haproxy';
  /** `IP:PORT` of HAProxy; absent: `127.0.0.1:8081`. */
  listen?: string;
  /** Absent: made of the repository's address. */
  project?: string;
  registries: RegistryLogin[];
}

/** A namespace of a cluster. */
export interface KubernetesTarget {
  /** Of a kubeconfig; absent: the credentials of the operator's pod. */
  context?: string;
  /** Absolute or below `~/`, on the operator's machine; absent: as kubectl finds it. */
  kubeconfig?: string;
  namespace: string;
  gateway?: { name: string; namespace?: string; listener?: string };
  drainSeconds: number;
  /** What the Job that upgrades a node runs from; absent: `busybox:1.37`. */
  upgradeImage?: string;
  registries?: RegistryLogin[];
  /** Absent: made of the repository's address. */
  project?: string;
}

/** Exactly one of `local`, `docker` and `kubernetes`: a target that creates what runs on it. */
export interface Target {
  name: string;
  local?: LocalTarget;
  docker?: DockerTarget;
  kubernetes?: KubernetesTarget;
  policy?: { resources?: 'container-instance' };
}

/** How hosts are reached over SSH. */
export interface SshTarget {
  /** A key file of the operator's machine, absolute or below `~/`; or the keys of the agent at `SSH_AUTH_SOCK`. */
  key: { identityFile: string } | { agent: true };
  /** Absolute or below `~/`, on the operator's machine. */
  knownHostsFile: string;
  /** Through which all hosts are reached. */
  jump?: { address: string; port: number; user: string };
  hosts: SshHost[];
  loadBalancer?: Haproxy;
}

export interface SshHost {
  /** The instance's, unique in the target. */
  name: string;
  /** A host name or an IP address. */
  address: string;
  port: number;
  user: string;
  labels: Record<string, string>;
}

/** HAProxy's runtime socket, through which instances lose and get back their weight. */
export interface Haproxy {
  /** An absolute path. */
  socket: string;
  /** The host of the target on which it lies; absent: the operator's machine. */
  host?: string;
  /** In which an instance is the server of its own name. */
  backends: string[];
}

/** A target whose hosts are there already, beside `Target`, which creates what runs on it. */
export interface HostTarget {
  name: string;
  ssh: SshTarget;
}
