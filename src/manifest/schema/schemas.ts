/** Every schema by the kind that it is for. */
import type { Schema } from './build.ts';
import { cluster } from './cluster.ts';
import { configMap } from './config-map.ts';
import { fleet } from './fleet.ts';
import { image } from './image.ts';
import { operation } from './operation.ts';
import { service } from './service.ts';
import { target } from './target.ts';
import { workload } from './workload.ts';

export const SCHEMAS = {
  Workload: workload,
  Service: service,
  Fleet: fleet,
  Cluster: cluster,
  Target: target,
  Operation: operation,
  ConfigMap: configMap,
  image,
} satisfies Record<string, Schema>;

export type SchemaName = keyof typeof SCHEMAS;
